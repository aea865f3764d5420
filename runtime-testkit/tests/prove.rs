//! Every aggregate of the domain, proven as a downstream user proves it.

use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_testkit::{Cases, prove};

#[test]
fn environments_keep_every_property() {
    prove::<RuntimeEnvironment>(Cases::default()).assert_passed();
}

#[test]
fn tenant_bindings_keep_every_property() {
    prove::<RuntimeTenantBinding>(Cases::default()).assert_passed();
}

#[test]
fn services_keep_every_property() {
    prove::<RuntimeService>(Cases::default()).assert_passed();
}

#[test]
fn health_check_results_keep_every_property() {
    prove::<HealthCheckResult>(Cases::default()).assert_passed();
}

#[test]
fn deployments_keep_every_property() {
    prove::<RuntimeDeployment>(Cases::default()).assert_passed();
}

#[test]
fn configurations_keep_every_property() {
    prove::<RuntimeConfiguration>(Cases::default()).assert_passed();
}

#[test]
fn secret_bindings_keep_every_property() {
    prove::<SecretBinding>(Cases::default()).assert_passed();
}

#[test]
fn scaling_policies_keep_every_property() {
    prove::<ScalingPolicy>(Cases::default()).assert_passed();
}

#[test]
fn drift_findings_keep_every_property() {
    prove::<RuntimeDriftFinding>(Cases::default()).assert_passed();
}
