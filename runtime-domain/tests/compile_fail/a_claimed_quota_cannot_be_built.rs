//! Shows TEN-2.
//! Only a tenant binding proves what it claims, and that its tenant has left.

use runtime_domain::id::TenantBindingId;
use runtime_domain::tenancy::{ClaimedQuota, ReleasedTenant, ResourceQuota};

fn forge(quota: ResourceQuota, real: ClaimedQuota) -> ClaimedQuota {
    ClaimedQuota { quota, ..real }
}

fn evict(binding: TenantBindingId, real: ReleasedTenant) -> ReleasedTenant {
    ReleasedTenant { binding, ..real }
}

fn main() {}
