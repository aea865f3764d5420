//! The aggregate.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::ImageDigest;
use crate::drift::compare::{NonEmptyDiff, ShownValue};
use crate::drift::{
    DesiredStateRevision, DriftKind, FindingHash, RemediationAction, RemediationAttempt, RemediationBudget,
    Severity, Subject,
};
use crate::id::{DeploymentId, DriftFindingId, EnvironmentId, ServiceId, TenantId};
use crate::scope::Actor;
use crate::time::{Span, Timestamp};

/// The longest that an exception lasts: 90 days. Whoever means it for ever changes what is desired.
pub const LONGEST_EXCEPTION: Span = Span::from_secs(90 * 86_400);
/// How far ahead a repair is put off at most: 7 days.
pub const LONGEST_POSTPONEMENT: Span = Span::from_secs(7 * 86_400);
/// How often a finding notes that it was seen again and is the same.
pub const HEARTBEAT: Span = Span::from_secs(900);

/// A divergence of what runs from what is desired.
///
/// It comes to be by [`RuntimeDriftFinding::detect`] and changes by [`RuntimeDriftFinding::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDriftFinding {
    pub(super) drift_finding_id: DriftFindingId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) subject: Subject,
    pub(super) kind: DriftKind,
    pub(super) severity: Severity,
    pub(super) revision: DesiredStateRevision,
    pub(super) diff: NonEmptyDiff,
    pub(super) hash: FindingHash,
    pub(super) desired_image: Option<ImageDigest>,
    pub(super) is_automatic: bool,
    pub(super) detected_at: Timestamp,
    pub(super) last_seen_at: Timestamp,
    pub(super) sightings: u64,
    pub(super) attempted: u32,
    pub(super) attempts: Vec<RemediationAttempt>,
    pub(super) state: DriftState,
}

/// Where a finding stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftState {
    /// It waits for a repair or for people.
    Detected(Detected),
    /// Somebody accepts it for a while.
    Excepted(DriftException),
    /// It is being repaired.
    Remediating(Remediating),
    /// A repair failed; another waits.
    RemediationFailed(RemediationFailed),
    /// Repairs failed as often as may be; people are called.
    Escalated(Escalated),
    /// It was repaired, or went while it was accepted (DRF-1).
    Resolved(Resolved),
    /// It went by itself, before anything was done about it.
    Vanished(Vanished),
}

/// It waits for a repair or for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detected {
    /// When a repair is to be planned, where it is repaired by itself.
    pub look_at: Option<Timestamp>,
}

/// Somebody accepts a divergence for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DriftException {
    /// Who takes it on themselves.
    pub owner: Actor,
    /// Why. Never a secret.
    pub reason: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// It is being repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remediating {
    /// The attempt's number.
    pub attempt: u32,
    /// How many attempts this is since people last looked.
    pub tries: u16,
    /// What is done.
    pub action: RemediationAction,
    /// Since when.
    pub since: Timestamp,
    /// When it counts as failed.
    pub until: Timestamp,
    /// How often it may be tried.
    pub budget: RemediationBudget,
}

/// A repair failed; another waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemediationFailed {
    /// How many failed since people last looked.
    pub tries: u16,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// Repairs failed as often as may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalated {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// Why a finding is Resolved: there is no other way (DRF-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// By the attempt with this number, which succeeded.
    Remediated {
        /// Which.
        attempt: u32,
    },
    /// It went while somebody accepted it.
    Excepted(DriftException),
}

/// It was repaired, or went while it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// Since when.
    pub resolved_at: Timestamp,
    /// How.
    pub resolution: Resolution,
}

/// It went by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vanished {
    /// Since when.
    pub vanished_at: Timestamp,
    /// The divergence that is in its place, where there is one.
    pub replaced_by: Option<FindingHash>,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DriftStatus {
    /// It waits for a repair or for people.
    Detected,
    /// Somebody accepts it for a while.
    Excepted,
    /// It is being repaired.
    Remediating,
    /// A repair failed; another waits.
    RemediationFailed,
    /// Repairs failed as often as may be.
    Escalated,
    /// It was repaired, or went while it was accepted.
    Resolved,
    /// It went by itself.
    Vanished,
}

impl DriftStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Detected,
        Self::Excepted,
        Self::Remediating,
        Self::RemediationFailed,
        Self::Escalated,
        Self::Resolved,
        Self::Vanished,
    ];

    /// Those in which the divergence is still there, as far as is known.
    pub const OPEN: [Self; 5] =
        [Self::Detected, Self::Excepted, Self::Remediating, Self::RemediationFailed, Self::Escalated];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detected => "Detected",
            Self::Excepted => "Excepted",
            Self::Remediating => "Remediating",
            Self::RemediationFailed => "RemediationFailed",
            Self::Escalated => "Escalated",
            Self::Resolved => "Resolved",
            Self::Vanished => "Vanished",
        }
    }
}

impl fmt::Display for DriftStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl DriftState {
    /// The state's name.
    pub const fn status(&self) -> DriftStatus {
        match self {
            Self::Detected(_) => DriftStatus::Detected,
            Self::Excepted(_) => DriftStatus::Excepted,
            Self::Remediating(_) => DriftStatus::Remediating,
            Self::RemediationFailed(_) => DriftStatus::RemediationFailed,
            Self::Escalated(_) => DriftStatus::Escalated,
            Self::Resolved(_) => DriftStatus::Resolved,
            Self::Vanished(_) => DriftStatus::Vanished,
        }
    }

    /// Whether the divergence is still there, as far as is known.
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Resolved(_) | Self::Vanished(_))
    }
}

impl RuntimeDriftFinding {
    /// Its identifier.
    pub fn id(&self) -> DriftFindingId {
        self.drift_finding_id
    }

    /// The tenant. It never changes.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// What diverges.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The service, where what diverges is one.
    pub fn service_id(&self) -> Option<ServiceId> {
        self.subject.service(self.environment_id)
    }

    /// How it diverges.
    pub fn kind(&self) -> DriftKind {
        self.kind
    }

    /// How grave it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The revision that says what is desired (DRF-3).
    pub fn revision(&self) -> &DesiredStateRevision {
        &self.revision
    }

    /// Where desired and actual differ.
    pub fn diff(&self) -> &NonEmptyDiff {
        &self.diff
    }

    /// What is desired, path by path.
    pub fn desired(&self) -> impl Iterator<Item = (&str, &ShownValue)> {
        self.diff.entries().iter().map(|entry| (entry.path.as_str(), &entry.desired))
    }

    /// What is there, path by path.
    pub fn actual(&self) -> impl Iterator<Item = (&str, &ShownValue)> {
        self.diff.entries().iter().map(|entry| (entry.path.as_str(), &entry.actual))
    }

    /// What makes two findings one (DRF-2).
    pub fn hash(&self) -> &FindingHash {
        &self.hash
    }

    /// The image that is desired of a component.
    pub fn desired_image(&self) -> Option<&ImageDigest> {
        self.desired_image.as_ref()
    }

    /// When it was found.
    pub fn detected_at(&self) -> Timestamp {
        self.detected_at
    }

    /// When what runs was last observed to diverge, as far as is noted.
    pub fn last_seen_at(&self) -> Timestamp {
        self.last_seen_at
    }

    /// How often that was noted.
    pub fn sightings(&self) -> u64 {
        self.sightings
    }

    /// The last attempts to repair it, the oldest first.
    pub fn attempts(&self) -> &[RemediationAttempt] {
        &self.attempts
    }

    /// When it was repaired; `None` where it was not.
    pub fn remediated_at(&self) -> Option<Timestamp> {
        match &self.state {
            DriftState::Resolved(Resolved { resolved_at, resolution: Resolution::Remediated { .. } }) => {
                Some(*resolved_at)
            }
            _ => None,
        }
    }

    /// The deployment that repaired it; `None` where none did.
    pub fn remediation_deployment_id(&self) -> Option<DeploymentId> {
        self.remediated_at()?;
        match self.attempts.last()?.action {
            RemediationAction::Redeploy { deployment } => Some(deployment),
            RemediationAction::Prune => None,
        }
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &DriftState {
        &self.state
    }
}
