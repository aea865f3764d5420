//! What happens to a drift finding.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::calendar::BreakGlass;
use crate::component::ImageDigest;
use crate::drift::compare::NonEmptyDiff;
use crate::drift::{
    DesiredStateRevision, DriftException, DriftKind, FindingHash, RemediationAction, RemediationBudget,
    RemediationMode, Severity, Subject,
};
use crate::id::{DeploymentId, DriftFindingId, EnvironmentId, ServiceId, TenantId};
use crate::scope::Actor;
use crate::time::Timestamp;

/// A divergence, as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DriftDetected {
    /// The finding.
    pub drift_finding_id: DriftFindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service, where what diverges is one.
    pub service_id: Option<ServiceId>,
    /// What diverges.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// How grave it is.
    pub severity: Severity,
    /// The revision that says what is desired.
    pub revision: DesiredStateRevision,
    /// What is desired and what is there, path by path, without secrets.
    pub diff: NonEmptyDiff,
    /// What makes two findings one.
    pub hash: FindingHash,
    /// The image that is desired of a component.
    pub desired_image: Option<ImageDigest>,
    /// When what runs was observed.
    pub seen_at: Timestamp,
    /// Whether it is repaired.
    pub mode: RemediationMode,
}

/// A repaired divergence, as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DriftRemediated {
    /// The finding.
    pub drift_finding_id: DriftFindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service, where what diverged is one.
    pub service_id: Option<ServiceId>,
    /// What diverged.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// Which attempt repaired it.
    pub attempt: u32,
    /// The deployment that repaired it; `None` where it was pruned.
    pub remediation_deployment_id: Option<DeploymentId>,
}

/// What happens to a drift finding. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum DriftEvent {
    /// What runs diverges from what is desired. Published.
    RuntimeDriftDetected(DriftDetected),
    /// It was seen again.
    DriftSeenAgain {
        /// When what runs was observed.
        seen_at: Timestamp,
        /// The revision that says now what is desired.
        revision: DesiredStateRevision,
        /// How grave it is now.
        severity: Severity,
        /// The image that is desired now of a component.
        desired_image: Option<ImageDigest>,
    },
    /// A repair begins.
    RemediationPlanned {
        /// Its number.
        attempt: u32,
        /// How many attempts this is since people last looked.
        tries: u16,
        /// What is done.
        action: RemediationAction,
        /// When it counts as failed.
        until: Timestamp,
        /// How often it may be tried.
        budget: RemediationBudget,
        /// Who asked for it.
        requested_by: Option<Actor>,
        /// Who broke the glass and why, where the calendar was closed.
        break_glass: Option<BreakGlass>,
    },
    /// A repair cannot begin now.
    RemediationPostponed {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// A repair failed, and another waits.
    RemediationFailed {
        /// Which attempt.
        attempt: u32,
        /// What was said.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// A repair failed, and that was the last: people are called.
    DriftEscalated {
        /// Which attempt.
        attempt: u32,
        /// What was said.
        reason: String,
    },
    /// It is to be tried again, as often as at first.
    RemediationRetried {
        /// Who says so.
        by: Actor,
    },
    /// It was repaired. Published.
    RuntimeDriftRemediated(DriftRemediated),
    /// Somebody accepts it for a while.
    DriftExceptionAccepted {
        /// Who, why and until when.
        exception: DriftException,
    },
    /// It is no longer accepted.
    DriftExceptionRevoked {
        /// Why.
        reason: String,
    },
    /// It was accepted until now.
    DriftExceptionExpired,
    /// It went while it was accepted.
    DriftResolvedByException,
    /// It went by itself.
    DriftVanished {
        /// The divergence that is in its place, where there is one.
        replaced_by: Option<FindingHash>,
    },
}

impl DomainEvent for DriftEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::RuntimeDriftDetected(_) => "RuntimeDriftDetected",
            Self::DriftSeenAgain { .. } => "DriftSeenAgain",
            Self::RemediationPlanned { .. } => "RemediationPlanned",
            Self::RemediationPostponed { .. } => "RemediationPostponed",
            Self::RemediationFailed { .. } => "RemediationFailed",
            Self::DriftEscalated { .. } => "DriftEscalated",
            Self::RemediationRetried { .. } => "RemediationRetried",
            Self::RuntimeDriftRemediated(_) => "RuntimeDriftRemediated",
            Self::DriftExceptionAccepted { .. } => "DriftExceptionAccepted",
            Self::DriftExceptionRevoked { .. } => "DriftExceptionRevoked",
            Self::DriftExceptionExpired => "DriftExceptionExpired",
            Self::DriftResolvedByException => "DriftResolvedByException",
            Self::DriftVanished { .. } => "DriftVanished",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeDriftDetected(_) | Self::RuntimeDriftRemediated(_) => Some(1),
            Self::DriftSeenAgain { .. }
            | Self::RemediationPlanned { .. }
            | Self::RemediationPostponed { .. }
            | Self::RemediationFailed { .. }
            | Self::DriftEscalated { .. }
            | Self::RemediationRetried { .. }
            | Self::DriftExceptionAccepted { .. }
            | Self::DriftExceptionRevoked { .. }
            | Self::DriftExceptionExpired
            | Self::DriftResolvedByException
            | Self::DriftVanished { .. } => None,
        }
    }
}
