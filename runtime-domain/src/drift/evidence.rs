//! What a comparison proves to a finding.

use crate::component::ImageDigest;
use crate::drift::compare::NonEmptyDiff;
use crate::drift::{DesiredStateRevision, DriftKind, FindingHash, Severity, Subject};
use crate::id::{EnvironmentId, TenantId};
use crate::time::Timestamp;

/// Proof that what runs was seen to diverge from authoritative desired state (DRF-3).
///
/// Only [`compare_states`](crate::drift::compare_states) hands it out, for as long as what was observed is fresh.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct DetectedDrift {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) subject: Subject,
    pub(crate) kind: DriftKind,
    pub(crate) severity: Severity,
    pub(crate) revision: DesiredStateRevision,
    pub(crate) diff: NonEmptyDiff,
    pub(crate) desired_image: Option<ImageDigest>,
    pub(crate) hash: FindingHash,
    pub(crate) seen_at: Timestamp,
    pub(crate) until: Timestamp,
}

/// Proof that a subject was seen not to diverge in one kind of way.
///
/// Only [`Comparison::in_sync`](crate::drift::Comparison::in_sync) hands it out, for as long as what was observed is fresh.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct InSync {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) subject: Subject,
    pub(crate) kind: DriftKind,
    pub(crate) seen_at: Timestamp,
    pub(crate) until: Timestamp,
}

impl DetectedDrift {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// What diverges.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How.
    pub fn kind(&self) -> DriftKind {
        self.kind
    }

    /// How grave it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The revision that says what is desired.
    pub fn revision(&self) -> &DesiredStateRevision {
        &self.revision
    }

    /// Where desired and actual differ.
    pub fn diff(&self) -> &NonEmptyDiff {
        &self.diff
    }

    /// What makes two of them one (DRF-2).
    pub fn hash(&self) -> &FindingHash {
        &self.hash
    }

    /// When what runs was observed.
    pub fn seen_at(&self) -> Timestamp {
        self.seen_at
    }

    /// Until when it proves anything.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

impl InSync {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// What does not diverge.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// In which kind of way it does not.
    pub fn kind(&self) -> DriftKind {
        self.kind
    }

    /// When what runs was observed.
    pub fn seen_at(&self) -> Timestamp {
        self.seen_at
    }

    /// Until when it proves anything.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}
