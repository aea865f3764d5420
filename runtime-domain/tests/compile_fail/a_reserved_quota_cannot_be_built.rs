//! Shows TEN-2.
//! Only an environment's ledger proves what is reserved for, committed to, and held no more for a binding.

use runtime_domain::environment::{CommittedQuota, QuotaReservation, ReturnedQuota};
use runtime_domain::id::TenantBindingId;
use runtime_domain::tenancy::ResourceQuota;

fn forge(quota: ResourceQuota, real: QuotaReservation) -> QuotaReservation {
    QuotaReservation { quota, ..real }
}

fn commit(quota: ResourceQuota, real: CommittedQuota) -> CommittedQuota {
    CommittedQuota { quota, ..real }
}

fn give_back(binding: TenantBindingId, real: ReturnedQuota) -> ReturnedQuota {
    ReturnedQuota { binding, ..real }
}

fn main() {}
