//! What a release is judged by.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::component::{HttpPath, ImageReference, VariableName};
use runtime_domain::metric::MetricName;
use runtime_domain::rollout::gate::{ApprovalCheck, Bound, MetricCheck, ProbeCheck};
use runtime_domain::rollout::{GateCheck, GatePoint};
use runtime_domain::scope::Actor;
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, ModuleId, Name};
use runtime_ports::manifest::{CheckManifest, JobManifest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{one, pinned};
use crate::document::millis;

/// A gate as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// When it is evaluated.
    pub at: GatePoint,
    /// Which components it judges; every one where it is not said.
    #[serde(default)]
    pub modules: BTreeSet<ModuleId>,
    /// What it asks.
    pub check: Check,
}

/// What a gate asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Check {
    /// An HTTP request is answered with 200 to 299.
    Probe {
        /// The path.
        path: HttpPath,
        /// How often, in milliseconds.
        #[serde(default = "second")]
        interval_millis: u64,
        /// How long an answer may take, in milliseconds.
        #[serde(default = "second")]
        timeout_millis: u64,
        /// How many successes in a row pass the gate.
        #[serde(default = "one")]
        successes: u16,
        /// How many failures, in all, are forgiven.
        #[serde(default)]
        failure_limit: u16,
        /// How many samples in a row without an answer pause the rollout.
        #[serde(default = "sixty")]
        inconclusive_limit: u16,
    },
    /// A metric stays within its bound.
    Metric {
        /// The metric: `error-rate`, `latency-p50`, `latency-p99`, `request-rate`, or the name of one of the host's own.
        metric: Name,
        /// It is this or less, in the metric's unit. One of the two bounds is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<Measure>,
        /// It is this or more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<Measure>,
        /// Fewer samples than this are no basis for a verdict.
        #[serde(default = "one_sample")]
        min_samples: u64,
        /// How old the newest sample may be, in milliseconds.
        #[serde(default = "minute")]
        freshness_millis: u64,
        /// How often it is read, in milliseconds.
        #[serde(default = "second")]
        interval_millis: u64,
        /// How many successes in a row pass the gate.
        #[serde(default = "one")]
        successes: u16,
        /// How many failures, in all, are forgiven.
        #[serde(default)]
        failure_limit: u16,
        /// How many readings in a row without enough data pause the rollout.
        #[serde(default = "sixty")]
        inconclusive_limit: u16,
    },
    /// Enough people agree.
    Approval {
        /// How many different people.
        required: u16,
        /// Who may; whoever has the role where nobody is named.
        #[serde(default)]
        approvers: BTreeSet<Actor>,
    },
    /// A job ends well; it runs once.
    Job {
        /// The image.
        image: ImageReference,
        /// Arguments after the image's entry point.
        #[serde(default)]
        arguments: Vec<String>,
        /// Plain environment variables, never a secret.
        #[serde(default)]
        variables: BTreeMap<VariableName, String>,
        /// The component of the release whose configuration and secrets it is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        component: Option<ModuleId>,
        /// How long it may run, in milliseconds.
        timeout_millis: u64,
    },
}

const fn second() -> u64 {
    1_000
}
const fn minute() -> u64 {
    60_000
}
const fn sixty() -> u16 {
    60
}
const fn one_sample() -> u64 {
    1
}

/// A gate that says two bounds, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a metric gate says one bound: write `atMost` or `atLeast`")]
pub(super) struct OneBound;

fn metric_named(name: &Name) -> MetricName {
    let known =
        [MetricName::ErrorRate, MetricName::LatencyP50, MetricName::LatencyP99, MetricName::RequestRate];
    let same = known.into_iter().find(|metric| metric.to_string() == name.as_str());
    same.unwrap_or_else(|| MetricName::Custom(name.clone()))
}

impl Check {
    pub(super) fn manifest(&self) -> Result<CheckManifest, OneBound> {
        Ok(match self.clone() {
            Self::Probe {
                path,
                interval_millis,
                timeout_millis,
                successes,
                failure_limit,
                inconclusive_limit,
            } => CheckManifest::Probe(ProbeCheck {
                path,
                interval: Span::from_millis(interval_millis),
                timeout: Span::from_millis(timeout_millis),
                successes,
                failure_limit,
                inconclusive_limit,
            }),
            Self::Metric {
                metric,
                at_most,
                at_least,
                min_samples,
                freshness_millis,
                interval_millis,
                successes,
                failure_limit,
                inconclusive_limit,
            } => CheckManifest::Metric(MetricCheck {
                metric: metric_named(&metric),
                bound: match (at_most, at_least) {
                    (Some(most), None) => Bound::AtMost(most),
                    (None, Some(least)) => Bound::AtLeast(least),
                    _ => return Err(OneBound),
                },
                min_samples,
                freshness: Span::from_millis(freshness_millis),
                interval: Span::from_millis(interval_millis),
                successes,
                failure_limit,
                inconclusive_limit,
            }),
            Self::Approval { required, approvers } => {
                CheckManifest::Approval(ApprovalCheck { required, approvers })
            }
            Self::Job { image, arguments, variables, component, timeout_millis } => {
                CheckManifest::Job(JobManifest {
                    image,
                    arguments,
                    variables,
                    component,
                    timeout: Span::from_millis(timeout_millis),
                })
            }
        })
    }

    /// What a declared gate asks; `None` for readiness, which nobody declares.
    pub(crate) fn of(check: &GateCheck) -> Option<Self> {
        Some(match check.clone() {
            GateCheck::Readiness => return None,
            GateCheck::Probe(check) => Self::Probe {
                path: check.path,
                interval_millis: millis(check.interval),
                timeout_millis: millis(check.timeout),
                successes: check.successes,
                failure_limit: check.failure_limit,
                inconclusive_limit: check.inconclusive_limit,
            },
            GateCheck::Metric(check) => {
                let (at_most, at_least) = match check.bound {
                    Bound::AtMost(most) => (Some(most), None),
                    Bound::AtLeast(least) => (None, Some(least)),
                };
                Self::Metric {
                    metric: Name::new(&check.metric.to_string()).ok()?,
                    at_most,
                    at_least,
                    min_samples: check.min_samples,
                    freshness_millis: millis(check.freshness),
                    interval_millis: millis(check.interval),
                    successes: check.successes,
                    failure_limit: check.failure_limit,
                    inconclusive_limit: check.inconclusive_limit,
                }
            }
            GateCheck::Approval(ApprovalCheck { required, approvers }) => {
                Self::Approval { required, approvers }
            }
            GateCheck::Job(job) => Self::Job {
                image: pinned(&job.image),
                arguments: job.arguments,
                variables: job.variables,
                component: job.component,
                timeout_millis: millis(job.timeout),
            },
        })
    }
}
