//! Shows TEN-2.
//! What proves a quota is consumed once, comes from no wire, and cannot be made of nothing.

use runtime_domain::environment::{CommittedQuota, QuotaReservation, ReturnedQuota};
use runtime_domain::tenancy::{ClaimedQuota, ReleasedTenant};

fn cloned<T: Clone>() {}
fn defaulted<T: Default>() {}
fn deserialised<T: serde::de::DeserializeOwned>() {}

fn main() {
    cloned::<QuotaReservation>();
    cloned::<CommittedQuota>();
    cloned::<ReturnedQuota>();
    cloned::<ClaimedQuota>();
    cloned::<ReleasedTenant>();
    defaulted::<QuotaReservation>();
    defaulted::<CommittedQuota>();
    defaulted::<ReturnedQuota>();
    defaulted::<ClaimedQuota>();
    defaulted::<ReleasedTenant>();
    deserialised::<QuotaReservation>();
    deserialised::<CommittedQuota>();
    deserialised::<ReturnedQuota>();
    deserialised::<ClaimedQuota>();
    deserialised::<ReleasedTenant>();
}
