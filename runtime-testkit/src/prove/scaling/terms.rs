//! What a plan says a policy is to say, through the doors that everybody uses.

use runtime_domain::scaling::{
    BoundsError, Cooldown, Credence, ErrorBudgetRule, Fallback, FallbackReplicas, PolicyError, PolicySpec,
    PolicyTerms, ReplicaBounds, ScalingAction, ScalingMetric, ScalingRule, Stabilisation, StepLimit,
    StepLimits,
};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Percent, Replicas};

use crate::plan::scaling::{self as plan, BudgetRule, Limit, MetricRule, Terms, Trust};
use crate::prove::Refused;

pub(super) fn spec(terms: &Terms) -> Result<PolicySpec, Refused> {
    let bounds = ReplicaBounds::new(target(terms.target), terms.least, replicas(terms.most)?);
    let bounds = bounds.map_err(|error| {
        let rule = match error {
            BoundsError::Inverted { .. } => "SCL-1",
            BoundsError::NotEventDriven { .. } => "SCL-2",
            _ => "CONTENT",
        };
        refused(rule, &error)
    })?;
    let terms = PolicyTerms {
        bounds,
        rules: terms.rules.iter().map(rule).collect(),
        error_budget: terms.budget.as_ref().map(budget).transpose()?,
        tolerance: percent(terms.tolerance)?,
        stabilisation: Stabilisation {
            scale_out: seconds(terms.window_out),
            scale_in: seconds(terms.window_in),
        },
        cooldown_seconds: Cooldown::from_secs(terms.cooldown).map_err(|error| refused("CONTENT", &error))?,
        limits: StepLimits {
            scale_out: terms.limit_out.as_ref().map(limit).transpose()?,
            scale_in: terms.limit_in.as_ref().map(limit).transpose()?,
        },
        fallback: Fallback {
            after: seconds(terms.fallback_after),
            replicas: match terms.fallback {
                plan::Fallback::Current => FallbackReplicas::Current,
                plan::Fallback::Static(count) => FallbackReplicas::Static(replicas(count)?),
                plan::Fallback::IfHigher(count) => FallbackReplicas::IfHigher(replicas(count)?),
                plan::Fallback::IfLower(count) => FallbackReplicas::IfLower(replicas(count)?),
            },
        },
    };
    PolicySpec::new(terms).map_err(|error| {
        let rule = if let PolicyError::NothingWakes = error { "SCL-2" } else { "CONTENT" };
        refused(rule, &error)
    })
}

/// A value that cannot be made says in one sentence what is wrong and what to write.
fn refused(rule: &'static str, error: &dyn std::error::Error) -> Refused {
    let says = error.to_string();
    let remedy = says.split_once(": ").map(|(_, remedy)| remedy.to_owned()).unwrap_or_default();
    Refused { rule, remedy, says }
}

fn replicas(count: u16) -> Result<Replicas, Refused> {
    Replicas::new(count).map_err(|error| refused("CONTENT", &error))
}

fn percent(percent: u8) -> Result<Percent, Refused> {
    Percent::new(percent).map_err(|error| refused("CONTENT", &error))
}

fn seconds(seconds: u32) -> Span {
    Span::from_secs(seconds.into())
}

const fn target(number: u8) -> SurfaceKind {
    match number {
        0 => SurfaceKind::Process,
        1 => SurfaceKind::Kubernetes,
        2 => SurfaceKind::ContainerApps,
        3 => SurfaceKind::Functions,
        _ => SurfaceKind::AppService,
    }
}

pub(super) const fn metric(number: u8) -> ScalingMetric {
    match number {
        0 => ScalingMetric::CpuUtilization,
        1 => ScalingMetric::MemoryUtilization,
        2 => ScalingMetric::QueueLength,
        _ => ScalingMetric::RequestRate,
    }
}

fn credence(trust: Trust) -> Credence {
    Credence { freshness: seconds(trust.freshness), least_samples: trust.samples }
}

fn rule(wanted: &MetricRule) -> ScalingRule {
    ScalingRule {
        metric: metric(wanted.metric),
        threshold: Measure::from_micros(wanted.threshold),
        action: if wanted.is_out_only { ScalingAction::ScaleOut } else { ScalingAction::ScaleOutAndIn },
        activation: Measure::from_micros(wanted.activation),
        credence: credence(wanted.trust),
    }
}

fn budget(wanted: &BudgetRule) -> Result<ErrorBudgetRule, Refused> {
    Ok(ErrorBudgetRule {
        burn_rate: Measure::from_micros(wanted.burn_rate),
        short: seconds(wanted.short),
        long: seconds(wanted.long),
        step: percent(wanted.step)?,
        credence: credence(wanted.trust),
    })
}

fn limit(wanted: &Limit) -> Result<StepLimit, Refused> {
    Ok(StepLimit {
        replicas: wanted.replicas.map(replicas).transpose()?,
        percent: wanted.percent,
        period: seconds(wanted.period),
    })
}
