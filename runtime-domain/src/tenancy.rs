//! Tenant bindings: a tenant's place in an environment, with the isolation it is promised and the quota it may use.
//!
//! ```text
//! (none) ─► Pending ─► Bound ◄─► Cordoned ─► Released
//!              │         ▲▼                     ▲
//!              │       Moving ──────────────────┤
//!              └────────────────────────────────┘
//! ```
//!
//! | command | Pending | Bound | Cordoned | Moving | Released |
//! |---|---|---|---|---|---|
//! | Bind again, the same | same | same | same | same | LIFECYCLE |
//! | Bind again, otherwise | TEN-3 | TEN-3 | TEN-3 | TEN-3 | LIFECYCLE |
//! | ConfirmQuota of what is waited for | yes | yes¹ | yes¹ | yes¹ | LIFECYCLE |
//! | ConfirmQuota of something else | TEN-2 | TEN-2¹ | TEN-2¹ | TEN-2¹ | LIFECYCLE |
//! | AdjustQuota to less, or to more that is reserved | LIFECYCLE | yes² | yes² | yes² | LIFECYCLE |
//! | AdjustQuota to more that is not reserved | LIFECYCLE | TEN-2 | TEN-2 | TEN-2 | LIFECYCLE |
//! | CordonTenant | LIFECYCLE | yes | same | same | LIFECYCLE |
//! | UncordonTenant | LIFECYCLE | same | yes | LIFECYCLE | LIFECYCLE |
//! | ProtectFromRelease | LIFECYCLE | yes | yes | LIFECYCLE | LIFECYCLE |
//! | Unprotect | same | yes | yes | same | LIFECYCLE |
//! | BeginMove | LIFECYCLE | yes³ | LIFECYCLE | same⁴ | LIFECYCLE |
//! | RecordMoveStep | LIFECYCLE | LIFECYCLE | LIFECYCLE | yes⁵ | LIFECYCLE |
//! | AbortMove | LIFECYCLE | same | LIFECYCLE | yes⁶ | LIFECYCLE |
//! | AdmitWorkloads that fit into the quota | LIFECYCLE | yes | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | AdmitWorkloads that do not fit | LIFECYCLE | TEN-2 | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | SettleWorkloads, RetireWorkloads of what is charged | – | yes | yes | yes | – |
//! | SettleWorkloads, RetireWorkloads of anything else | same | same | same | same | same |
//! | ChargeScaling of what serves, within the quota or to less | – | yes⁸ | yes⁸ | yes⁸ | – |
//! | ChargeScaling of what serves, beyond the quota | – | TEN-2 | TEN-2 | TEN-2 | – |
//! | ChargeScaling of anything else | same | same | same | same | same |
//! | AdjustQuota to less than is charged | LIFECYCLE | TEN-2 | TEN-2 | TEN-2 | LIFECYCLE |
//! | ReleaseTenant, RecordMoveStep of its end, while workloads are charged | – | LIFECYCLE | LIFECYCLE | LIFECYCLE | same |
//! | ReleaseTenant | yes³ | LIFECYCLE | yes³ | LIFECYCLE | same |
//! | RecordQuotaReturned | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | yes |
//! | Tick | yes⁷ | yes⁷ | yes⁷ | yes⁷ | same |
//!
//! *same* means accepted and nothing changes. ¹ *same* where nothing waits to be settled. ² *same* where this much is allocated or waited
//! for; LIFECYCLE where another increase waits. ³ LIFECYCLE where it is protected. ⁴ LIFECYCLE where it is another move. ⁵ LIFECYCLE where
//! it is another step, or the target was not watched for long enough. ⁶ *same* on the way back; LIFECYCLE once the source is being
//! released. ⁷ *same* where nothing has ended. ⁸ *same* where as much is charged.
//!
//! # How workloads use a quota
//!
//! A deployment is charged to the binding's [`WorkloadLedger`] by the very commit that makes it (`AdmitWorkloads`): of many that are admitted at
//! once, each is decided against all before it, and one that is not made is not charged. When it has ended, what it brought is charged as what
//! serves, or is given back (`SettleWorkloads`). A tenant whose workloads are charged for is not released. Replicas that a
//! policy adds are charged for before they are started, and given back when they are gone (`ChargeScaling`).
//!
//! # How a quota comes and goes
//!
//! A quota is held in the environment's ledger before a binding asks for it, committed there before the binding uses it, and given back
//! only after the binding does without:
//!
//! 1. the environment reserves (`ReserveQuota`) and hands out a [`QuotaReservation`](crate::environment::QuotaReservation);
//! 2. the binding asks for it (`BindTenant`, `AdjustQuota`) and hands out a [`ClaimedQuota`];
//! 3. the environment commits what is claimed (`CommitQuota`) and hands out a [`CommittedQuota`](crate::environment::CommittedQuota);
//! 4. the binding confirms it (`ConfirmQuota`), and uses it from now on.
//!
//! Less is used at once, and committed as in 3. After `ReleaseTenant` the binding hands out a [`ReleasedTenant`], the environment releases
//! (`ReleaseQuota`), and the binding notes it (`RecordQuotaReturned`). A host may die between any two of these: what was reserved and never
//! committed is given back by time, what waits longer than its reservation lapses, and whatever is held without being used is a
//! binding that is not settled ([`RuntimeTenantBinding::is_settled`]), which wakes a reconciler until it is. No clock needs to be right for
//! TEN-2: time only gives back what nobody may use.
//!
//! Invariants, each with the place that keeps it:
//! - **TEN-1** (claim, evidence): a silo binding has its environment to itself: [`Claim::occupancy`](crate::claim::Claim::occupancy), exclusive
//!   for a silo, shared by the others; and no two tenants share a partition that is one's own:
//!   [`Claim::partition`](crate::claim::Claim::partition). The isolation model is the environment's, shown by
//!   [`HostedEnvironment`](crate::environment::HostedEnvironment).
//! - **TEN-2** (evidence, check): the quotas allocated in an environment never exceed its capacity: the environment's
//!   [`QuotaLedger`](crate::environment::QuotaLedger) decides every reservation against all others, and a binding's quota never exceeds what
//!   is committed to it there.
//! - **TEN-3** (claim): one binding per tenant and environment: [`Claim::tenant_binding`](crate::claim::Claim::tenant_binding), held until
//!   Released.
//! - **X-1** (check): a silo is bound by its environment's own tenant only, and evidence of another tenant, environment or binding is refused.
//! - **X-3** (claim, check): asking for the same place twice gives one: `bind_again`.

mod command;
mod decide;
mod event;
mod evidence;
mod evolve;
mod quota;
mod record;
mod refusal;
mod relocation;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod workload;

pub use command::{BindTenant, TenancyCommand, TenantPlace};
pub use event::{TenancyEvent, TenantBound};
pub use evidence::{BoundTenant, ClaimedQuota, ReleasedTenant};
pub use quota::{PartitionAssignment, PartitionKey, QuotaAllocation, QuotaError, QuotaUnit, ResourceQuota};
pub use record::RuntimeTenantBindingRecord;
pub use refusal::TenancyRefusal;
pub use relocation::{MoveNext, MoveOutcome, MoveStage, MoveStep, RETRY_AFTER, TenantMove};
pub use state::{
    BindingState, BindingStatus, Bound, Cordoned, Moving, Pending, QuotaExchange, Released,
    RuntimeTenantBinding,
};
pub use workload::{ComingWorkload, WorkloadDemand, WorkloadEntry, WorkloadLedger};
