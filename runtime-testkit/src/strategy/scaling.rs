//! Scaling: what policies say, what is measured, and the stories of policies.

use proptest::prelude::*;
use proptest::sample::select;
use runtime_domain::scaling::{
    Cooldown, Credence, ErrorBudgetRule, Fallback, FallbackReplicas, PolicySpec, PolicyTerms, ReplicaBounds,
    ScalingAction, ScalingMetric, ScalingRule, Stabilisation, StepLimit, StepLimits,
};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Percent, Replicas};
use serde_json::Value;

use crate::strategy::{json::hostile_json, value};

mod stories;
mod terms;

pub use stories::{scaling_plans, scaling_stories};
pub use terms::valid_terms;

/// Bounds of any target, the ends of their ranges included.
pub fn valid_replica_bounds() -> BoxedStrategy<ReplicaBounds> {
    use SurfaceKind::{AppService, ContainerApps, Functions, Kubernetes, Process};
    let target = select(vec![AppService, ContainerApps, Functions, Kubernetes, Process]);
    let most = prop_oneof![3 => 1..20_u16, 1 => 1..=Replicas::MOST, 1 => Just(Replicas::MOST)];
    (target, most, any::<u16>())
        .prop_filter_map("bounds", |(target, most, least)| {
            let is_event_driven = matches!(target, ContainerApps | Functions);
            let least = least % most.saturating_add(1);
            let least = if is_event_driven { least } else { least.max(1) };
            ReplicaBounds::new(target, least, Replicas::new(most).ok()?).ok()
        })
        .boxed()
}

/// A metric.
pub fn valid_scaling_metric() -> BoxedStrategy<ScalingMetric> {
    select(ScalingMetric::ALL.to_vec()).boxed()
}

/// A cooldown, none and a day included.
pub fn valid_cooldown() -> BoxedStrategy<Cooldown> {
    let seconds =
        prop_oneof![Just(0), 0..600_u32, 0..=Cooldown::LONGEST_SECONDS, Just(Cooldown::LONGEST_SECONDS)];
    seconds.prop_filter_map("a cooldown", |seconds| Cooldown::from_secs(seconds).ok()).boxed()
}

fn between(least: Span, most: Span) -> BoxedStrategy<Span> {
    (least.as_millis()..=most.as_millis()).prop_map(Span::from_millis).boxed()
}

/// What it takes for a reading to be believed.
pub fn valid_credence() -> BoxedStrategy<Credence> {
    (between(Credence::SHORTEST_FRESHNESS, Credence::LONGEST_FRESHNESS), 1..=u64::MAX)
        .prop_map(|(freshness, least_samples)| Credence { freshness, least_samples })
        .boxed()
}

fn positive() -> impl Strategy<Value = Measure> {
    prop_oneof![1..1_000_000_000_i64, 1..=i64::MAX, Just(1), Just(i64::MAX)].prop_map(Measure::from_micros)
}

/// A rule for this metric.
pub fn valid_scaling_rule(metric: ScalingMetric) -> BoxedStrategy<ScalingRule> {
    let (threshold, activation) = if metric.is_utilization() {
        ((1..=100_i64).prop_map(Measure::from_units).boxed(), Just(Measure::from_micros(0)).boxed())
    } else {
        let activation = prop_oneof![Just(0), 0..=i64::MAX].prop_map(Measure::from_micros);
        (positive().boxed(), activation.boxed())
    };
    (threshold, activation, any::<bool>(), valid_credence())
        .prop_map(move |(threshold, activation, is_out_only, credence)| ScalingRule {
            metric,
            threshold,
            action: if is_out_only { ScalingAction::ScaleOut } else { ScalingAction::ScaleOutAndIn },
            activation,
            credence,
        })
        .boxed()
}

/// A rule for an objective's error budget.
pub fn valid_error_budget_rule() -> BoxedStrategy<ErrorBudgetRule> {
    let longest = ErrorBudgetRule::LONGEST_STRETCH.as_millis();
    let stretches = (1..longest).prop_flat_map(move |short| (Just(short), short + 1..=longest));
    (positive(), stretches, 1..=100_u8, valid_credence())
        .prop_filter_map("an error budget", |(burn_rate, (short, long), step, credence)| {
            let (short, long) = (Span::from_millis(short), Span::from_millis(long));
            Some(ErrorBudgetRule { burn_rate, short, long, step: Percent::new(step).ok()?, credence })
        })
        .boxed()
}

/// A limit of one period.
pub fn valid_step_limit() -> BoxedStrategy<StepLimit> {
    let by = prop_oneof![
        (value::valid_replicas().prop_map(Some), Just(None)),
        (Just(None), (1..=StepLimit::MOST_PERCENT).prop_map(Some)),
        (value::valid_replicas().prop_map(Some), (1..=StepLimit::MOST_PERCENT).prop_map(Some)),
    ];
    (by, between(StepLimit::SHORTEST_PERIOD, StepLimit::LONGEST_PERIOD))
        .prop_map(|((replicas, percent), period)| StepLimit { replicas, percent, period })
        .boxed()
}

/// What holds when metrics are missing.
pub fn valid_fallback() -> BoxedStrategy<Fallback> {
    let replicas = prop_oneof![
        Just(FallbackReplicas::Current),
        value::valid_replicas().prop_map(FallbackReplicas::Static),
        value::valid_replicas().prop_map(FallbackReplicas::IfHigher),
        value::valid_replicas().prop_map(FallbackReplicas::IfLower),
    ];
    (between(Fallback::SHORTEST, Fallback::LONGEST), replicas)
        .prop_map(|(after, replicas)| Fallback { after, replicas })
        .boxed()
}

/// What a policy may say.
pub fn valid_policy_spec() -> BoxedStrategy<PolicySpec> {
    let rules = (1..16_u8).prop_flat_map(|chosen| {
        let is_chosen = |(bit, metric): (usize, ScalingMetric)| (chosen >> bit & 1 == 1).then_some(metric);
        ScalingMetric::ALL
            .into_iter()
            .enumerate()
            .filter_map(is_chosen)
            .map(valid_scaling_rule)
            .collect::<Vec<_>>()
    });
    let window = || between(Span::ZERO, Stabilisation::LONGEST);
    let limit = || proptest::option::of(valid_step_limit());
    let terms = (
        valid_replica_bounds(),
        rules.prop_shuffle(),
        proptest::option::of(valid_error_budget_rule()),
        value::valid_percent(),
        (window(), window()),
        valid_cooldown(),
        (limit(), limit()),
        valid_fallback(),
    );
    let spec = |(bounds, rules, error_budget, tolerance, windows, cooldown_seconds, limits, fallback)| {
        let (scale_out, scale_in): (Span, Span) = windows;
        let (out, inward): (Option<StepLimit>, Option<StepLimit>) = limits;
        let terms = PolicyTerms {
            bounds,
            rules,
            error_budget,
            tolerance,
            stabilisation: Stabilisation { scale_out, scale_in },
            cooldown_seconds,
            limits: StepLimits { scale_out: out, scale_in: inward },
            fallback,
        };
        PolicySpec::new(terms).ok()
    };
    terms.prop_filter_map("a metric that wakes what goes to none", spec).boxed()
}

/// A policy's JSON with one field, anywhere near its top, missing, wrong, or too many.
pub fn hostile_policy() -> BoxedStrategy<Value> {
    const PLACES: [(&str, &str); 14] = [
        ("", "rules"),
        ("", "error_budget"),
        ("", "tolerance"),
        ("", "cooldown_seconds"),
        ("", "unheard_of"),
        ("/bounds", "target"),
        ("/bounds", "min_replicas"),
        ("/bounds", "max_replicas"),
        ("/rules/0", "metric"),
        ("/rules/0", "threshold"),
        ("/rules/0", "activation"),
        ("/stabilisation", "scale_in"),
        ("/fallback", "after"),
        ("/fallback", "replicas"),
    ];
    (valid_policy_spec(), select(&PLACES[..]), proptest::option::of(hostile_json()))
        .prop_map(|(spec, (place, name), value)| {
            let mut form = serde_json::to_value(spec).unwrap_or_default();
            if let Some(Value::Object(fields)) = form.pointer_mut(place) {
                match value {
                    Some(value) => drop(fields.insert(name.to_owned(), value)),
                    None => drop(fields.remove(name)),
                }
            }
            form
        })
        .boxed()
}
