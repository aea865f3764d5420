//! there is no scope of nobody.

use runtime_domain::scope::{OperatorScope, TenantScope};

fn needs<T: Default>() {}

fn main() {
    needs::<TenantScope>();
    needs::<OperatorScope>();
}
