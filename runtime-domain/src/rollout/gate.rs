//! Health gates: what must be shown before a rollout goes on.
//!
//! A gate counts samples and comes to one verdict. A sample without data is unknown: it never counts as a success, and too many of
//! them pause the rollout for a person instead of guessing. A gate is bound to the revision it judges, so that a new revision never
//! inherits a verdict.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::component::{HttpPath, JobSpec, RevisionId};
use crate::metric::{MetricName, MetricReading};
use crate::rollout::progress::EffectState;
use crate::scope::Actor;
use crate::surface::EffectId;
use crate::time::{Span, Timestamp};
use crate::value::{Measure, ModuleId, Name};

/// A gate as a release declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateSpec {
    /// Its name, unique within the release.
    pub name: Name,
    /// When it is evaluated.
    pub at: GatePoint,
    /// Which components it judges; empty means each of them. Approvals and jobs judge the release as a whole.
    #[serde(default)]
    pub modules: BTreeSet<ModuleId>,
    /// What it asks.
    pub check: GateCheck,
}

/// When a gate is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GatePoint {
    /// Before anything is touched: approvals, then jobs such as migrations, in the order they are declared.
    BeforeRollout,
    /// When the new revision is ready and has no traffic yet.
    BeforeTraffic,
    /// At every share of traffic, the whole included, during its hold.
    DuringTraffic,
    /// Once, when every component is rolled out: the post-deploy verification.
    AfterRollout,
}

/// What a gate asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GateCheck {
    /// Enough instances are ready. Every new revision has this gate; a release does not declare it.
    Readiness,
    /// An HTTP request is answered with 200 to 299.
    Probe(ProbeCheck),
    /// A metric stays within its bound.
    Metric(MetricCheck),
    /// Enough people agree.
    Approval(ApprovalCheck),
    /// A job ends well; it runs once per deployment.
    Job(JobSpec),
}

/// Asks every ready instance of the judged revision, or the component's endpoint after the rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeCheck {
    /// The path.
    pub path: HttpPath,
    /// How often.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// How long one answer may take.
    #[serde(default = "default_interval")]
    pub timeout: Span,
    /// How many successes in a row pass the gate.
    #[serde(default = "one")]
    pub successes: u16,
    /// How many failures, in all, are forgiven.
    #[serde(default)]
    pub failure_limit: u16,
    /// How many samples in a row without an answer to judge pause the rollout.
    #[serde(default = "default_inconclusive")]
    pub inconclusive_limit: u16,
}

/// Compares a metric of the judged revision alone with a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetricCheck {
    /// What is measured, since the stage began.
    pub metric: MetricName,
    /// What is wanted of it.
    pub bound: Bound,
    /// Fewer requests than this are no basis for a verdict.
    #[serde(default = "default_samples")]
    pub min_samples: u64,
    /// How old the newest sample may be: a reading of traffic that has stopped is no basis for a verdict either.
    #[serde(default = "default_freshness")]
    pub freshness: Span,
    /// How often it is read.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// How many successes in a row pass the gate.
    #[serde(default = "one")]
    pub successes: u16,
    /// How many failures, in all, are forgiven.
    #[serde(default)]
    pub failure_limit: u16,
    /// How many readings in a row without enough data pause the rollout.
    #[serde(default = "default_inconclusive")]
    pub inconclusive_limit: u16,
}

const fn default_interval() -> Span {
    Span::from_secs(1)
}
const fn one() -> u16 {
    1
}
const fn default_inconclusive() -> u16 {
    60
}
const fn default_samples() -> u64 {
    1
}
const fn default_freshness() -> Span {
    Span::from_secs(60)
}

/// What is wanted of a metric's value, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// It is this or less.
    AtMost(Measure),
    /// It is this or more.
    AtLeast(Measure),
}

impl Bound {
    /// Whether a value is as wanted.
    pub fn holds(self, value: Measure) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(formatter, "≤ {most}"),
            Self::AtLeast(least) => write!(formatter, "≥ {least}"),
        }
    }
}

/// Asks people: n of m.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalCheck {
    /// How many different people must approve; at least one.
    pub required: u16,
    /// Who may; empty means whoever the host lets call the command.
    #[serde(default)]
    pub approvers: BTreeSet<Actor>,
}

/// Points to a gate within its deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateIndex(pub u16);

/// A gate within a deployment: what it asks, of which revision, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthGate {
    /// The declared name; the readiness gate is called `readiness`.
    pub name: Name,
    /// When it is evaluated.
    pub at: GatePoint,
    /// What it asks.
    pub check: GateCheck,
    /// The one revision that its verdict is about; `None` where it is about the release as a whole.
    pub judged: Option<RevisionId>,
    /// How far it has come.
    pub status: GateStatus,
}

/// How far a gate has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GateStatus {
    /// Its stage has not begun, or nothing was sampled yet.
    Pending,
    /// Samples were taken.
    Evaluating(Tally),
    /// It passed. It stays so.
    Passed {
        /// When.
        at: Timestamp,
        /// What was seen.
        evidence: String,
    },
    /// It failed. It stays so.
    Failed {
        /// When.
        at: Timestamp,
        /// What was seen.
        reason: String,
    },
}

/// What a gate has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// When the newest sample was taken.
    pub sampled_at: Option<Timestamp>,
    /// Successes since the last sample that was none.
    pub successes_in_a_row: u16,
    /// Failures in all.
    pub failures: u16,
    /// Samples without a verdict since the last that had one.
    pub inconclusive_in_a_row: u16,
    /// Who approved.
    pub approvals: BTreeSet<Actor>,
    /// How far the start of the gate's job is, where it has one.
    pub job: Option<EffectState>,
    /// The effect that started it.
    pub job_effect: Option<EffectId>,
    /// What the newest sample saw.
    pub seen: String,
}

/// One look at what a gate judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sample {
    /// As wanted.
    Success {
        /// What was seen.
        seen: String,
    },
    /// Not as wanted.
    Failure {
        /// What was seen.
        seen: String,
    },
    /// Nothing that a verdict can rest on.
    Unknown {
        /// Why.
        seen: String,
    },
}

impl Sample {
    /// What was seen.
    pub fn seen(&self) -> &str {
        match self {
            Self::Success { seen } | Self::Failure { seen } | Self::Unknown { seen } => seen,
        }
    }
}

impl MetricCheck {
    /// Judges a reading. An error, no value, too few samples, or samples of which the newest is too old or has no time: all are unknown.
    pub fn judge(&self, reading: &Result<MetricReading, String>, now: Timestamp) -> Sample {
        let metric = &self.metric;
        let reading = match reading {
            Ok(reading) => reading,
            Err(error) if bug!("errors-count-as-success") => return Sample::Success { seen: error.clone() },
            Err(error) => return Sample::Unknown { seen: format!("{metric} could not be read: {error}") },
        };
        let Some(value) = reading.value.filter(|_| reading.samples >= self.min_samples) else {
            let seen = format!("{metric} has {} samples of at least {}", reading.samples, self.min_samples);
            if bug!("no-traffic-advances") {
                return Sample::Success { seen };
            }
            return Sample::Unknown { seen };
        };
        match reading.newest.map(|newest| Span::between(newest, now)) {
            None => Sample::Unknown { seen: format!("{metric} does not say how old its samples are") },
            Some(age) if age > self.freshness => {
                let seen =
                    format!("the newest sample of {metric} is {age} old, and {} is fresh", self.freshness);
                Sample::Unknown { seen }
            }
            Some(_) => {
                let samples = reading.samples;
                let seen = format!("{metric} {value} over {samples} samples, wanted {}", self.bound);
                if self.bound.holds(value) { Sample::Success { seen } } else { Sample::Failure { seen } }
            }
        }
    }
}

/// How one target of a probe gate answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Which instance or endpoint.
    pub target: String,
    /// The HTTP status, or why there is none.
    pub answer: Result<u16, String>,
}

impl ProbeCheck {
    /// Judges the answers of all targets of one round: the worst decides, and no target at all is unknown.
    pub fn judge(&self, results: &[ProbeResult]) -> Sample {
        let bad = results.iter().find(|result| !matches!(result.answer, Ok(200..=299)));
        match (bad, results.len()) {
            (_, 0) => Sample::Unknown { seen: "there was no target to probe".to_string() },
            (None, count) => Sample::Success {
                seen: format!("{} of {count} answered 2xx to {}", count, self.path.as_str()),
            },
            (Some(bad), _) => {
                let what = match &bad.answer {
                    Ok(status) => format!("status {status}"),
                    Err(reason) => reason.clone(),
                };
                Sample::Failure { seen: format!("{} answered {what} to {}", bad.target, self.path.as_str()) }
            }
        }
    }
}

/// What a gate's tally comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Not enough was seen.
    Undecided,
    /// Enough successes: it may pass once its hold is over.
    Sufficient,
    /// More failures than are forgiven.
    Failed,
    /// Too many samples in a row without a verdict.
    Inconclusive,
}

impl HealthGate {
    /// True once it has passed.
    pub fn has_passed(&self) -> bool {
        matches!(self.status, GateStatus::Passed { .. })
    }

    /// The tally so far; empty where nothing was sampled.
    pub fn tally(&self) -> Tally {
        match &self.status {
            GateStatus::Evaluating(tally) => tally.clone(),
            _ => Tally::default(),
        }
    }

    /// When the next sample is due; `None` where the gate is not sampled or has its verdict.
    pub fn sample_due(&self, since: Timestamp) -> Option<Timestamp> {
        let interval = match (&self.check, &self.status) {
            (_, GateStatus::Passed { .. } | GateStatus::Failed { .. }) => return None,
            (GateCheck::Probe(check), _) => check.interval,
            (GateCheck::Metric(check), _) => check.interval,
            (GateCheck::Readiness | GateCheck::Approval(_) | GateCheck::Job(_), _) => return None,
        };
        Some(match self.tally().sampled_at {
            Some(sampled_at) => interval.after(sampled_at),
            None if matches!(self.check, GateCheck::Metric(_)) => interval.after(since),
            None => since,
        })
    }

    /// What the tally comes to.
    pub fn conclusion(&self) -> Conclusion {
        let tally = self.tally();
        let (successes, failure_limit, inconclusive_limit) = match &self.check {
            GateCheck::Probe(check) => (check.successes, check.failure_limit, check.inconclusive_limit),
            GateCheck::Metric(check) => (check.successes, check.failure_limit, check.inconclusive_limit),
            GateCheck::Approval(check) => {
                let enough = tally.approvals.len() >= usize::from(check.required.max(1));
                return if enough { Conclusion::Sufficient } else { Conclusion::Undecided };
            }
            // A job's and a readiness gate's verdict is one sample.
            GateCheck::Job(_) => (1, 0, 1),
            GateCheck::Readiness => return Conclusion::Undecided,
        };
        if tally.failures > failure_limit {
            Conclusion::Failed
        } else if tally.inconclusive_in_a_row >= inconclusive_limit.max(1) {
            Conclusion::Inconclusive
        } else if tally.successes_in_a_row >= successes.max(1) {
            Conclusion::Sufficient
        } else {
            Conclusion::Undecided
        }
    }

    pub(crate) fn count(&mut self, sample: &Sample, at: Timestamp) {
        let mut tally = self.tally();
        tally.sampled_at = Some(at);
        tally.seen = sample.seen().to_string();
        match sample {
            Sample::Success { .. } => {
                tally.successes_in_a_row = tally.successes_in_a_row.saturating_add(1);
                tally.inconclusive_in_a_row = 0;
            }
            Sample::Failure { .. } => {
                tally.failures = tally.failures.saturating_add(1);
                tally.successes_in_a_row = 0;
                tally.inconclusive_in_a_row = 0;
            }
            Sample::Unknown { .. } => {
                tally.successes_in_a_row = 0;
                tally.inconclusive_in_a_row = tally.inconclusive_in_a_row.saturating_add(1);
            }
        }
        self.status = GateStatus::Evaluating(tally);
    }

    pub(crate) fn update_tally(&mut self, update: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally();
        update(&mut tally);
        self.status = GateStatus::Evaluating(tally);
    }
}
