//! Moving a tenant from one environment to a silo of its own, as a machine that neither waits nor calls.
//!
//! ```text
//!                 ┌──────── forward ────────────────────────────────────────────────────────────┐
//! (begin) ─► Replicating ─► Switching ─► Observing ─► Cordoning ─► Releasing ─► (the source is released)
//!                 │             │            │            │ abort
//!                 │ fails,      │ fails,     │ fails,     ▼
//!                 │ abort       │ abort      │ abort   Uncordoning
//!                 ▼             ▼            ▼            ▼
//!              (bound)  ◄──────── SwitchingBack ◄─────────┘
//! ```
//!
//! Whoever carries a move out asks [`TenantMove::next`], does the step, and records its outcome; after a crash it asks again and gets the
//! same step, so each must be one that can be done twice. A step whose outcome is unknown is not recorded, and so is done again.
//!
//! - **A tenant is never without a home**: requests are sent only to an environment that serves. The target gets them after it has
//!   everything, the source stops serving only after the target has had all of them for the time of observation, and serves again before
//!   it gets them back.
//! - Before the switch an abort loses nothing; after it, and until the source is released, it brings every request back to the source.
//! - What fails on the way to something new goes back; what fails on the way to an end that is decided is tried again.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, TenantBindingId};
use crate::time::{Span, Timestamp};

/// How long a step that failed, and must not be given up, waits before it is tried again.
pub const RETRY_AFTER: Span = Span::from_secs(30);

/// A tenant's move to another environment, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantMove {
    /// Where the tenant moves.
    pub target_environment: EnvironmentId,
    /// Its place there.
    pub target_binding: TenantBindingId,
    /// How long the target serves everything before the source stops serving.
    pub observe_for: Span,
    /// How far it has come.
    pub stage: MoveStage,
    /// Since when it is there.
    pub since: Timestamp,
    /// When the stage's step may be tried again, where it failed.
    pub retry_at: Option<Timestamp>,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MoveStage {
    /// The target is getting workloads and data; the source serves.
    Replicating,
    /// Requests are being sent to the target; both serve.
    Switching,
    /// The target serves, and is watched; the source could.
    Observing,
    /// The source stops serving.
    Cordoning,
    /// What the source has of the tenant is removed.
    Releasing,
    /// The source starts to serve again; the target serves.
    Uncordoning,
    /// Requests are being sent to the source again; both serve.
    SwitchingBack,
}

/// What is to be done. Each can be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MoveStep {
    /// Deploy to the target what runs in the source, and bring its data there. Done when the target could serve.
    ReplicateToTarget,
    /// Send every request to the target. Done when it is observed there.
    SwitchToTarget,
    /// Judge how the target has served. No data is not well.
    JudgeTarget,
    /// Stop serving in the source. Workloads and data stay.
    CordonSource,
    /// Remove the tenant's workloads and data from the source.
    ReleaseSource,
    /// Serve in the source again. Done when it could be sent requests.
    UncordonSource,
    /// Send every request to the source. Done when it is observed there.
    SwitchToSource,
}

/// What a move does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is next does nothing until it is carried out"]
pub enum MoveNext {
    /// This step.
    Do(MoveStep),
    /// Nothing before this time.
    Wait(Timestamp),
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveOutcome {
    /// It is done, and was observed.
    Done,
    /// It could not be done, and why. Never a secret (X-11).
    Failed(String),
}

/// Where an outcome leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveTurn {
    /// To this stage.
    To(MoveStage),
    /// The same step again, not before this time.
    Again(Timestamp),
    /// The tenant has moved, and the source is to be released.
    Moved,
    /// The tenant stays where it was.
    Stayed,
}

impl MoveStage {
    /// Every stage.
    pub const ALL: [Self; 7] = [
        Self::Replicating,
        Self::Switching,
        Self::Observing,
        Self::Cordoning,
        Self::Releasing,
        Self::Uncordoning,
        Self::SwitchingBack,
    ];

    /// The stage's step.
    pub const fn step(self) -> MoveStep {
        match self {
            Self::Replicating => MoveStep::ReplicateToTarget,
            Self::Switching => MoveStep::SwitchToTarget,
            Self::Observing => MoveStep::JudgeTarget,
            Self::Cordoning => MoveStep::CordonSource,
            Self::Releasing => MoveStep::ReleaseSource,
            Self::Uncordoning => MoveStep::UncordonSource,
            Self::SwitchingBack => MoveStep::SwitchToSource,
        }
    }

    /// True where the source can be sent requests, whatever of the stage's step has happened.
    pub const fn source_serves(self) -> bool {
        matches!(self, Self::Replicating | Self::Switching | Self::Observing | Self::SwitchingBack)
    }

    /// True where the target can be sent requests, whatever of the stage's step has happened.
    pub const fn target_serves(self) -> bool {
        !matches!(self, Self::Replicating)
    }

    /// True where the tenant is on its way back.
    pub const fn is_back(self) -> bool {
        matches!(self, Self::Uncordoning | Self::SwitchingBack)
    }
}

impl TenantMove {
    /// A move that begins.
    pub(super) fn begin(
        target_environment: EnvironmentId,
        target_binding: TenantBindingId,
        observe_for: Span,
        at: Timestamp,
    ) -> Self {
        Self {
            target_environment,
            target_binding,
            observe_for,
            stage: MoveStage::Replicating,
            since: at,
            retry_at: None,
        }
    }

    /// What to do now. Asking changes nothing.
    pub fn next(&self, now: Timestamp) -> MoveNext {
        let due = self.due_at();
        if now < due { MoveNext::Wait(due) } else { MoveNext::Do(self.stage.step()) }
    }

    /// When there is something to do.
    pub fn due_at(&self) -> Timestamp {
        match (self.stage, self.retry_at) {
            (_, Some(retry_at)) => retry_at,
            (MoveStage::Observing, None) => self.observe_for.after(self.since),
            (_, None) => self.since,
        }
    }

    /// Where an outcome of the present stage's step leads; `None` where its step cannot have been done yet.
    pub(super) fn turn(&self, outcome: &MoveOutcome, now: Timestamp) -> Option<MoveTurn> {
        let is_done = *outcome == MoveOutcome::Done;
        Some(match self.stage {
            MoveStage::Replicating if is_done => MoveTurn::To(MoveStage::Switching),
            MoveStage::Replicating => MoveTurn::Stayed,
            MoveStage::Switching if is_done => MoveTurn::To(MoveStage::Observing),
            // The target is not judged well before it was watched for the whole time; it may be judged badly at once.
            MoveStage::Observing if is_done && now < self.due_at() => return None,
            MoveStage::Observing if is_done => MoveTurn::To(MoveStage::Cordoning),
            MoveStage::Switching | MoveStage::Observing => MoveTurn::To(MoveStage::SwitchingBack),
            MoveStage::Cordoning if is_done => MoveTurn::To(MoveStage::Releasing),
            MoveStage::Releasing if is_done => MoveTurn::Moved,
            MoveStage::Uncordoning if is_done => MoveTurn::To(MoveStage::SwitchingBack),
            MoveStage::SwitchingBack if is_done => MoveTurn::Stayed,
            MoveStage::Cordoning
            | MoveStage::Releasing
            | MoveStage::Uncordoning
            | MoveStage::SwitchingBack => MoveTurn::Again(RETRY_AFTER.after(now)),
        })
    }

    /// Where an abort leads; `None` on the way back, and where what the source has is being removed: from there is no way back.
    pub(super) fn abort(&self) -> Option<MoveTurn> {
        match self.stage {
            MoveStage::Replicating => Some(MoveTurn::Stayed),
            MoveStage::Switching | MoveStage::Observing => Some(MoveTurn::To(MoveStage::SwitchingBack)),
            MoveStage::Cordoning => Some(MoveTurn::To(MoveStage::Uncordoning)),
            MoveStage::Releasing | MoveStage::Uncordoning | MoveStage::SwitchingBack => None,
        }
    }

    /// The move at another stage.
    pub(super) fn at_stage(&self, stage: MoveStage, at: Timestamp) -> Self {
        Self { stage, since: at, retry_at: None, ..self.clone() }
    }

    /// The move at the same stage, with its step to be tried again.
    pub(super) fn again_at(&self, retry_at: Timestamp) -> Self {
        Self { retry_at: Some(retry_at), ..self.clone() }
    }
}
