//! What a result is made of.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};
use crate::value::Name;

/// How well something is. Ordered from best to worst; there is no value for "not known", which is the absence of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// The worst of several, and `None` of none: nothing known is not Healthy (HLT-2).
    pub fn worst(statuses: impl IntoIterator<Item = Self>) -> Option<Self> {
        statuses.into_iter().max()
    }

    /// What this status of an optional dependency means for the service: it can degrade it, and no more.
    #[must_use]
    pub fn of_optional(self) -> Self {
        self.min(Self::Degraded)
    }

    /// The status's name as in spec.md: `Healthy`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::Unhealthy => "Unhealthy",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Is the process there?
    #[serde(rename = "self")]
    SelfCheck,
    /// Must it be replaced?
    Liveness,
    /// May it be sent requests?
    Readiness,
    /// Is something well that it needs?
    Dependency,
}

/// Whether a service works without a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// It does not.
    Required,
    /// It does, if less well.
    Optional,
}

/// How long a probe took, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LatencyMs(pub u64);

impl From<Span> for LatencyMs {
    fn from(span: Span) -> Self {
        Self(span.as_millis())
    }
}

impl fmt::Display for LatencyMs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ms", self.0)
    }
}

/// What one probe found.
///
/// Only a dependency can be optional, and an optional one is never Unhealthy: it carries what it means for the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EntryFields", into = "EntryFields")]
pub struct CheckEntry {
    fields: EntryFields,
}

/// The stored form of an entry, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFields {
    probe: Name,
    kind: ProbeKind,
    requirement: Requirement,
    status: HealthStatus,
    duration_ms: LatencyMs,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// Why an entry cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckEntryError {
    /// Only a dependency can be optional.
    #[error("probe `{probe}` is optional and asks for no dependency: make it required")]
    OptionalSelf {
        /// The probe.
        probe: Name,
    },
    /// An optional dependency cannot make its service Unhealthy.
    #[error("optional probe `{probe}` is Unhealthy: write Degraded, which is what it means for the service")]
    OptionalUnhealthy {
        /// The probe.
        probe: Name,
    },
    /// There is more data than is kept.
    #[error(
        "probe `{probe}` has too much data: at most {} items, keys of {} and values of {} bytes",
        CheckEntry::MOST_DATA,
        CheckEntry::LONGEST_KEY,
        CheckEntry::LONGEST_VALUE
    )]
    TooMuchData {
        /// The probe.
        probe: Name,
    },
}

impl CheckEntry {
    /// The most items of data.
    pub const MOST_DATA: usize = 32;
    /// The longest key of an item of data, in bytes; never empty.
    pub const LONGEST_KEY: usize = 64;
    /// The longest value of an item of data, in bytes.
    pub const LONGEST_VALUE: usize = 1_024;

    /// What a probe of the service itself found, or of a dependency that it cannot do without.
    pub fn required(probe: Name, kind: ProbeKind, status: HealthStatus, duration: LatencyMs) -> Self {
        Self {
            fields: EntryFields {
                probe,
                kind,
                requirement: Requirement::Required,
                status,
                duration_ms: duration,
                data: BTreeMap::new(),
            },
        }
    }

    /// What a probe of a dependency found that the service can do without: at worst, it degrades the service.
    pub fn optional(probe: Name, status: HealthStatus, duration: LatencyMs) -> Self {
        Self {
            fields: EntryFields {
                probe,
                kind: ProbeKind::Dependency,
                requirement: Requirement::Optional,
                status: status.of_optional(),
                duration_ms: duration,
                data: BTreeMap::new(),
            },
        }
    }

    /// With what the probe found besides. Never a secret.
    ///
    /// # Errors
    /// Too many items, or too long ones.
    pub fn with_data(self, data: BTreeMap<String, String>) -> Result<Self, CheckEntryError> {
        EntryFields { data, ..self.fields }.try_into()
    }

    /// The probe's name, unique within a result.
    pub fn probe(&self) -> &Name {
        &self.fields.probe
    }

    /// What the probe asks.
    pub fn kind(&self) -> ProbeKind {
        self.fields.kind
    }

    /// Whether the service works without it.
    pub fn requirement(&self) -> Requirement {
        self.fields.requirement
    }

    /// What it means for the service.
    pub fn status(&self) -> HealthStatus {
        self.fields.status
    }

    /// How long the probe took.
    pub fn duration(&self) -> LatencyMs {
        self.fields.duration_ms
    }

    /// What the probe found besides.
    pub fn data(&self) -> &BTreeMap<String, String> {
        &self.fields.data
    }
}

impl TryFrom<EntryFields> for CheckEntry {
    type Error = CheckEntryError;

    fn try_from(fields: EntryFields) -> Result<Self, Self::Error> {
        let probe = || fields.probe.clone();
        let is_optional = fields.requirement == Requirement::Optional;
        if is_optional && fields.kind != ProbeKind::Dependency {
            return Err(CheckEntryError::OptionalSelf { probe: probe() });
        }
        if is_optional && fields.status == HealthStatus::Unhealthy {
            return Err(CheckEntryError::OptionalUnhealthy { probe: probe() });
        }
        let fits = |(key, value): (&String, &String)| {
            (1..=Self::LONGEST_KEY).contains(&key.len()) && value.len() <= Self::LONGEST_VALUE
        };
        if fields.data.len() > Self::MOST_DATA || !fields.data.iter().all(fits) {
            return Err(CheckEntryError::TooMuchData { probe: probe() });
        }
        Ok(Self { fields })
    }
}
impl From<CheckEntry> for EntryFields {
    fn from(entry: CheckEntry) -> Self {
        entry.fields
    }
}

/// The stretch of time that a result is about: from `start`, before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "WindowFields", into = "WindowFields")]
pub struct EvaluationWindow {
    start: Timestamp,
    end: Timestamp,
}

/// The stored form of a window, before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowFields {
    start: Timestamp,
    end: Timestamp,
}

/// A window that does not end after its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an evaluation window from {start} to {end} is empty: write an end after the start")]
pub struct WindowError {
    start: Timestamp,
    end: Timestamp,
}

impl EvaluationWindow {
    /// The window from `start` to `end`.
    ///
    /// # Errors
    /// It does not end after its start.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, WindowError> {
        if start < end { Ok(Self { start, end }) } else { Err(WindowError { start, end }) }
    }

    /// Its beginning.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// Its end.
    pub fn end(self) -> Timestamp {
        self.end
    }
}

impl TryFrom<WindowFields> for EvaluationWindow {
    type Error = WindowError;
    fn try_from(fields: WindowFields) -> Result<Self, Self::Error> {
        Self::new(fields.start, fields.end)
    }
}
impl From<EvaluationWindow> for WindowFields {
    fn from(window: EvaluationWindow) -> Self {
        Self { start: window.start, end: window.end }
    }
}
