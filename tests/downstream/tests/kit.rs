//! The kit in somebody else's continuous integration: one dev-dependency, a line for each aggregate.

use proptest::prelude::*;
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_testkit::strategy::text::hostile_text;
use runtime_testkit::{Cases, prove};

#[test]
fn every_aggregate_keeps_every_property() {
    prove::<RuntimeDriftFinding>(Cases::default()).assert_passed();
    prove::<RuntimeEnvironment>(Cases::default()).assert_passed();
    prove::<RuntimeDeployment>(Cases::default()).assert_passed();
    prove::<RuntimeService>(Cases::default()).assert_passed();
    prove::<ScalingPolicy>(Cases::default()).assert_passed();
    prove::<RuntimeTenantBinding>(Cases::default()).assert_passed();
    prove::<HealthCheckResult>(Cases::default()).assert_passed();
    prove::<RuntimeConfiguration>(Cases::default()).assert_passed();
    prove::<SecretBinding>(Cases::default()).assert_passed();
}

proptest! {
    #[test]
    fn our_own_code_takes_hostile_owners(owner in hostile_text()) {
        if let Ok(name) = downstream::environment_of(&owner) {
            prop_assert!(name.as_str().ends_with("-dev"));
        }
    }
}
