//! Shows ENV-3.
//! Only a binding that is Bound proves it.

use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::tenancy::BoundTenant;

fn forge(tenant: TenantId, environment: EnvironmentId, real: BoundTenant) -> BoundTenant {
    BoundTenant { tenant, environment, ..real }
}

fn main() {}
