//! Strategies, gates and limits of rollouts, and releases as a whole.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use runtime_domain::deployment::Release;
use runtime_domain::metric::{MetricName, MetricReading};
use runtime_domain::rollout::gate::{ApprovalCheck, Bound, MetricCheck, ProbeCheck};
use runtime_domain::rollout::strategy::{BlueGreen, Canary, CanaryStep, Rolling};
use runtime_domain::rollout::{
    DeploymentStrategy, GateCheck, GatePoint, GateSpec, Hold, RolloutLimits, Sample,
};
use runtime_domain::time::Span;
use runtime_domain::value::Percent;

use crate::strategy::component::{valid_component, valid_http_path, valid_job, valid_release_reference};
use crate::strategy::value::{valid_actor, valid_id, valid_measure, valid_name, valid_span, valid_timestamp};

/// How long to stay at a stage.
pub fn valid_hold() -> BoxedStrategy<Hold> {
    prop_oneof![4 => valid_span().prop_map(Hold::For), 1 => Just(Hold::UntilResumed)].boxed()
}

/// A strategy that makes sense on a surface that can do everything.
pub fn valid_strategy() -> BoxedStrategy<DeploymentStrategy> {
    let rolling =
        (0..4_u16, 0..4_u16).prop_filter_map("something must give", |(max_surge, max_unavailable)| {
            let gives = max_surge + max_unavailable > 0;
            gives.then_some(DeploymentStrategy::RollingHealthGated(Rolling { max_surge, max_unavailable }))
        });
    let blue_green = (valid_span(), valid_span()).prop_map(|(bake, retirement_delay)| {
        DeploymentStrategy::BlueGreen(BlueGreen { bake, retirement_delay })
    });
    let steps = btree_set(1..=99_u8, 0..5).prop_flat_map(|weights| {
        let count = weights.len();
        (Just(weights), vec(valid_hold(), count))
    });
    let canary =
        (steps, valid_span(), valid_span()).prop_map(|((weights, holds), bake, retirement_delay)| {
            let step = |(weight, hold)| Some(CanaryStep { weight: Percent::new(weight).ok()?, hold });
            let steps = weights.into_iter().zip(holds).filter_map(step).collect();
            DeploymentStrategy::Canary(Canary { steps, bake, retirement_delay })
        });
    prop_oneof![rolling, blue_green, canary].boxed()
}

/// A metric.
pub fn valid_metric_name() -> BoxedStrategy<MetricName> {
    use MetricName::{ErrorRate, LatencyP50, LatencyP99, RequestRate};
    prop_oneof![
        Just(ErrorRate),
        Just(LatencyP50),
        Just(LatencyP99),
        Just(RequestRate),
        valid_name().prop_map(MetricName::Custom)
    ]
    .boxed()
}

/// What is wanted of a metric.
pub fn valid_bound() -> BoxedStrategy<Bound> {
    prop_oneof![valid_measure().prop_map(Bound::AtMost), valid_measure().prop_map(Bound::AtLeast)].boxed()
}

/// What a metric source answers, nothing included.
pub fn valid_metric_reading() -> BoxedStrategy<MetricReading> {
    (option::of(valid_measure()), any::<u64>(), option::of(valid_timestamp()))
        .prop_map(|(value, samples, newest)| MetricReading { value, samples, newest })
        .boxed()
}

/// A look at what a gate judges.
pub fn valid_sample() -> BoxedStrategy<Sample> {
    let seen = "\\PC{0,30}";
    prop_oneof![
        seen.prop_map(|seen| Sample::Success { seen }),
        seen.prop_map(|seen| Sample::Failure { seen }),
        seen.prop_map(|seen| Sample::Unknown { seen }),
    ]
    .boxed()
}

fn positive() -> impl Strategy<Value = Span> {
    (1..1_000_000_u64).prop_map(Span::from_millis)
}

fn probe() -> impl Strategy<Value = GateCheck> {
    (valid_http_path(), positive(), positive(), any::<[u16; 3]>()).prop_map(
        |(path, interval, timeout, limits)| {
            let [successes, failure_limit, inconclusive_limit] = limits;
            GateCheck::Probe(ProbeCheck {
                path,
                interval,
                timeout,
                successes,
                failure_limit,
                inconclusive_limit,
            })
        },
    )
}

fn metric() -> impl Strategy<Value = GateCheck> {
    let judged = (valid_metric_name(), valid_bound(), 1..10_000_u64, positive(), positive());
    (judged, any::<[u16; 3]>()).prop_map(|((metric, bound, min_samples, freshness, interval), limits)| {
        let [successes, failure_limit, inconclusive_limit] = limits;
        GateCheck::Metric(MetricCheck {
            metric,
            bound,
            min_samples,
            freshness,
            interval,
            successes,
            failure_limit,
            inconclusive_limit,
        })
    })
}

fn approval() -> impl Strategy<Value = GateCheck> {
    (1..4_u16, btree_set(valid_actor(), 0..5)).prop_map(|(required, approvers)| {
        let required = if approvers.is_empty() { required } else { required.min(1) };
        GateCheck::Approval(ApprovalCheck { required, approvers })
    })
}

/// A gate that makes sense where it stands, for every component.
pub fn valid_gate() -> BoxedStrategy<GateSpec> {
    use GatePoint::{AfterRollout, BeforeRollout, BeforeTraffic, DuringTraffic};
    let of_release = prop_oneof![approval(), valid_job().prop_map(GateCheck::Job)];
    let placed = prop_oneof![
        (prop_oneof![Just(BeforeTraffic), Just(DuringTraffic), Just(AfterRollout)], probe().boxed()),
        (prop_oneof![Just(DuringTraffic), Just(AfterRollout)], metric().boxed()),
        (prop_oneof![Just(BeforeRollout), Just(AfterRollout)], of_release.boxed()),
    ];
    (valid_name(), placed)
        .prop_map(|(name, (at, check))| GateSpec { name, at, modules: BTreeSet::new(), check })
        .boxed()
}

/// Limits.
pub fn valid_limits() -> BoxedStrategy<RolloutLimits> {
    (positive(), positive(), positive(), any::<u32>())
        .prop_map(|(deadline, progress_deadline, rollback_deadline, crash_limit)| RolloutLimits {
            deadline,
            progress_deadline,
            rollback_deadline,
            crash_limit,
        })
        .boxed()
}

/// A release of one to three components, with gates of different names. A job may work for one of them.
pub fn valid_release() -> BoxedStrategy<Release> {
    let components = vec(valid_component(), 1..4);
    let gates = vec((valid_gate(), any::<bool>()), 0..4);
    (valid_release_reference(), components, valid_strategy(), gates, valid_limits(), option::of(valid_id()))
        .prop_map(|(reference, components, strategy, gates, limits, configuration_id)| {
            let components: BTreeMap<_, _> =
                components.into_iter().map(|component| (component.module.clone(), component)).collect();
            let works_for = components.keys().next().cloned();
            let gates = gates.into_iter().map(|(mut gate, works)| {
                if let GateCheck::Job(job) = &mut gate.check {
                    job.component = works_for.clone().filter(|_| works);
                }
                (gate.name.clone(), gate)
            });
            let gates: BTreeMap<_, _> = gates.collect();
            Release {
                reference,
                components,
                strategy,
                gates: gates.into_values().collect(),
                limits,
                configuration_id,
            }
        })
        .boxed()
}
