//! What came over a wire proves nothing and grants nothing.

use runtime_domain::deployment::{DeployedVersion, RollbackPoint};
use runtime_domain::environment::{Admission, HostedEnvironment, RuntimeEnvironment};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::secrets::BoundSecret;
use runtime_domain::tenancy::BoundTenant;

fn needs<T: serde::de::DeserializeOwned>() {}

fn main() {
    needs::<Admission>();
    needs::<HostedEnvironment>();
    needs::<BoundTenant>();
    needs::<BoundSecret>();
    needs::<DeployedVersion>();
    needs::<RollbackPoint>();
    needs::<TenantScope>();
    needs::<OperatorScope>();
    // An aggregate is loaded by its record, which re-checks every rule.
    needs::<RuntimeEnvironment>();
}
