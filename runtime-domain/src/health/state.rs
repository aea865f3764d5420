//! The aggregate and its values: entries, windows, and how the worst is found.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::health::refusal::EntryFault;
use crate::health::verdict::Verdict;
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::time::Timestamp;
use crate::value::{ModuleId, Name};

/// How well something is, from best to worst: comparing two finds the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum HealthStatus {
    /// All is well.
    Healthy,
    /// It works, and something is wrong.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl HealthStatus {
    /// Every status, from best to worst.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::Unhealthy => "Unhealthy",
        }
    }

    /// The worst of several; `None` of none, because nothing is known of nothing.
    pub fn worst(statuses: impl IntoIterator<Item = Self>) -> Option<Self> {
        statuses.into_iter().max()
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Whether the service finds itself well.
    #[serde(rename = "self")]
    Itself,
    /// Whether it must be replaced.
    Liveness,
    /// Whether it may be sent requests.
    Readiness,
    /// Whether something that it needs is well.
    Dependency,
}

/// How long a probe took, in whole milliseconds, up to about 49 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct LatencyMs(pub u32);

impl fmt::Display for LatencyMs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}ms", self.0)
    }
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckEntry {
    /// The probe's name; with its kind unique within a result.
    pub probe: Name,
    /// What it asked.
    pub kind: ProbeKind,
    /// Whether the service needs it. Only a dependency can do without: the other kinds count in full whatever this says.
    pub required: bool,
    /// What it found.
    pub status: HealthStatus,
    /// How long it took.
    pub duration: LatencyMs,
    /// What else it told: at most [`CheckEntry::MOST_DATA`] bytes of keys and values. Never a secret: it is shown to people.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

impl CheckEntry {
    /// The most entries of one result.
    pub const MOST: usize = 100;
    /// The most data of one entry: bytes of its keys and values, summed.
    pub const MOST_DATA: usize = 4_096;

    /// The key of what was seen, in words, in an entry's data.
    pub const SEEN: &'static str = "seen";
    /// The key of what a dependency is and why, in words, in an entry's data: `db, which is Unhealthy: probe …`.
    pub const DEPENDENCY: &'static str = "dependency";

    /// How it counts for the service: as found, save that an optional dependency which is Unhealthy only degrades it.
    pub fn counts_as(&self) -> HealthStatus {
        let is_optional = self.kind == ProbeKind::Dependency && !self.required;
        if is_optional { self.status.min(HealthStatus::Degraded) } else { self.status }
    }

    fn data_size(&self) -> usize {
        self.data
            .iter()
            .map(|(key, value)| key.len().saturating_add(value.len()))
            .fold(0, usize::saturating_add)
    }
}

/// Checks the entries of one result and gives its status: the worst of them (HLT-2).
pub(super) fn judge(entries: &[CheckEntry]) -> Result<HealthStatus, EntryFault> {
    if entries.len() > CheckEntry::MOST {
        return Err(EntryFault::TooMany { count: entries.len() });
    }
    let mut seen = BTreeSet::new();
    for entry in entries {
        if !seen.insert((&entry.probe, entry.kind)) {
            return Err(EntryFault::Twice { probe: entry.probe.clone() });
        }
        let size = entry.data_size();
        if size > CheckEntry::MOST_DATA {
            return Err(EntryFault::TooMuchData { probe: entry.probe.clone(), size });
        }
    }
    HealthStatus::worst(entries.iter().map(CheckEntry::counts_as)).ok_or(EntryFault::None)
}

/// The time that an evaluation is about: from its start, up to and not including its end. Never empty (HLT-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Bounds", into = "Bounds")]
pub struct EvaluationWindow {
    start: Timestamp,
    end: Timestamp,
}

impl EvaluationWindow {
    /// The time from `start` to `end`.
    ///
    /// # Errors
    /// The end is not after the start, in whole milliseconds: windows are told apart by those.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, WindowError> {
        if end.timestamp_millis() > start.timestamp_millis() {
            Ok(Self { start, end })
        } else {
            Err(WindowError { start, end })
        }
    }

    /// When it begins.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// When it ends.
    pub fn end(&self) -> Timestamp {
        self.end
    }
}

/// A window as it is written, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds {
    start: Timestamp,
    end: Timestamp,
}

impl TryFrom<Bounds> for EvaluationWindow {
    type Error = WindowError;
    fn try_from(bounds: Bounds) -> Result<Self, Self::Error> {
        Self::new(bounds.start, bounds.end)
    }
}
impl From<EvaluationWindow> for Bounds {
    fn from(window: EvaluationWindow) -> Self {
        Self { start: window.start, end: window.end }
    }
}

/// A window that is empty or ends before it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a window from {start} to {end} is empty: choose an end at least a millisecond after its start")]
pub struct WindowError {
    start: Timestamp,
    end: Timestamp,
}

/// An immutable record of one evaluation of a running service.
///
/// - **HLT-1** nothing changes it: `evolve.rs`.
/// - **HLT-2** its status is the worst of its entries: `state.rs`, `evolve.rs`, `record.rs`.
/// - **HLT-3** it belongs to one service and one window: [`Claim::health_window`](crate::claim::Claim::health_window).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheckResult {
    pub(super) health_check_result_id: HealthCheckResultId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) service_id: ServiceId,
    pub(super) module_id: ModuleId,
    pub(super) status: HealthStatus,
    pub(super) evaluated_at: Timestamp,
    pub(super) evaluation_window: EvaluationWindow,
    pub(super) entries: Vec<CheckEntry>,
    pub(super) verdict: Option<Verdict>,
}

impl HealthCheckResult {
    /// Its identifier.
    pub fn health_check_result_id(&self) -> HealthCheckResultId {
        self.health_check_result_id
    }

    /// The service that was evaluated.
    pub fn service_id(&self) -> ServiceId {
        self.service_id
    }

    /// The module that the service is of.
    pub fn module_id(&self) -> &ModuleId {
        &self.module_id
    }

    /// The worst of its entries (HLT-2). It was so when it was evaluated: for how the service is now, ask
    /// [`ServiceHealth`](crate::health::ServiceHealth).
    pub fn status(&self) -> HealthStatus {
        self.status
    }

    /// When it was evaluated.
    pub fn evaluated_at(&self) -> Timestamp {
        self.evaluated_at
    }

    /// The time that the evaluation is about.
    pub fn evaluation_window(&self) -> EvaluationWindow {
        self.evaluation_window
    }

    /// What is believed of the service after it.
    pub fn verdict(&self) -> Verdict {
        self.verdict.unwrap_or(Verdict::first(self.status))
    }

    /// What the probes found.
    pub fn entries(&self) -> &[CheckEntry] {
        &self.entries
    }
}
