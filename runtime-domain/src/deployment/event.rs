//! What happens to a deployment.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::calendar::BreakGlass;
use crate::component::ImageDigest;
use crate::deployment::{Purpose, Release};
use crate::id::{DeploymentId, EnvironmentId, TenantId};
use crate::rollout::compile::RestorePoint;
use crate::rollout::{GateIndex, HealthGate, RolloutPlan, Sample, Track};
use crate::scope::Actor;
use crate::surface::{EffectId, TrafficControl};
use crate::time::Timestamp;
use crate::value::{ModuleId, Name};

/// What a deployment begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requested {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// What is rolled out.
    pub release: Release,
    /// Why: a release, or a way back.
    pub purpose: Purpose,
    /// Its number for each component.
    pub numbers: BTreeMap<ModuleId, u32>,
    /// What each component goes back to.
    pub restore_points: BTreeMap<ModuleId, RestorePoint>,
    /// How each component's traffic can be directed.
    pub traffic_controls: BTreeMap<ModuleId, TrafficControl>,
    /// Who broke the glass and why, where the calendar was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// Why a rollout stopped going forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RollbackCause {
    /// A gate failed.
    GateFailed {
        /// Its name.
        gate: Name,
        /// What was seen.
        reason: String,
    },
    /// A stage, or the whole, took too long.
    DeadlinePassed {
        /// What was waited for.
        waited_for: String,
    },
    /// New instances kept ending.
    CrashLoop {
        /// Of which component.
        module: ModuleId,
        /// What was seen.
        detail: String,
    },
    /// The surface will never do what the plan needs.
    EffectRefused {
        /// What it said.
        reason: String,
    },
    /// Someone stopped it.
    Aborted {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GateFailed { gate, reason } => write!(formatter, "gate {gate} failed: {reason}"),
            Self::DeadlinePassed { waited_for } => write!(formatter, "it took too long to see {waited_for}"),
            Self::CrashLoop { module, detail } => {
                write!(formatter, "instances of {module} keep ending: {detail}")
            }
            Self::EffectRefused { reason } => write!(formatter, "the surface refused: {reason}"),
            Self::Aborted { reason } => write!(formatter, "aborted: {reason}"),
        }
    }
}

/// Why a rollout is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PauseCause {
    /// Someone paused it.
    Requested {
        /// Why.
        reason: String,
    },
    /// A gate could not come to a verdict: unknown is not success, so a person decides.
    Inconclusive {
        /// Which gate.
        gate: GateIndex,
        /// What was seen last.
        seen: String,
    },
}

/// What happens to a deployment. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum DeploymentEvent {
    /// It was asked for and accepted. Published.
    RuntimeDeploymentRequested(Box<Requested>),
    /// Its plan was made.
    RolloutPlanned {
        /// What will be done.
        plan: RolloutPlan,
        /// What must pass.
        gates: Vec<HealthGate>,
    },
    /// What a stage requires was observed.
    StageCleared {
        /// On which track.
        track: Track,
    },
    /// A change will be made.
    EffectIntended {
        /// On which track.
        track: Track,
        /// For which gate's job, where it is one.
        job: Option<GateIndex>,
        /// Which effect.
        effect: EffectId,
    },
    /// A change was accepted.
    EffectPerformed {
        /// Which.
        effect: EffectId,
    },
    /// A change was not accepted yet.
    EffectDeferred {
        /// Which.
        effect: EffectId,
        /// Why.
        reason: String,
        /// When to try again.
        not_before: Timestamp,
    },
    /// A change was accepted and is not to be seen: it will be made again.
    EffectRepeated {
        /// On which track.
        track: Track,
    },
    /// A gate was looked at.
    GateSampled {
        /// Which.
        gate: GateIndex,
        /// What was seen.
        sample: Sample,
    },
    /// A person agreed.
    GateApproved {
        /// To which gate.
        gate: GateIndex,
        /// Who.
        by: Actor,
    },
    /// A gate passed.
    GatePassed {
        /// Which.
        gate: GateIndex,
        /// What was seen.
        evidence: String,
    },
    /// A gate failed.
    GateFailed {
        /// Which.
        gate: GateIndex,
        /// What was seen.
        reason: String,
    },
    /// A stage is done.
    StageCompleted {
        /// On which track.
        track: Track,
    },
    /// A stage that undoes nothing was given up.
    StageSkipped {
        /// On which track.
        track: Track,
        /// Why.
        reason: String,
    },
    /// A hold that waits for a person is over.
    HoldReleased {
        /// On which track.
        track: Track,
    },
    /// Nothing new is begun.
    RolloutPaused {
        /// Why.
        cause: PauseCause,
    },
    /// It goes on.
    RolloutResumed,
    /// Nothing waits any more.
    RolloutPromoted,
    /// It goes back.
    RollbackStarted {
        /// Why.
        cause: RollbackCause,
    },
    /// Every gate has passed and everything is in place. Published.
    RuntimeDeploymentCompleted,
    /// What served before serves again. Published.
    RuntimeDeploymentRolledBack {
        /// Why.
        cause: RollbackCause,
        /// The images that stay out until they are released.
        quarantined: BTreeMap<ModuleId, ImageDigest>,
        /// What could not be removed in time.
        leftovers: Vec<String>,
    },
    /// It ended before anything was touched.
    DeploymentRejected {
        /// Why.
        cause: RollbackCause,
    },
    /// What served before could not be restored in time.
    DeploymentFailed {
        /// What is missing.
        why: String,
        /// The images that stay out until they are released.
        quarantined: BTreeMap<ModuleId, ImageDigest>,
    },
    /// The rolled-back images may be deployed again.
    QuarantineReleased {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for DeploymentEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::RuntimeDeploymentRequested(_) => "RuntimeDeploymentRequested",
            Self::RolloutPlanned { .. } => "RolloutPlanned",
            Self::StageCleared { .. } => "StageCleared",
            Self::EffectIntended { .. } => "EffectIntended",
            Self::EffectPerformed { .. } => "EffectPerformed",
            Self::EffectDeferred { .. } => "EffectDeferred",
            Self::EffectRepeated { .. } => "EffectRepeated",
            Self::GateSampled { .. } => "GateSampled",
            Self::GateApproved { .. } => "GateApproved",
            Self::GatePassed { .. } => "GatePassed",
            Self::GateFailed { .. } => "GateFailed",
            Self::StageCompleted { .. } => "StageCompleted",
            Self::StageSkipped { .. } => "StageSkipped",
            Self::HoldReleased { .. } => "HoldReleased",
            Self::RolloutPaused { .. } => "RolloutPaused",
            Self::RolloutResumed => "RolloutResumed",
            Self::RolloutPromoted => "RolloutPromoted",
            Self::RollbackStarted { .. } => "RollbackStarted",
            Self::RuntimeDeploymentCompleted => "RuntimeDeploymentCompleted",
            Self::RuntimeDeploymentRolledBack { .. } => "RuntimeDeploymentRolledBack",
            Self::DeploymentRejected { .. } => "DeploymentRejected",
            Self::DeploymentFailed { .. } => "DeploymentFailed",
            Self::QuarantineReleased { .. } => "QuarantineReleased",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeDeploymentRequested(_)
            | Self::RuntimeDeploymentCompleted
            | Self::RuntimeDeploymentRolledBack { .. } => Some(1),
            _ => None,
        }
    }
}
