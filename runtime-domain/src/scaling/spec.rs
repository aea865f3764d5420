//! What a policy says.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::scaling::{
    Cooldown, ErrorBudgetRule, ReplicaBounds, RuleFault, ScalingMetric, ScalingRule, Signal,
};
use crate::time::Span;
use crate::value::{Percent, Replicas};

/// How far a metric may be from its threshold, either way, before it proposes a change.
pub type Tolerance = Percent;

/// For how long the most careful proposal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stabilisation {
    /// Scaling out goes no further than the least that was recommended within this time. None by default: who waits is served badly.
    pub scale_out: Span,
    /// Scaling in goes no further than the most that was recommended within this time. Five minutes by default.
    pub scale_in: Span,
}

impl Stabilisation {
    /// The longest window.
    pub const LONGEST: Span = Span::from_secs(3_600);
}

impl Default for Stabilisation {
    fn default() -> Self {
        Self { scale_out: Span::ZERO, scale_in: Span::from_secs(300) }
    }
}

/// How far one period may take the replicas from how many there were at its beginning. Where both are given the greater step counts, and a
/// step is never less than one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StepLimit {
    /// So many replicas.
    #[serde(default)]
    pub replicas: Option<Replicas>,
    /// So many percent of them, from 1 to 1,000.
    #[serde(default)]
    pub percent: Option<u16>,
    /// How long a period is: from 1s to 30m.
    pub period: Span,
}

impl StepLimit {
    /// The most percent of one step.
    pub const MOST_PERCENT: u16 = 1_000;
    /// The shortest period.
    pub const SHORTEST_PERIOD: Span = Span::from_secs(1);
    /// The longest period.
    pub const LONGEST_PERIOD: Span = Span::from_secs(1_800);

    fn is_legal(&self) -> bool {
        let percent = self.percent.is_none_or(|percent| (1..=Self::MOST_PERCENT).contains(&percent));
        let period = (Self::SHORTEST_PERIOD..=Self::LONGEST_PERIOD).contains(&self.period);
        percent && period && (self.replicas.is_some() || self.percent.is_some())
    }

    /// How many replicas one step from `start` may change.
    pub(super) fn step(&self, start: u16) -> u16 {
        let by_percent =
            self.percent.map_or(0, |percent| (u32::from(start) * u32::from(percent)).div_ceil(100));
        let by_replicas = self.replicas.map_or(0, |replicas| u32::from(replicas.get()));
        u16::try_from(by_percent.max(by_replicas).max(1)).unwrap_or(u16::MAX)
    }
}

/// How far one period may scale each way; without a limit, all the way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StepLimits {
    /// Out.
    #[serde(default)]
    pub scale_out: Option<StepLimit>,
    /// In.
    #[serde(default)]
    pub scale_in: Option<StepLimit>,
}

/// How many replicas there are to be while nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FallbackReplicas {
    /// As many as there are.
    #[default]
    Current,
    /// So many.
    Static(Replicas),
    /// So many, or as many as there are where that is more.
    IfHigher(Replicas),
    /// So many, or as many as there are where that is fewer.
    IfLower(Replicas),
}

impl FallbackReplicas {
    /// How many, of so many that there are. Never none: what nobody measured is not known to be idle.
    pub fn of(self, current: u16) -> u16 {
        let wanted = match self {
            Self::Current => current,
            Self::Static(replicas) => replicas.get(),
            Self::IfHigher(replicas) => replicas.get().max(current),
            Self::IfLower(replicas) => replicas.get().min(current),
        };
        wanted.max(1)
    }
}

/// What holds when metrics have been missing for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// How long a signal must have been Unknown without a break: from 1s to 1h. Until then the replicas stay as they are; after it the
    /// policy is violated, too.
    pub after: Span,
    /// How many replicas.
    pub replicas: FallbackReplicas,
}

impl Fallback {
    /// The shortest time.
    pub const SHORTEST: Span = Span::from_secs(1);
    /// The longest time.
    pub const LONGEST: Span = Span::from_secs(3_600);
}

impl Default for Fallback {
    fn default() -> Self {
        Self { after: Span::from_secs(180), replicas: FallbackReplicas::Current }
    }
}

/// What a policy says, in the open; [`PolicySpec`] is what was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyTerms {
    /// Between how many replicas, and on which target.
    pub bounds: ReplicaBounds,
    /// What each metric leads to. The greatest proposal wins.
    pub rules: Vec<ScalingRule>,
    /// What an objective's error budget leads to.
    #[serde(default)]
    pub error_budget: Option<ErrorBudgetRule>,
    /// How far a metric may be from its threshold without a change.
    #[serde(default = "ten_percent")]
    pub tolerance: Tolerance,
    /// For how long the most careful proposal counts.
    #[serde(default)]
    pub stabilisation: Stabilisation,
    /// How long after a change no replica is taken away, and how long an idle service keeps its last.
    #[serde(default)]
    pub cooldown_seconds: Cooldown,
    /// How far one period may scale.
    #[serde(default)]
    pub limits: StepLimits,
    /// What holds when metrics are missing.
    #[serde(default)]
    pub fallback: Fallback,
}

fn ten_percent() -> Tolerance {
    Percent::new(10).unwrap_or(Percent::NONE)
}

impl PolicyTerms {
    /// Terms with a tolerance of 10%, five minutes of stabilisation for scaling in and of cooldown, no step limits, and the present
    /// replicas while metrics are missing.
    pub fn new(bounds: ReplicaBounds, rules: impl IntoIterator<Item = ScalingRule>) -> Self {
        Self {
            bounds,
            rules: rules.into_iter().collect(),
            error_budget: None,
            tolerance: ten_percent(),
            stabilisation: Stabilisation::default(),
            cooldown_seconds: Cooldown::default(),
            limits: StepLimits::default(),
            fallback: Fallback::default(),
        }
    }

    fn fault(&self) -> Option<PolicyError> {
        if self.rules.is_empty() {
            return Some(PolicyError::NoRule);
        }
        let mut seen = BTreeSet::new();
        for rule in &self.rules {
            if !seen.insert(rule.metric) {
                return Some(PolicyError::Twice { metric: rule.metric });
            }
            if let Some(fault) = rule.fault() {
                return Some(PolicyError::Rule { signal: rule.metric.into(), fault });
            }
        }
        if let Some(fault) = self.error_budget.as_ref().and_then(ErrorBudgetRule::fault) {
            return Some(PolicyError::Rule { signal: Signal::ErrorBudget, fault });
        }
        if self.bounds.scales_to_zero() && self.rules.iter().all(|rule| rule.metric.is_utilization()) {
            return Some(PolicyError::NothingWakes);
        }
        let longest = self.stabilisation.scale_out.max(self.stabilisation.scale_in);
        if longest > Stabilisation::LONGEST {
            return Some(PolicyError::Window { longest });
        }
        let limits = [self.limits.scale_out, self.limits.scale_in];
        if !limits.iter().flatten().all(StepLimit::is_legal) {
            return Some(PolicyError::Limit);
        }
        let spans = Fallback::SHORTEST..=Fallback::LONGEST;
        (!spans.contains(&self.fallback.after))
            .then_some(PolicyError::Fallback { after: self.fallback.after })
    }
}

/// Why terms are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Nothing would ever scale.
    #[error("a policy needs a rule: write one for a metric")]
    NoRule,
    /// Two rules are of one metric.
    #[error("{metric} has two rules: write one for each metric")]
    Twice {
        /// Which metric.
        metric: ScalingMetric,
    },
    /// A rule is not legal.
    #[error("the rule for {signal} is not legal: {fault}")]
    Rule {
        /// Whose rule.
        signal: Signal,
        /// What is wrong.
        fault: RuleFault,
    },
    /// Nothing that can be measured without a replica would start the first.
    #[error(
        "no metric would wake the service from zero: write a rule for queue-length or request-rate, or a least of 1"
    )]
    NothingWakes,
    /// A stabilisation window is too long.
    #[error("a stabilisation window of {longest} is too long: write at most 1h")]
    Window {
        /// The longer of the two.
        longest: Span,
    },
    /// A step limit limits nothing, or everything.
    #[error(
        "a step limit is not legal: write replicas from 1 to 1000 or percent from 1 to 1000, and a period from 1s to 30m"
    )]
    Limit,
    /// The time before the fallback is none, or too long.
    #[error("{after} is not a time to wait for metrics: write a span from 1s to 1h")]
    Fallback {
        /// How long.
        after: Span,
    },
}

/// What a policy says, checked: it has rules, one for each metric, that can be computed with; and what scales to zero can wake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "PolicyTerms", into = "PolicyTerms")]
pub struct PolicySpec(PolicyTerms);

impl PolicySpec {
    /// Checks the terms.
    ///
    /// # Errors
    /// No rule, or two for a metric; a rule, window, limit or span outside of its documented range; a service that would never wake.
    pub fn new(terms: PolicyTerms) -> Result<Self, PolicyError> {
        terms.fault().map_or(Ok(Self(terms)), Err)
    }

    /// What it says.
    pub const fn terms(&self) -> &PolicyTerms {
        &self.0
    }

    /// Between how many replicas, and on which target.
    pub const fn bounds(&self) -> ReplicaBounds {
        self.0.bounds
    }

    /// The percentage that the first rule of a utilisation aims at; `None` where no rule is of one.
    pub fn target_utilization_percent(&self) -> Option<Percent> {
        let rule = self.0.rules.iter().find(|rule| rule.metric.is_utilization())?;
        Percent::new(u8::try_from(rule.threshold.micros() / 1_000_000).ok()?).ok()
    }

    /// In what the other differs, by the names of the terms.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let (one, other) = (&self.0, &other.0);
        let compared = [
            ("bounds", one.bounds == other.bounds),
            ("rules", one.rules == other.rules),
            ("error_budget", one.error_budget == other.error_budget),
            ("tolerance", one.tolerance == other.tolerance),
            ("stabilisation", one.stabilisation == other.stabilisation),
            ("cooldown_seconds", one.cooldown_seconds == other.cooldown_seconds),
            ("limits", one.limits == other.limits),
            ("fallback", one.fallback == other.fallback),
        ];
        compared.into_iter().filter_map(|(name, is_same)| (!is_same).then_some(name)).collect()
    }
}

impl TryFrom<PolicyTerms> for PolicySpec {
    type Error = PolicyError;
    fn try_from(terms: PolicyTerms) -> Result<Self, Self::Error> {
        Self::new(terms)
    }
}
impl From<PolicySpec> for PolicyTerms {
    fn from(spec: PolicySpec) -> Self {
        spec.0
    }
}
