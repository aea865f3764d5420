//! Scaling policies.

use runtime_domain::id::{EnvironmentId, ScalingPolicyId, ServiceId, TenantId};
use runtime_domain::scaling::{
    Cooldown, Credence, ErrorBudgetRule, Fallback, FallbackReplicas, PolicySpec, PolicyState, PolicyStatus,
    PolicyTerms, ReplicaBounds, ScalingAction, ScalingMetric, ScalingPolicy as Policy, ScalingRule,
    Stabilisation, StepLimit, StepLimits,
};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Measure, ModuleId, Percent, Replicas, Revision};
use runtime_services::scaling::ScalingPreview;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::millis;
use crate::problem::{Problem, ProblemKind};

mod requests;

pub use requests::{
    ChangeScalingPolicy, ListScalingPolicies, ScalingExplanation, ScalingPolicyHistoryRequest,
    ScalingPolicyReason,
};

/// Has a service scale by a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyScalingPolicy {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The module that the service is of. It need not run yet.
    pub module: ModuleId,
    /// What the policy says.
    pub policy: PolicyDocument,
}

/// Names a scaling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicyRequest {
    /// The policy.
    pub scaling_policy_id: ScalingPolicyId,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ScalingTerms")]
pub struct PolicyDocument {
    /// The surface that the service runs on.
    pub target: SurfaceKind,
    /// The fewest replicas. None is for event-driven targets only (SCL-2).
    pub min_replicas: u16,
    /// The most.
    pub max_replicas: Replicas,
    /// The rules; the one that wants the most decides.
    pub rules: Vec<Rule>,
    /// Scales out while the error budget burns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_budget: Option<ErrorBudget>,
    /// How far a metric may be from its threshold before anything is changed, in percent.
    #[serde(default = "ten_percent")]
    pub tolerance_percent: Percent,
    /// How long more must be wanted before there are more, in milliseconds.
    #[serde(default)]
    pub scale_out_stabilisation_millis: u64,
    /// How long less must be wanted before there are fewer, in milliseconds.
    #[serde(default = "five_minutes")]
    pub scale_in_stabilisation_millis: u64,
    /// How long nothing is changed after a change.
    #[serde(default = "five_minutes_in_seconds")]
    pub cooldown_seconds: u32,
    /// How fast there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_out_limit: Option<Limit>,
    /// How fast there may be fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_in_limit: Option<Limit>,
    /// What is done where metrics stay away.
    #[serde(default)]
    pub fallback: FallbackDocument,
}

fn ten_percent() -> Percent {
    Percent::new(10).unwrap_or(Percent::NONE)
}
const fn five_minutes() -> u64 {
    300_000
}
const fn five_minutes_in_seconds() -> u32 {
    300
}

/// A rule: which metric, which threshold, which action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ScalingRule")]
pub struct Rule {
    /// The metric.
    pub metric: ScalingMetric,
    /// What one replica should carry: whole percent of utilisation, or so much of the metric.
    pub threshold: Measure,
    /// What it may do.
    #[serde(default)]
    pub action: ScalingAction,
    /// Above which the service leaves zero.
    #[serde(default = "nothing")]
    pub activation: Measure,
    /// How old a reading may be, in milliseconds.
    #[serde(default = "minute")]
    pub freshness_millis: u64,
    /// How many samples it takes.
    #[serde(default = "one")]
    pub least_samples: u64,
}

const fn nothing() -> Measure {
    Measure::from_micros(0)
}
const fn minute() -> u64 {
    60_000
}
const fn one() -> u64 {
    1
}

/// Scales out while an error budget burns faster than it should, over a short and a long stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorBudget {
    /// How fast it may burn.
    pub burn_rate: Measure,
    /// The short stretch, in milliseconds.
    pub short_millis: u64,
    /// The long one, in milliseconds.
    pub long_millis: u64,
    /// How many more there are at each step, in percent.
    pub step_percent: Percent,
    /// How old a reading may be, in milliseconds.
    #[serde(default = "minute")]
    pub freshness_millis: u64,
    /// How many samples it takes.
    #[serde(default = "one")]
    pub least_samples: u64,
}

/// How many replicas may come or go within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ScalingLimit")]
pub struct Limit {
    /// So many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// So many percent of those that were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u16>,
    /// The period, in milliseconds.
    pub period_millis: u64,
}

/// What is done where metrics stay away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "ScalingFallback")]
pub struct FallbackDocument {
    /// After which time, in milliseconds.
    pub after_millis: u64,
    /// How many replicas there are then.
    pub mode: FallbackMode,
    /// The number that the mode is about; none for `current`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
}

/// How many replicas there are where metrics stay away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FallbackMode {
    /// As many as there are.
    #[default]
    Current,
    /// As many as are named.
    Static,
    /// As many as are named, or as there are where that is more.
    IfHigher,
    /// As many as are named, or as there are where that is fewer.
    IfLower,
}

impl Default for FallbackDocument {
    fn default() -> Self {
        Self::of(&Fallback::default())
    }
}

/// Why terms are no policy, and where in them.
pub(crate) struct NoPolicy {
    pub(crate) at: &'static str,
    pub(crate) why: String,
}

impl NoPolicy {
    fn because(error: &impl std::error::Error) -> Self {
        Self { at: "", why: error.to_string() }
    }
}

impl FallbackDocument {
    fn of(fallback: &Fallback) -> Self {
        let (mode, replicas) = match fallback.replicas {
            FallbackReplicas::Current => (FallbackMode::Current, None),
            FallbackReplicas::Static(replicas) => (FallbackMode::Static, Some(replicas)),
            FallbackReplicas::IfHigher(replicas) => (FallbackMode::IfHigher, Some(replicas)),
            FallbackReplicas::IfLower(replicas) => (FallbackMode::IfLower, Some(replicas)),
        };
        Self { after_millis: millis(fallback.after), mode, replicas }
    }

    fn fallback(self) -> Result<Fallback, NoPolicy> {
        let replicas = match (self.mode, self.replicas) {
            (FallbackMode::Current, None) => FallbackReplicas::Current,
            (FallbackMode::Static, Some(replicas)) => FallbackReplicas::Static(replicas),
            (FallbackMode::IfHigher, Some(replicas)) => FallbackReplicas::IfHigher(replicas),
            (FallbackMode::IfLower, Some(replicas)) => FallbackReplicas::IfLower(replicas),
            (FallbackMode::Current, Some(_)) | (_, None) => {
                let why = "`current` takes no replicas, and every other mode takes a number".to_owned();
                return Err(NoPolicy { at: ".fallback", why });
            }
        };
        Ok(Fallback { after: Span::from_millis(self.after_millis), replicas })
    }
}

impl Limit {
    fn limit(self) -> StepLimit {
        let Self { replicas, percent, period_millis } = self;
        StepLimit { replicas, percent, period: Span::from_millis(period_millis) }
    }

    fn of(limit: &StepLimit) -> Self {
        let StepLimit { replicas, percent, period } = *limit;
        Self { replicas, percent, period_millis: millis(period) }
    }
}

const fn credence(freshness_millis: u64, least_samples: u64) -> Credence {
    Credence { freshness: Span::from_millis(freshness_millis), least_samples }
}

impl PolicyDocument {
    pub(crate) fn spec(self) -> Result<PolicySpec, Problem> {
        let unprocessable = |NoPolicy { at, why }| format!("policy{at}: {why}");
        self.said().map_err(|illegal| Problem::new(ProblemKind::Unprocessable, unprocessable(illegal)))
    }

    /// The policy that says so, wherever it is written.
    pub(crate) fn said(self) -> Result<PolicySpec, NoPolicy> {
        let bounds = ReplicaBounds::new(self.target, self.min_replicas, self.max_replicas)
            .map_err(|error| NoPolicy::because(&error))?;
        let rules = self.rules.into_iter().map(|rule| ScalingRule {
            metric: rule.metric,
            threshold: rule.threshold,
            action: rule.action,
            activation: rule.activation,
            credence: credence(rule.freshness_millis, rule.least_samples),
        });
        let terms = PolicyTerms {
            bounds,
            rules: rules.collect(),
            error_budget: self.error_budget.map(|budget| ErrorBudgetRule {
                burn_rate: budget.burn_rate,
                short: Span::from_millis(budget.short_millis),
                long: Span::from_millis(budget.long_millis),
                step: budget.step_percent,
                credence: credence(budget.freshness_millis, budget.least_samples),
            }),
            tolerance: self.tolerance_percent,
            stabilisation: Stabilisation {
                scale_out: Span::from_millis(self.scale_out_stabilisation_millis),
                scale_in: Span::from_millis(self.scale_in_stabilisation_millis),
            },
            cooldown_seconds: Cooldown::from_secs(self.cooldown_seconds)
                .map_err(|error| NoPolicy::because(&error))?,
            limits: StepLimits {
                scale_out: self.scale_out_limit.map(Limit::limit),
                scale_in: self.scale_in_limit.map(Limit::limit),
            },
            fallback: self.fallback.fallback()?,
        };
        PolicySpec::new(terms).map_err(|error| NoPolicy::because(&error))
    }

    pub(crate) fn of(spec: &PolicySpec) -> Self {
        let terms = spec.terms();
        let rules = terms.rules.iter().map(|rule| Rule {
            metric: rule.metric,
            threshold: rule.threshold,
            action: rule.action,
            activation: rule.activation,
            freshness_millis: millis(rule.credence.freshness),
            least_samples: rule.credence.least_samples,
        });
        Self {
            target: terms.bounds.target(),
            min_replicas: terms.bounds.least(),
            max_replicas: terms.bounds.most(),
            rules: rules.collect(),
            error_budget: terms.error_budget.map(|budget| ErrorBudget {
                burn_rate: budget.burn_rate,
                short_millis: millis(budget.short),
                long_millis: millis(budget.long),
                step_percent: budget.step,
                freshness_millis: millis(budget.credence.freshness),
                least_samples: budget.credence.least_samples,
            }),
            tolerance_percent: terms.tolerance,
            scale_out_stabilisation_millis: millis(terms.stabilisation.scale_out),
            scale_in_stabilisation_millis: millis(terms.stabilisation.scale_in),
            cooldown_seconds: terms.cooldown_seconds.as_secs(),
            scale_out_limit: terms.limits.scale_out.as_ref().map(Limit::of),
            scale_in_limit: terms.limits.scale_in.as_ref().map(Limit::of),
            fallback: FallbackDocument::of(&terms.fallback),
        }
    }
}

/// How a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ScalingPolicyStatus")]
pub enum Status {
    /// It is evaluated.
    Active,
    /// It is evaluated, and cannot be kept.
    Violated,
    /// Replicas stay as they are.
    Suspended,
    /// It ended.
    Retired,
}

impl Status {
    pub(crate) const fn stored(self) -> PolicyStatus {
        match self {
            Self::Active => PolicyStatus::Active,
            Self::Violated => PolicyStatus::Violated,
            Self::Suspended => PolicyStatus::Suspended,
            Self::Retired => PolicyStatus::Retired,
        }
    }
}

impl From<PolicyStatus> for Status {
    fn from(status: PolicyStatus) -> Self {
        match status {
            PolicyStatus::Active => Self::Active,
            PolicyStatus::Violated => Self::Violated,
            PolicyStatus::Suspended => Self::Suspended,
            PolicyStatus::Retired => Self::Retired,
        }
    }
}

/// A scaling policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Its identifier.
    pub scaling_policy_id: ScalingPolicyId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The one service that it is for (SCL-3).
    pub service_id: ServiceId,
    /// The service's module.
    pub module: ModuleId,
    /// What it says.
    pub policy: PolicyDocument,
    /// The utilisation that it keeps to, where it has a rule for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_utilization_percent: Option<Percent>,
    /// Whether the service may run no replica.
    pub scale_to_zero: bool,
    /// How it is.
    pub status: Status,
    /// Why it is violated, suspended or retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How many replicas were seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_replicas: Option<u16>,
    /// How many there are to be, while that was not seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_replicas: Option<u16>,
    /// Since when it says what it says.
    pub applied_at: Timestamp,
    /// What it did, the oldest first.
    pub events: Vec<ScalingEvent>,
    /// How often it was written.
    pub revision: u64,
}

/// An action of a policy that was seen to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingEvent {
    /// When it was seen.
    pub at: Timestamp,
    /// How many there were.
    pub from: u16,
    /// How many there are.
    pub to: u16,
}

impl ScalingPolicy {
    pub(crate) fn of(policy: &Policy, revision: Revision) -> Self {
        let cause = match policy.state() {
            PolicyState::Active(_) => None,
            PolicyState::Violated(state) => Some(state.violation.to_string()),
            PolicyState::Suspended(state) => Some(state.reason.clone()),
            PolicyState::Retired(state) => Some(state.reason.clone()),
        };
        let applied = policy.applied().iter();
        Self {
            scaling_policy_id: policy.id(),
            tenant_id: policy.tenant_id(),
            environment_id: policy.environment_id(),
            service_id: policy.service_id(),
            module: policy.module_id().clone(),
            policy: PolicyDocument::of(policy.spec()),
            target_utilization_percent: policy.target_utilization_percent(),
            scale_to_zero: policy.scale_to_zero(),
            status: policy.state().status().into(),
            cause,
            observed_replicas: policy.state().watch().and_then(|watch| watch.observed),
            wanted_replicas: policy.wanted().map(|wanted| wanted.to),
            applied_at: policy.applied_at(),
            events: applied
                .map(|action| ScalingEvent { at: action.at, from: action.from, to: action.to })
                .collect(),
            revision: revision.0,
        }
    }
}

/// What applying a policy came to, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyScalingPolicyOutcome {
    /// The policy.
    pub result: ScalingPolicy,
    /// False where the service scales by the same already.
    pub changed: bool,
    /// Why, in words.
    pub explanation: String,
    /// Whether only a preview was asked for.
    pub dry_run: bool,
    /// What it would decide now, where a preview was asked for and the service can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// What a policy decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ScalingDecision")]
pub struct Decision {
    /// How many replicas there are to be.
    pub replicas: u16,
    /// Why, in words.
    pub explanation: String,
}

pub(crate) fn decided(preview: ScalingPreview) -> Option<Decision> {
    let decision = preview.decision?;
    Some(Decision { replicas: decision.desired, explanation: decision.explanation })
}
