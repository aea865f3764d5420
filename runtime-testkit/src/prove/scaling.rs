//! Scaling policies: the driver.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::environment::{HostedSurface, IsolationModel};
use runtime_domain::scaling::{
    ApplyScalingPolicy, BurnReading, Input, PolicyState, Reading as Read, RolloutInFlight, ScalingCommand,
    ScalingEvent, ScalingMetric, ScalingPolicy, Signal,
};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Measure, Name, Revision};

use crate::model::{Facts, ScalingModel};
use crate::plan::Step;
use crate::plan::scaling::{Count, Look, Reading, ScalingPlan, Whose};
use crate::prove::deployment::released_scaling;
use crate::prove::environment::numbered;
use crate::prove::tenancy::evidence::{self, Who};
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::scaling::scaling_stories;

mod check;
mod terms;

/// Drives scaling policies: the environments that they are applied in are brought about for every question.
#[derive(Debug, Clone)]
pub struct ScalingDriver;

impl Driver<ScalingPolicy> for ScalingDriver {
    type Plan = ScalingPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(&self, state: Option<&ScalingPolicy>, plan: &ScalingPlan, now: Timestamp) -> Answer<ScalingEvent> {
        match (state, plan) {
            (state, ScalingPlan::Apply { whose, module, terms }) => {
                let spec = match terms::spec(terms) {
                    Ok(spec) => spec,
                    Err(refused) => return Answer::Refused(refused),
                };
                let command = surface(*whose, spec.bounds().target(), now).zip(module_name(*module)).map(
                    |(surface, module_id)| ApplyScalingPolicy {
                        scaling_policy_id: numbered(5),
                        tenant_id: numbered(tenant(*whose)),
                        environment_id: numbered(1),
                        module_id,
                        policy: spec,
                        surface,
                    },
                );
                match (command, state) {
                    (Some(command), None) => Answer::of(ScalingPolicy::apply(&command)),
                    (Some(command), Some(policy)) => Answer::of(policy.apply_again(&command)),
                    (None, _) => Answer::Nothing,
                }
            }
            (state, ScalingPlan::Release { whose, module, number, ago, terms }) => {
                let spec = match terms::spec(terms) {
                    Ok(spec) => spec,
                    Err(refused) => return Answer::Refused(refused),
                };
                let Some(surface) = surface(*whose, spec.bounds().target(), now) else {
                    return Answer::Nothing;
                };
                let asked_at = Span::from_secs(u64::from(*ago)).before(now);
                let released = module_name(*module)
                    .and_then(|module| released_scaling(*number, tenant(*whose), &module, spec, asked_at));
                match (released, state) {
                    (Some(released), Some(policy)) => Answer::of(policy.follow(&released, &surface)),
                    (Some(released), None) => {
                        Answer::of(ScalingPolicy::apply_released(numbered(5), &released, &surface))
                    }
                    (None, _) => Answer::Nothing,
                }
            }
            (None, _) => Answer::Nothing,
            (Some(policy), ScalingPlan::Change(terms)) => match terms::spec(terms) {
                Ok(policy_spec) => {
                    Answer::of(policy.decide(&ScalingCommand::ChangePolicy { policy: policy_spec }, now))
                }
                Err(refused) => Answer::Refused(refused),
            },
            (Some(policy), plan) => match command(policy, plan, now) {
                Some(command) => Answer::of(policy.decide(&command, now)),
                None => Answer::Nothing,
            },
        }
    }
}

const fn tenant(whose: Whose) -> u128 {
    match whose {
        Whose::Another => 2,
        Whose::Own | Whose::OtherTenant | Whose::OtherEnvironment => 1,
    }
}

fn surface(whose: Whose, target: SurfaceKind, now: Timestamp) -> Option<HostedSurface> {
    let owner = if whose == Whose::OtherTenant { 3 } else { tenant(whose) };
    let environment = if whose == Whose::OtherEnvironment { 2 } else { 1 };
    let isolation = IsolationModel::Pool;
    evidence::environment(Who { environment, owner, tenant: owner, binding: 5, isolation }, now)?
        .host_on(target, Revision::FIRST)
        .ok()
}

fn module_name(number: u8) -> Option<Name> {
    Name::new(if number == 0 { "cart" } else { "stock" }).ok()
}

fn command(policy: &ScalingPolicy, plan: &ScalingPlan, now: Timestamp) -> Option<ScalingCommand> {
    Some(match plan {
        ScalingPlan::Apply { .. } | ScalingPlan::Change(_) | ScalingPlan::Release { .. } => return None,
        ScalingPlan::Suspend { reason } => ScalingCommand::SuspendScaling { reason: reason.clone() },
        ScalingPlan::Resume => ScalingCommand::ResumeScaling,
        ScalingPlan::Evaluate(look) => ScalingCommand::RecordEvaluation { input: input(policy, look, now)? },
        ScalingPlan::See(count) => ScalingCommand::RecordScaled { observed: resolved(policy, *count) },
        ScalingPlan::Retire { reason } => ScalingCommand::RetirePolicy { reason: reason.clone() },
    })
}

fn resolved(policy: &ScalingPolicy, count: Count) -> u16 {
    let seen = policy.state().watch().and_then(|watch| watch.observed);
    let same = seen.unwrap_or(policy.min_replicas().max(1));
    match count {
        Count::Exactly(count) => count,
        Count::Same => same,
        Count::Wanted => policy.wanted().map_or(same, |wanted| wanted.to),
        Count::HalfWay => policy.wanted().map_or(same, |wanted| wanted.from.midpoint(wanted.to)),
    }
}

/// What the sources answer, measured against what this policy is to keep.
fn input(policy: &ScalingPolicy, look: &Look, now: Timestamp) -> Option<Input> {
    let current = resolved(policy, look.count);
    let threshold = |metric: ScalingMetric| {
        let rule = policy.rules().iter().find(|rule| rule.metric == metric);
        rule.map_or(50_000_000, |rule| rule.threshold.micros())
    };
    let mut readings = BTreeMap::new();
    for (number, reading) in (0_u8..).zip(look.metrics) {
        let metric = terms::metric(number);
        let replicas = if metric.is_utilization() { 1 } else { current };
        if let Some(read) = read(reading, threshold(metric), replicas, now) {
            readings.insert(metric, read);
        }
    }
    let rate = policy.spec().terms().error_budget.map_or(50_000_000, |rule| rule.burn_rate.micros());
    let burn = look.burn.and_then(|[short, long]| {
        let of = |reading| read(reading, rate, 1, now);
        Some(BurnReading { short: of(short)?, long: of(long)? })
    });
    let open = (0..look.circuits).map(|number| Name::new(&format!("dependency-{number}")));
    Some(Input {
        current,
        ready: u16::try_from((i32::from(current) - i32::from(look.unready)).max(0)).unwrap_or(u16::MAX),
        readings,
        burn,
        rollout: look.floor.map(|floor| RolloutInFlight { floor, most: None }),
        open_circuits: open.collect::<Result<BTreeSet<_>, _>>().ok()?,
        room: look.room,
    })
}

fn read(reading: Reading, threshold: i64, replicas: u16, now: Timestamp) -> Option<Read> {
    match reading {
        Reading::Absent => None,
        Reading::Missing => Some(Read::Missing { why: "the source is down".to_owned() }),
        Reading::Measured { level, age, samples } => {
            let value = Measure::from_micros(level.micros(threshold, replicas));
            let since_epoch = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
            let observed = since_epoch.saturating_add_signed(i64::from(age).saturating_mul(-1_000));
            let observed_at = Span::from_millis(observed).after(Timestamp::UNIX_EPOCH);
            Some(Read::Measured { value, observed_at, samples })
        }
    }
}

impl Provable for ScalingPolicy {
    type Plan = ScalingPlan;
    type Driver = ScalingDriver;
    type Model = ScalingModel;

    const FINAL: &'static [&'static str] = &["Retired"];
    const KEPT: &'static [&'static str] = &[];

    fn stories() -> BoxedStrategy<Vec<Step<ScalingPlan>>> {
        scaling_stories()
    }

    fn is_idempotent(plan: &ScalingPlan) -> bool {
        // What is measured again is another evaluation.
        !matches!(plan, ScalingPlan::Evaluate(_))
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        check::check(before, after)
    }

    fn facts(&self, facts: Facts) -> Facts {
        let since = |at: Timestamp| (at - self.applied_at()).num_seconds();
        let watch = self.state().watch();
        let violation = match self.state() {
            PolicyState::Violated(violated) => violated.violation.kind(),
            PolicyState::Active(_) | PolicyState::Suspended(_) | PolicyState::Retired(_) => "",
        };
        let signals = [
            Signal::CpuUtilization,
            Signal::MemoryUtilization,
            Signal::QueueLength,
            Signal::RequestRate,
            Signal::ErrorBudget,
        ];
        let unknown: Vec<_> = signals
            .iter()
            .filter_map(|signal| Some((signal.name(), since(watch?.history.unknown_since(*signal)?))))
            .collect();
        let last = self.applied().last().map(|action| (since(action.at), action.from, action.to));
        let short = watch.and_then(|watch| watch.history.short_since()).map(since);
        let changed = watch.and_then(|watch| watch.history.changed_at()).map(since);
        let module = if self.module_id().as_str() == "cart" { 0 } else { 1 };
        facts
            .with("tenant", self.tenant_id().uuid().as_u128())
            .with("module", module)
            .with("bounds", format!("{} to {}", self.min_replicas(), self.max_replicas()))
            .with("follows", format!("{:?}", self.released().map(|released| released.release.number)))
            .with("seen", format!("{:?}", watch.and_then(|watch| watch.observed)))
            .with("wanted", format!("{:?}", self.wanted().map(|wanted| (wanted.from, wanted.to))))
            .with("violation", violation)
            .with("actions", format!("{}, last {last:?}", self.applied().len()))
            .with("unknown", format!("{unknown:?}"))
            .with("short", format!("{short:?}"))
            .with("changed", format!("{changed:?}"))
            .with("wakes at", format!("{:?}", self.wake_at().map(since)))
    }
}
