//! Deployments: rollouts of one or more components, health-gated and reversible.
//!
//! ```text
//!            ┌────────── paused ◄───────┐
//!            ▼             │            │
//! requested ─► in progress ─────────────┴─► completed
//!     │             │      │
//!     ▼             └──────┴─► rolling back ─► rolled back
//!  rejected                          └───────► failed
//! ```
//!
//! | command | Requested | InProgress | Paused | RollingBack | Completed | RolledBack | Rejected | Failed |
//! |---|---|---|---|---|---|---|---|---|
//! | Approve, Reject | yes | yes | yes | no | no | no | no | no |
//! | Pause | yes | yes | same | no | no | no | no | no |
//! | Resume | same | yes | yes | no | no | no | no | no |
//! | PromoteNow | no | yes | yes | no | no | no | no | no |
//! | Abort | yes | yes | yes | same | no | same | same | same |
//! | ReleaseQuarantine | no | no | no | no | no | yes | no | yes |
//! | what a reconciler records | yes | yes | outcomes | yes | ignored | ignored | ignored | ignored |
//!
//! *same* means accepted and nothing changes; *ignored* means that a late report changes nothing.
//!
//! Invariants, each with the place that keeps it:
//! - **DEP-1** (check): never Completed unless every gate has passed: decided in `decide/consequence.rs`, checked again when the event is applied and
//!   when a record is loaded.
//! - **DEP-2** (evidence): a rollback target is a prior Completed deployment: only a Completed deployment hands out a [`RollbackPoint`].
//! - **DEP-3** (claim): one in flight per environment and component: [`Claim::in_flight`](crate::claim::Claim::in_flight), held until the end.
//! - **X-6** (check): code, configuration, secret versions and scaling policy are one [`ReleaseTuple`](crate::component::ReleaseTuple) of a
//!   revision, which is made whole and restored whole; `rollout/compile.rs` brings no part of it by itself. Where the tuple
//!   declares how the component scales, its policy follows the Completed deployment: [`ReleasedScaling`].

mod command;
mod decide;
mod event;
mod evidence;
mod evolve;
mod record;
mod refusal;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use command::{
    DeploymentCommand, EffectOutcome, JobReport, Release, RequestDeployment, RequestRollback, SeenRevisions,
};
pub use event::{DeploymentEvent, PauseCause, Requested as DeploymentRequested, RollbackCause};
pub use evidence::{DeployedVersion, ReleasedScaling, RollbackPoint};
pub use record::RuntimeDeploymentRecord;
pub use refusal::DeploymentRefusal;
pub use state::{
    Completed, DeploymentState, DeploymentStatus, DeploymentStep, Failed, InProgress, Paused, Purpose,
    Rejected, Requested, RolledBack, RollingBack, RuntimeDeployment, StepStatus,
};
