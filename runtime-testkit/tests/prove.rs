//! Every aggregate of the domain, proven as a downstream user proves it.

use runtime_domain::environment::RuntimeEnvironment;
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
