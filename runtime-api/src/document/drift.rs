//! Drift.

use runtime_domain::drift::compare::{DiffEntry, NonEmptyDiff, ShownValue};
use runtime_domain::drift::watch::{DriftWatch as Watched, Outlook, WatchState, WatchStatus};
use runtime_domain::drift::{
    DriftKind as Kind, DriftState, DriftStatus, RemediationAction, RemediationAttempt, RemediationResult,
    Resolution, RuntimeDriftFinding, Severity, Subject as Diverging,
};
use runtime_domain::id::{DeploymentId, DriftFindingId, EnvironmentId, ServiceId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod requests;

pub use requests::{
    AcceptDriftException, Budget, Divergence, DriftExplanation, DriftFindingHistoryRequest,
    DriftFindingReason, DriftReport, DriftWatch, ListDriftFindings, NotCompared, PathRule, Remedy,
    RemedyAction, StopWatching, Suppressed, Terms, Treatment, WatchEnvironment,
};

/// Names a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftFindingRequest {
    /// The finding.
    pub finding_id: DriftFindingId,
}

/// How an environment stands to its desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentDrift {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// What the last comparison came to.
    pub outlook: Comparison,
    /// The revision of the desired state that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_revision: Option<String>,
    /// Since when it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlook_since: Option<Timestamp>,
    /// Why it was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Every finding that has neither gone nor been resolved.
    pub findings: Vec<DriftFinding>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "DriftOutlook")]
pub enum Comparison {
    /// The environment is not watched.
    NotWatched,
    /// It was not compared yet.
    Unknown,
    /// What runs is what is desired.
    InSync,
    /// It is not.
    Diverged,
    /// The desired state could not be read, or what runs could not be seen.
    NotCompared,
}

impl EnvironmentDrift {
    pub(crate) fn of(
        environment_id: EnvironmentId,
        watch: Option<&Watched>,
        findings: Vec<DriftFinding>,
    ) -> Self {
        let (outlook, revision, cause) = match watch.and_then(Watched::outlook) {
            None => (Comparison::NotWatched, None, None),
            Some(Outlook::Unknown) => (Comparison::Unknown, None, None),
            Some(Outlook::InSync { revision }) => (Comparison::InSync, Some(revision), None),
            Some(Outlook::Diverged { revision }) => (Comparison::Diverged, Some(revision), None),
            Some(Outlook::NotCompared { reason }) => (Comparison::NotCompared, None, Some(reason.clone())),
        };
        let since = watch.and_then(|watch| match watch.state() {
            WatchState::Watching(watch) => Some(watch.outlook_since),
            WatchState::Stopped { .. } => None,
        });
        Self {
            environment_id,
            outlook,
            desired_revision: revision.map(ToString::to_string),
            outlook_since: since,
            cause,
            findings,
        }
    }
}

/// How an environment is watched, as a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "DriftWatchStatus")]
pub enum Watching {
    /// It is compared.
    Watching,
    /// It is compared no more.
    Stopped,
}

impl From<WatchStatus> for Watching {
    fn from(status: WatchStatus) -> Self {
        match status {
            WatchStatus::Watching => Self::Watching,
            WatchStatus::Stopped => Self::Stopped,
        }
    }
}

/// What diverges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[schemars(rename = "DriftSubject")]
pub enum Subject {
    /// A component.
    Component {
        /// Its module.
        module: ModuleId,
    },
    /// Something else that was provisioned.
    Resource {
        /// Its name.
        name: Name,
    },
}

impl Subject {
    pub(crate) fn of(subject: &Diverging) -> Self {
        match subject {
            Diverging::Component(module) => Self::Component { module: module.clone() },
            Diverging::Resource(name) => Self::Resource { name: name.clone() },
        }
    }
}

/// How something diverges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// Another image runs.
    ImageVersionMismatch,
    /// Another number of replicas runs.
    ReplicaMismatch,
    /// It runs with other settings.
    ConfigDrift,
    /// It is not there.
    MissingResource,
    /// Nothing desires it.
    UnmanagedResource,
}

impl From<Kind> for DriftKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ImageVersionMismatch => Self::ImageVersionMismatch,
            Kind::ReplicaMismatch => Self::ReplicaMismatch,
            Kind::ConfigDrift => Self::ConfigDrift,
            Kind::MissingResource => Self::MissingResource,
            Kind::UnmanagedResource => Self::UnmanagedResource,
        }
    }
}

impl DriftKind {
    pub(crate) const fn stored(self) -> Kind {
        match self {
            Self::ImageVersionMismatch => Kind::ImageVersionMismatch,
            Self::ReplicaMismatch => Kind::ReplicaMismatch,
            Self::ConfigDrift => Kind::ConfigDrift,
            Self::MissingResource => Kind::MissingResource,
            Self::UnmanagedResource => Kind::UnmanagedResource,
        }
    }
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "DriftStatus")]
pub enum Status {
    /// Seen.
    Detected,
    /// Accepted for a while.
    Excepted,
    /// Being repaired.
    Remediating,
    /// A repair failed; it is tried again.
    RemediationFailed,
    /// A person must look.
    Escalated,
    /// Repaired, or accepted for good.
    Resolved,
    /// Gone by itself.
    Vanished,
}

impl Status {
    pub(crate) const fn stored(self) -> DriftStatus {
        match self {
            Self::Detected => DriftStatus::Detected,
            Self::Excepted => DriftStatus::Excepted,
            Self::Remediating => DriftStatus::Remediating,
            Self::RemediationFailed => DriftStatus::RemediationFailed,
            Self::Escalated => DriftStatus::Escalated,
            Self::Resolved => DriftStatus::Resolved,
            Self::Vanished => DriftStatus::Vanished,
        }
    }
}

impl From<DriftStatus> for Status {
    fn from(status: DriftStatus) -> Self {
        match status {
            DriftStatus::Detected => Self::Detected,
            DriftStatus::Excepted => Self::Excepted,
            DriftStatus::Remediating => Self::Remediating,
            DriftStatus::RemediationFailed => Self::RemediationFailed,
            DriftStatus::Escalated => Self::Escalated,
            DriftStatus::Resolved => Self::Resolved,
            DriftStatus::Vanished => Self::Vanished,
        }
    }
}

/// A divergence from the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftFinding {
    /// Its identifier.
    pub finding_id: DriftFindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<ServiceId>,
    /// What diverges.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// How grave it is.
    pub severity: Severity,
    /// The revision of the desired state that says so (DRF-3).
    pub desired_revision: String,
    /// Where desired and actual differ, without secrets.
    pub differences: Vec<Difference>,
    /// How many more differences there are.
    pub omitted: u32,
    /// Where it stands.
    pub status: Status,
    /// Why, where somebody or something said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The exception, while it is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// When it was seen first.
    pub detected_at: Timestamp,
    /// When it was seen last.
    pub last_seen_at: Timestamp,
    /// When it was repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediated_at: Option<Timestamp>,
    /// The deployment that repaired it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_deployment_id: Option<DeploymentId>,
    /// Repairs that were tried.
    pub attempts: Vec<Attempt>,
    /// How often it was written.
    pub revision: u64,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Where.
    pub path: String,
    /// What is desired.
    pub desired: Side,
    /// What is there.
    pub actual: Side,
}

/// One side of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DriftSide")]
pub struct Side {
    /// Whether it can be shown.
    pub shown: Shown,
    /// What it is, where it can be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Whether a value can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// There is none.
    Absent,
    /// It might be a secret.
    Redacted,
    /// As a text.
    Text,
}

impl Difference {
    fn of(entry: &DiffEntry) -> Self {
        let side = |value: &ShownValue| match value {
            ShownValue::Absent => Side { shown: Shown::Absent, text: None },
            ShownValue::Redacted => Side { shown: Shown::Redacted, text: None },
            ShownValue::Text(text) => Side { shown: Shown::Text, text: Some(text.clone()) },
        };
        Self { path: entry.path.clone(), desired: side(&entry.desired), actual: side(&entry.actual) }
    }

    pub(crate) fn all(diff: &NonEmptyDiff) -> Vec<Self> {
        diff.entries().iter().map(Self::of).collect()
    }
}

/// Who accepts a divergence, why, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DriftException")]
pub struct Exception {
    /// Who.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A repair that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RemediationAttempt")]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// The deployment that it is; none where something is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<DeploymentId>,
    /// How it went.
    pub result: AttemptResult,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub timestamp: Timestamp,
}

/// How a repair went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptResult {
    /// It is under way.
    Running,
    /// What diverged is in sync.
    Succeeded,
    /// It is not.
    Failed,
}

impl Attempt {
    fn of(attempt: &RemediationAttempt) -> Self {
        let (result, reason) = match &attempt.result {
            RemediationResult::Running => (AttemptResult::Running, None),
            RemediationResult::Succeeded => (AttemptResult::Succeeded, None),
            RemediationResult::Failed { reason } => (AttemptResult::Failed, Some(reason.clone())),
        };
        Self {
            number: attempt.number,
            deployment_id: match attempt.action {
                RemediationAction::Redeploy { deployment } => Some(deployment),
                RemediationAction::Prune => None,
            },
            result,
            reason,
            timestamp: attempt.timestamp,
        }
    }
}

impl DriftFinding {
    pub(crate) fn of(finding: &RuntimeDriftFinding, revision: Revision) -> Self {
        let (cause, exception) = match finding.state() {
            DriftState::Escalated(state) => (Some(state.reason.clone()), None),
            DriftState::Excepted(exception) => (None, Some(exception)),
            DriftState::Resolved(state) => match &state.resolution {
                Resolution::Excepted(exception) => (None, Some(exception)),
                Resolution::Remediated { .. } => (None, None),
            },
            DriftState::Detected(_)
            | DriftState::Remediating(_)
            | DriftState::RemediationFailed(_)
            | DriftState::Vanished(_) => (None, None),
        };
        Self {
            finding_id: finding.id(),
            tenant_id: finding.tenant_id(),
            environment_id: finding.environment_id(),
            service_id: finding.service_id(),
            subject: Subject::of(finding.subject()),
            kind: finding.kind().into(),
            severity: finding.severity(),
            desired_revision: finding.revision().to_string(),
            differences: Difference::all(finding.diff()),
            omitted: finding.diff().omitted(),
            status: finding.state().status().into(),
            cause,
            exception: exception.map(|exception| Exception {
                owner: exception.owner.to_string(),
                reason: exception.reason.clone(),
                expires_at: exception.expires_at,
            }),
            detected_at: finding.detected_at(),
            last_seen_at: finding.last_seen_at(),
            remediated_at: finding.remediated_at(),
            remediation_deployment_id: finding.remediation_deployment_id(),
            attempts: finding.attempts().iter().map(Attempt::of).collect(),
            revision: revision.0,
        }
    }
}
