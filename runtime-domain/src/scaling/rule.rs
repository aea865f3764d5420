//! One rule of a policy: which metric, which threshold, which action; and how much of a reading it takes to be believed.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::scaling::ScalingMetric;
use crate::time::Span;
use crate::value::{Measure, Percent};

/// What a rule may bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ScalingAction {
    /// More replicas, and fewer.
    #[default]
    ScaleOutAndIn,
    /// More replicas only. Where its metric is low the rule abstains, so that others may take replicas away.
    ScaleOut,
}

/// What it takes for a reading to be known. Any other is Unknown, which is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Credence {
    /// The oldest that it may be; and the furthest ahead, for clocks that differ.
    pub freshness: Span,
    /// The fewest samples that it may rest on.
    pub least_samples: u64,
}

impl Default for Credence {
    fn default() -> Self {
        Self { freshness: Span::from_secs(60), least_samples: 1 }
    }
}

/// A metric, its threshold, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScalingRule {
    /// What is measured. A policy has one rule for a metric at the most.
    pub metric: ScalingMetric,
    /// How much of it one replica is to carry: for a utilisation whole percent from 1 to 100, else messages or requests per second above
    /// zero.
    pub threshold: Measure,
    /// What may follow.
    #[serde(default)]
    pub action: ScalingAction,
    /// How much it takes, over all, for the first replica to be started from zero: more than this. Not for utilisations.
    #[serde(default = "nothing")]
    pub activation: Measure,
    /// When a reading is believed.
    #[serde(default)]
    pub credence: Credence,
}

const fn nothing() -> Measure {
    Measure::from_micros(0)
}

impl ScalingRule {
    /// A rule that scales out and in, wakes at anything above zero, and believes a reading of the last minute.
    pub fn new(metric: ScalingMetric, threshold: Measure) -> Self {
        Self {
            metric,
            threshold,
            action: ScalingAction::default(),
            activation: nothing(),
            credence: Credence::default(),
        }
    }

    pub(super) fn fault(&self) -> Option<RuleFault> {
        let micros = self.threshold.micros();
        let whole_percent = micros % 1_000_000 == 0 && (1..=100).contains(&(micros / 1_000_000));
        if self.metric.is_utilization() && !whole_percent {
            return Some(RuleFault::NotAPercentage);
        }
        if micros <= 0 {
            return Some(RuleFault::NotPositive);
        }
        let is_activated = if self.metric.is_utilization() {
            self.activation == nothing()
        } else {
            self.activation >= nothing()
        };
        if !is_activated {
            return Some(RuleFault::Activation);
        }
        self.credence.fault()
    }
}

impl Credence {
    /// The shortest span of time in which a reading can arrive.
    pub const SHORTEST_FRESHNESS: Span = Span::from_secs(1);
    /// The longest that a reading can say anything of the present.
    pub const LONGEST_FRESHNESS: Span = Span::from_secs(3_600);

    fn fault(&self) -> Option<RuleFault> {
        let is_span = (Self::SHORTEST_FRESHNESS..=Self::LONGEST_FRESHNESS).contains(&self.freshness);
        if !is_span {
            return Some(RuleFault::Freshness);
        }
        (self.least_samples == 0).then_some(RuleFault::NoSamples)
    }
}

/// Scales out while an objective's error budget burns too fast over two stretches of time: the short one says that it burns now, the long
/// one that it is no blip. It never scales in.
///
/// A burn rate of 1 uses the budget up exactly at the end of the objective's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ErrorBudgetRule {
    /// The burn rate from which on, in both stretches, replicas are added. Above zero.
    pub burn_rate: Measure,
    /// The short stretch: over how long the metric source measures.
    pub short: Span,
    /// The long stretch; longer than the short one.
    pub long: Span,
    /// How many replicas are added, in percent of those there are, rounded up; from 1.
    pub step: Percent,
    /// When a reading is believed.
    #[serde(default)]
    pub credence: Credence,
}

impl ErrorBudgetRule {
    /// The longest stretch: an objective's whole period.
    pub const LONGEST_STRETCH: Span = Span::from_secs(90 * 86_400);

    pub(super) fn fault(&self) -> Option<RuleFault> {
        if self.burn_rate <= nothing() {
            return Some(RuleFault::NotPositive);
        }
        if self.short.is_zero() || self.short >= self.long || self.long > Self::LONGEST_STRETCH {
            return Some(RuleFault::Stretches);
        }
        if self.step == Percent::NONE {
            return Some(RuleFault::NoStep);
        }
        self.credence.fault()
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleFault {
    /// A utilisation's threshold is no whole percentage.
    NotAPercentage,
    /// A threshold that divides is not above zero.
    NotPositive,
    /// What wakes from zero is negative, or is a utilisation's.
    Activation,
    /// A reading may be as old as says nothing, or cannot arrive in time.
    Freshness,
    /// A reading without samples would be believed.
    NoSamples,
    /// The stretches of time are none, or not in order.
    Stretches,
    /// Nothing would be added.
    NoStep,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAPercentage => "write a threshold of whole percent from 1 to 100",
            Self::NotPositive => "write a threshold above zero",
            Self::Activation => {
                "write an activation of zero or more, and none for a utilisation, which says nothing where no replica runs"
            }
            Self::Freshness => "write a freshness from 1s to 1h",
            Self::NoSamples => "ask for one sample or more",
            Self::Stretches => "write a short stretch above zero and a longer one of at most 90d",
            Self::NoStep => "write a step of 1% or more",
        })
    }
}
