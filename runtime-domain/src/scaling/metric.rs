//! What a policy scales by.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// What is measured of a service, and in which unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ScalingMetric {
    /// Processor time, in percent of what is requested: the average of the ready replicas.
    CpuUtilization,
    /// Memory, in percent of what is requested: the average of the ready replicas.
    MemoryUtilization,
    /// Messages that wait, over all replicas.
    QueueLength,
    /// Requests per second, over all replicas.
    RequestRate,
}

impl ScalingMetric {
    /// Every metric.
    pub const ALL: [Self; 4] =
        [Self::CpuUtilization, Self::MemoryUtilization, Self::QueueLength, Self::RequestRate];

    /// The metric's name as manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuUtilization => "cpu-utilization",
            Self::MemoryUtilization => "memory-utilization",
            Self::QueueLength => "queue-length",
            Self::RequestRate => "request-rate",
        }
    }

    /// True where it is a percentage of what the replicas request. Such a metric says nothing where none runs, so that it cannot wake a
    /// service from zero; the others are counted outside of the replicas, and can.
    pub const fn is_utilization(self) -> bool {
        matches!(self, Self::CpuUtilization | Self::MemoryUtilization)
    }
}

impl fmt::Display for ScalingMetric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a proposal comes from: a metric's rule, or the error budget's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// The rule of [`ScalingMetric::CpuUtilization`].
    CpuUtilization,
    /// The rule of [`ScalingMetric::MemoryUtilization`].
    MemoryUtilization,
    /// The rule of [`ScalingMetric::QueueLength`].
    QueueLength,
    /// The rule of [`ScalingMetric::RequestRate`].
    RequestRate,
    /// The rule of an objective's error budget.
    ErrorBudget,
}

impl Signal {
    /// The signal's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuUtilization => ScalingMetric::CpuUtilization.name(),
            Self::MemoryUtilization => ScalingMetric::MemoryUtilization.name(),
            Self::QueueLength => ScalingMetric::QueueLength.name(),
            Self::RequestRate => ScalingMetric::RequestRate.name(),
            Self::ErrorBudget => "error-budget",
        }
    }
}

impl From<ScalingMetric> for Signal {
    fn from(metric: ScalingMetric) -> Self {
        match metric {
            ScalingMetric::CpuUtilization => Self::CpuUtilization,
            ScalingMetric::MemoryUtilization => Self::MemoryUtilization,
            ScalingMetric::QueueLength => Self::QueueLength,
            ScalingMetric::RequestRate => Self::RequestRate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How long after a change of replicas none is taken away, in whole seconds from none to a day; and for how long nothing must have been
/// to do before the last is. It never delays a replica that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u32", into = "u32")]
pub struct Cooldown(u32);

/// Why a number of seconds is not a cooldown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} seconds are not a cooldown: write a number from 0 to 86400")]
pub struct CooldownError(u32);

impl Cooldown {
    /// The longest, in seconds: a day.
    pub const LONGEST_SECONDS: u32 = 86_400;
    /// Five minutes.
    pub const DEFAULT: Self = Self(300);

    /// So many seconds.
    ///
    /// # Errors
    /// More than a day.
    pub const fn from_secs(seconds: u32) -> Result<Self, CooldownError> {
        if seconds > Self::LONGEST_SECONDS { Err(CooldownError(seconds)) } else { Ok(Self(seconds)) }
    }

    /// In seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// As a span of time.
    pub const fn span(self) -> Span {
        Span::from_secs(self.0 as u64)
    }
}

impl Default for Cooldown {
    fn default() -> Self {
        Self::DEFAULT
    }
}
impl TryFrom<u32> for Cooldown {
    type Error = CooldownError;
    fn try_from(seconds: u32) -> Result<Self, Self::Error> {
        Self::from_secs(seconds)
    }
}
impl From<Cooldown> for u32 {
    fn from(cooldown: Cooldown) -> Self {
        cooldown.0
    }
}
