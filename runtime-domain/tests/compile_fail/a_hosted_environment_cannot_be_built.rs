//! Shows X-1.
//! Only an environment says how it keeps tenants apart.

use runtime_domain::environment::{HostedEnvironment, IsolationModel};
use runtime_domain::id::TenantId;

fn forge(tenant: TenantId, isolation_model: IsolationModel, real: HostedEnvironment) -> HostedEnvironment {
    HostedEnvironment { tenant, isolation_model, ..real }
}

fn main() {}
