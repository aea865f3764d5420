//! Shows X-1.
//! Only a host's authentication grants a scope.

use runtime_domain::id::TenantId;
use runtime_domain::scope::TenantScope;

fn forge(tenant: TenantId, real: TenantScope) -> TenantScope {
    TenantScope { tenant, ..real }
}

fn main() {}
