//! Shows SVC-1.
//! Only a deployment proves what it brought.

use runtime_domain::component::ComponentSpec;
use runtime_domain::deployment::DeployedVersion;
use runtime_domain::id::TenantId;

fn forge(tenant: TenantId, component: ComponentSpec, real: DeployedVersion) -> DeployedVersion {
    DeployedVersion { tenant, component, ..real }
}

fn main() {}
