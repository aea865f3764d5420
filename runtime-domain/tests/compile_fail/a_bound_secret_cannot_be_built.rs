//! Shows SEC-3.
//! Only a binding proves which component its secret is bound to.

use runtime_domain::id::TenantId;
use runtime_domain::secrets::BoundSecret;
use runtime_domain::value::ModuleId;

fn forge(tenant: TenantId, module: ModuleId, real: BoundSecret) -> BoundSecret {
    BoundSecret { tenant, module, ..real }
}

fn main() {}
