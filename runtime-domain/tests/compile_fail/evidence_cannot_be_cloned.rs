//! Evidence is consumed by the command that takes it, and cannot be copied.

use runtime_domain::deployment::{DeployedVersion, RollbackPoint};
use runtime_domain::environment::{Admission, HostedEnvironment};
use runtime_domain::secrets::BoundSecret;
use runtime_domain::tenancy::BoundTenant;

fn needs<T: Clone>() {}

fn main() {
    needs::<Admission>();
    needs::<HostedEnvironment>();
    needs::<BoundTenant>();
    needs::<BoundSecret>();
    needs::<DeployedVersion>();
    needs::<RollbackPoint>();
}
