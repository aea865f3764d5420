//! Shows ENV-1, ENV-3.
//! Only a Provisioned environment admits.

use runtime_domain::environment::Admission;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::value::Revision;

fn forge(tenant: TenantId, environment: EnvironmentId, real: Admission) -> Admission {
    Admission { tenant, environment, environment_revision: Revision::FIRST, binding: None, ..real }
}

fn main() {}
