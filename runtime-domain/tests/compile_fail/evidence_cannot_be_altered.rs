//! What evidence says is what its aggregate said.

use runtime_domain::deployment::DeployedVersion;
use runtime_domain::environment::{Admission, HostedEnvironment};
use runtime_domain::id::TenantId;
use runtime_domain::tenancy::BoundTenant;

fn redirect(
    tenant: TenantId,
    admission: &mut Admission,
    hosted: &mut HostedEnvironment,
    bound: &mut BoundTenant,
    deployed: &mut DeployedVersion,
) {
    admission.tenant = tenant;
    hosted.tenant = tenant;
    bound.tenant = tenant;
    deployed.tenant = tenant;
}

fn main() {}
