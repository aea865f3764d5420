//! Divergence between what runs and what Git or Pulumi says should run.
//!
//! ```text
//! (none) ─► Detected ◄──────────► Excepted ─► Resolved
//!            │ ▲  ▲                             ▲
//!            ▼ │  └──────────┬─────────────┐    │
//!          Remediating ─► RemediationFailed │   │
//!            │ │ ▲           │             │    │
//!            │ │ └───────────┘             │    │
//!            │ └────────────► Escalated ───┘    │
//!            └──────────────────────────────────┘
//!
//! Detected, RemediationFailed, Escalated ─► Vanished
//! ```
//!
//! | command | Detected | Excepted | Remediating | RemediationFailed | Escalated | Resolved | Vanished |
//! |---|---|---|---|---|---|---|---|
//! | Detect again, lately | same | same | same | same | same | LIFECYCLE | LIFECYCLE |
//! | Detect again, after a while or at another revision | yes | yes | yes | yes | yes | LIFECYCLE | LIFECYCLE |
//! | SeeInSync | yes | yes | same¹ | yes | yes | same | same |
//! | SeeInSync, with the planned deployment | yes | yes | yes | yes | yes | same | same |
//! | SeeInSync, with another deployment | yes | yes | DRF-1 | yes | yes | same | same |
//! | SeeReplaced | yes | yes | same | yes | yes | same | same |
//! | PlanRemediation | yes | LIFECYCLE | same² | yes³ | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | PlanRemediation to a quarantined digest | QUARANTINE | LIFECYCLE | same² | QUARANTINE³ | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | PostponeRemediation | yes | LIFECYCLE | LIFECYCLE | yes | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | RecordRemediationFailed of the last attempt | LIFECYCLE | LIFECYCLE | yes | same | same | LIFECYCLE | LIFECYCLE |
//! | RecordRemediationFailed of another attempt | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | RetryRemediation | same | LIFECYCLE | same | yes | yes | LIFECYCLE | LIFECYCLE |
//! | AcceptException | yes | yes⁴ | LIFECYCLE | yes | yes | LIFECYCLE | LIFECYCLE |
//! | RevokeException | same | yes | same | same | same | LIFECYCLE | LIFECYCLE |
//! | Tick after the exception or the attempt has ended | same | yes | yes | same | same | same | same |
//!
//! *same* means accepted and nothing changes. ¹ *yes* where it is pruned, and was observed after that began. ² LIFECYCLE where it is another
//! repair. ³ LIFECYCLE before the next attempt is due. ⁴ *same* where it is the same exception.
//!
//! # What is compared, and what is not drift
//!
//! [`compare_states`] takes what is [`Authoritative`], what was observed and who owns what ([`Ownership`]), and hands out [`DetectedDrift`] and
//! [`InSync`] as evidence. What was observed too long ago gives neither. The comparison of documents ([`compare::difference`]) is exact after
//! both are brought into one normal form; the difference is for people: nothing reads a value back out of it, so a redacted text can never
//! become what is desired. A repair is a deployment of the desired release, or the removal of what nothing desires.
//!
//! Invariants, each with the place that keeps it:
//! - **DRF-1** (evidence, check): Resolved needs a recorded remediation (what the planned [`DeployedVersion`](crate::deployment::DeployedVersion)
//!   brought, or a prune, and [`InSync`] seen after it began) or an accepted exception; what goes by itself is Vanished.
//! - **DRF-2** (claim, check): one finding per hash: [`Claim::drift_finding`](crate::claim::Claim::drift_finding), held while it is open, and
//!   `detect_again` merges; a record whose hash is not of its divergence is refused.
//! - **DRF-3** (type, evidence): a finding is made of [`DetectedDrift`], which only a comparison with [`Authoritative`] desired state hands out;
//!   it keeps the [`DesiredStateRevision`].
//! - **X-1** (check): what was observed, deployed or cleared is of the same tenant and environment, or is refused.
//! - **X-3** (claim, check): detecting the same divergence twice gives one finding: `detect_again`.
//! - **X-11** (type, check): a value that is or may be a secret is shown as [`compare::ShownValue::Redacted`]; a reason that may hold one is
//!   refused where it is stated, and not kept where it is reported.

mod authority;
mod command;
pub mod compare;
mod comparison;
mod decide;
mod event;
mod evidence;
mod evolve;
mod finding;
mod observed;
mod ownership;
mod record;
mod refusal;
mod remediation;
mod secrecy;
mod state;
#[cfg(test)]
mod tests;
pub mod watch;

pub use authority::{Authoritative, DesiredStateRevision};
pub use command::{DetectDrift, DriftCommand, PlanRemediation};
pub use comparison::{
    ActualComponent, ActualResource, ActualState, Comparison, ComparisonPolicy, ComparisonRefusal,
    DesiredComponent, DesiredState, MOST_SUBJECTS, NotCompared, Suppressed, WhyNotCompared, compare_states,
    settings,
};
pub use event::{DriftDetected, DriftEvent, DriftRemediated};
pub use evidence::{DetectedDrift, InSync};
pub use finding::{DriftKind, FindingHash, Severity, Subject};
pub use ownership::{Owner, Ownership};
pub use record::RuntimeDriftFindingRecord;
pub use refusal::DriftRefusal;
pub use remediation::{
    BudgetError, MOST_ATTEMPTS_KEPT, RemediationAction, RemediationAttempt, RemediationBudget,
    RemediationMode, RemediationPolicy, RemediationResult,
};
pub use state::{
    Detected, DriftException, DriftState, DriftStatus, Escalated, HEARTBEAT, LONGEST_EXCEPTION,
    LONGEST_POSTPONEMENT, Remediating, RemediationFailed, Resolution, Resolved, RuntimeDriftFinding,
    Vanished,
};
