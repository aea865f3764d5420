//! Runtime environments: isolated, provisioned stage and region slices that host workloads.
//!
//! ```text
//!                 ┌───────── retry ─────────┐
//!                 ▼                         │
//! (none) ─► Requested ─► Provisioning ─► ProvisioningFailed
//!                 │            │              │
//!                 │            ▼              │
//!                 │       Provisioned         │
//!                 ▼            ▼              ▼
//!                 └──► Decommissioning ◄──────┘
//!                              ▼
//!                        Decommissioned
//! ```
//!
//! | command | Requested | Provisioning | ProvisioningFailed | Provisioned | Decommissioning | Decommissioned |
//! |---|---|---|---|---|---|---|
//! | Provision again, the same | same | same | same | same | same | LIFECYCLE |
//! | Provision again, otherwise | X-3 | X-3 | X-3 | X-3 | X-3 | LIFECYCLE |
//! | RecordProvisioningStarted | yes | same | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | RecordProvisioned | LIFECYCLE | yes | LIFECYCLE | same¹ | LIFECYCLE | LIFECYCLE |
//! | RecordProvisioningFailed | LIFECYCLE | yes | LIFECYCLE² | LIFECYCLE³ | LIFECYCLE | LIFECYCLE |
//! | RetryProvisioning | same | same | yes | same³ | LIFECYCLE | LIFECYCLE |
//! | Change the egress list, add surfaces | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | Change the region or the stage | yes⁴ | ENV-2 | ENV-2 | ENV-2 | LIFECYCLE | LIFECYCLE |
//! | Change the name | yes⁴ | X-3 | X-3 | X-3 | LIFECYCLE | LIFECYCLE |
//! | ProtectFromDeletion, Unprotect | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | Decommission | yes | yes | yes | yes | same | same |
//! | Decommission, where protected | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | – | – |
//! | RecordDecommissioned | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | yes | same |
//! | RecordDecommissioningFailed | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | yes | LIFECYCLE |
//! | ChangeCalendar, StopTheLine, ResumeTheLine, a change of the promotion policy | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | ChangeExpiry, where not prod | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | Expire, once its time has come and unless protected | yes | yes | yes | yes | same | same |
//! | RecordResourcesLost | same | same | same | yes⁵ | same | same |
//! | Change the capacity to no less than is held | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | Change the capacity to less than is held | TEN-2 | TEN-2 | TEN-2 | TEN-2 | LIFECYCLE | LIFECYCLE |
//! | ReserveQuota, where there is room | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | ReserveQuota, where there is none | TEN-2 | TEN-2 | TEN-2 | TEN-2 | LIFECYCLE | LIFECYCLE |
//! | CommitQuota of more, which is held | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | CommitQuota of less | yes | yes | yes | yes | yes | yes |
//! | CommitQuota of what is not held, or no longer | TEN-2 | TEN-2 | TEN-2 | TEN-2 | TEN-2 | TEN-2 |
//! | ReleaseQuota, Tick after a reservation ended | yes | yes | yes | yes | yes | yes |
//!
//! *same* means accepted and nothing changes. ¹ *yes* where the resources differ or a change waits to be applied. ² *same* where the
//! failure is the one recorded. ³ *yes* where a change waits to be applied (and, for RetryProvisioning, its next try is not due): a
//! provisioned environment stays Provisioned while its change is applied, and while that fails. ⁴ as Provisioning once it was tried. ⁵ *same*
//! where nothing is lost, or a change waits to be applied already.
//!
//! Invariants, each with the place that keeps it:
//! - **ENV-1** (evidence): no deployment unless Provisioned: only a Provisioned environment hands out an [`Admission`]; its revision is
//!   checked again when the deployment is committed.
//! - **ENV-2** (check): region and stage never change once provisioned: from the moment provisioning has begun, since resources may
//!   already stand there. Kept by `decide.rs`; applied by no event in those states (`evolve.rs`).
//! - **ENV-3** (evidence): prod needs a tenant binding: an [`Admission`] to prod takes a [`BoundTenant`](crate::tenancy::BoundTenant).
//! - **TEN-2** (check, evidence): quotas never exceed the capacity: the [`QuotaLedger`] is this aggregate's, so every reservation is decided
//!   against all others; bindings ask for a quota only with a [`QuotaReservation`] and use it only with a [`CommittedQuota`]. See
//!   [`crate::tenancy`].
//! - **X-3** (claim): asking twice gives one: [`Claim::environment_name`](crate::claim::Claim::environment_name), held until Decommissioned.

mod blueprint;
mod command;
mod decide;
mod event;
mod evidence;
mod evolve;
mod ledger;
mod record;
mod refusal;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use blueprint::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionedResources,
};
pub use command::{EnvironmentChange, EnvironmentCommand, ProvisionRuntimeEnvironment, QuotaCommand};
pub use event::{EnvironmentEvent, EnvironmentRequested};
pub use evidence::{
    Admission, CommittedQuota, HostedEnvironment, HostedSurface, QuotaReservation, ReturnedQuota,
};
pub use ledger::{QuotaEntry, QuotaLedger, ReservedQuota};
pub use record::RuntimeEnvironmentRecord;
pub use refusal::EnvironmentRefusal;
pub use state::{
    Decommissioned, Decommissioning, EnvironmentState, PendingChange, Provisioned, Provisioning,
    ProvisioningFailed, ProvisioningStatus, Requested, RuntimeEnvironment,
};
