//! From a strategy to a plan. Everything that could make a rollout impossible is found here, before anything moves.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::component::{ComponentSpec, RevisionId};
use crate::id::DeploymentId;
use crate::rollout::gate::{GateCheck, GateIndex, GatePoint, GateSpec, GateStatus, HealthGate};
use crate::rollout::plan::{Change, Condition, Hold, RolloutPlan, Segment, SegmentKind, Stage, Track};
use crate::rollout::strategy::{DeploymentStrategy, Rolling};
use crate::surface::{SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl, TrafficWeights};
use crate::time::{Span, Timestamp};
use crate::value::{ModuleId, Name, Replicas};

mod refusal;
mod waves;

pub use refusal::PlanRefusal;

/// What a component goes back to: the revision that serves before a rollout, and at which capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RestorePoint {
    /// The revision; its deployment is the prior Completed one (DEP-2).
    pub revision: RevisionId,
    /// When its deployment was completed.
    pub completed_at: Timestamp,
    /// What it runs: the whole release tuple, so that configuration and secrets go back with the code.
    pub component: ComponentSpec,
    /// At which capacity it serves, which a scaler may have changed since it was rolled out.
    pub replicas: Replicas,
}

/// What a plan is compiled from.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'i> {
    /// The deployment.
    pub deployment: DeploymentId,
    /// What is rolled out.
    pub components: &'i BTreeMap<ModuleId, ComponentSpec>,
    /// What serves now, by component; absent where the component is new.
    pub restore_points: &'i BTreeMap<ModuleId, RestorePoint>,
    /// What else is still there of each component: left over by a deployment that could not clean up.
    pub leftovers: &'i BTreeMap<ModuleId, BTreeSet<RevisionId>>,
    /// How.
    pub strategy: &'i DeploymentStrategy,
    /// Judged by what.
    pub gates: &'i [GateSpec],
    /// On what.
    pub surfaces: &'i BTreeMap<SurfaceKind, SurfaceCapabilities>,
}

/// Compiles a rollout, and the gates that it must pass.
///
/// # Errors
/// A cycle or an unknown module among the dependencies, a strategy or a gate that makes no sense, or a surface that cannot do what the
/// plan would need.
pub fn compile_rollout(input: PlanInput<'_>) -> Result<(RolloutPlan, Vec<HealthGate>), PlanRefusal> {
    refusal::check(input)?;
    let waves = waves::waves(input.components)?;
    let mut gates = Gates::default();
    let mut segments = vec![preflight(input, &mut gates)];
    for (wave, number) in waves.iter().zip(1..) {
        let tracks = wave
            .iter()
            .filter_map(|module| input.components.get(module))
            .map(|component| {
                (Track::Component(component.module.clone()), forward(input, component, &mut gates))
            })
            .collect();
        segments.push(Segment { kind: SegmentKind::Wave(number), tracks });
    }
    segments.push(verification(input, &mut gates));
    segments.push(retirement(input));
    let segments = segments.into_iter().filter_map(Segment::pruned).collect();
    Ok((RolloutPlan { segments }, gates.declared))
}

/// Compiles the way back for the components that were touched: the old revision at full capacity, then all traffic to it, then the new
/// one retired. A component that had no predecessor is retired alone. Components do not wait for one another, so that one that cannot
/// be restored does not keep the others from it.
pub fn compile_restoration(
    deployment: DeploymentId,
    touched: &BTreeSet<ModuleId>,
    restore_points: &BTreeMap<ModuleId, RestorePoint>,
    traffic_of: impl Fn(&ModuleId) -> TrafficControl,
) -> RolloutPlan {
    let tracks = touched
        .iter()
        .map(|module| {
            let new = RevisionId::new(module.clone(), deployment);
            let retire = Stage::changing(Change::Retire { revision: new.clone() })
                .until([Condition::Gone { revision: new.clone() }]);
            let stages = match restore_points.get(module) {
                None => vec![retire],
                Some(point) => {
                    let old = point.revision.clone();
                    let replicas = if bug!("abort-scales-to-zero") { 0 } else { point.replicas.get() };
                    let at_least = if bug!("healthy-canary-deleted") { 0 } else { replicas };
                    let ready = Condition::Ready { revision: old.clone(), at_least };
                    let traffic = all_to(traffic_of(module), &old);
                    vec![
                        Stage::changing(Change::Apply { revision: old, replicas }).until([ready.clone()]),
                        Stage::changing(Change::Shift { traffic: traffic.clone() })
                            .once([ready])
                            .until([Condition::Routed { traffic }]),
                        retire.once([Condition::Unrouted { revision: new }]),
                    ]
                }
            };
            (Track::Component(module.clone()), stages)
        })
        .collect();
    let restoration = Segment { kind: SegmentKind::Restoration, tracks };
    RolloutPlan { segments: restoration.pruned().into_iter().collect() }
}

impl Segment {
    fn pruned(self) -> Option<Self> {
        let tracks: BTreeMap<_, _> =
            self.tracks.into_iter().filter(|(_, stages)| !stages.is_empty()).collect();
        (!tracks.is_empty()).then_some(Self { kind: self.kind, tracks })
    }
}

#[derive(Default)]
struct Gates {
    declared: Vec<HealthGate>,
}

impl Gates {
    fn add(&mut self, name: Name, at: GatePoint, check: GateCheck, judged: Option<RevisionId>) -> GateIndex {
        let index = GateIndex(u16::try_from(self.declared.len()).unwrap_or(u16::MAX));
        self.declared.push(HealthGate { name, at, check, judged, status: GateStatus::Pending });
        index
    }

    /// One gate of its own for every declared one that judges `component` at `point`: a verdict at one step says nothing about the next.
    fn at(&mut self, input: PlanInput<'_>, point: GatePoint, component: &ComponentSpec) -> Vec<GateIndex> {
        let is_first = !input.restore_points.contains_key(&component.module);
        input
            .gates
            .iter()
            .filter(|gate| gate.at == point && is_by_revision(&gate.check))
            .filter(|gate| gate.modules.is_empty() || gate.modules.contains(&component.module))
            // The first revision of a component has no users yet whose requests could be measured.
            .filter(|gate| !(is_first && matches!(gate.check, GateCheck::Metric(_))))
            .map(|gate| {
                let judged = Some(RevisionId::new(component.module.clone(), input.deployment));
                if bug!("verdict-is-inherited")
                    && let Some(known) = self.declared.iter().position(|known| known.name == gate.name)
                {
                    return GateIndex(u16::try_from(known).unwrap_or(u16::MAX));
                }
                self.add(gate.name.clone(), point, gate.check.clone(), judged)
            })
            .collect()
    }
}

const fn is_by_revision(check: &GateCheck) -> bool {
    matches!(check, GateCheck::Probe(_) | GateCheck::Metric(_))
}

fn preflight(input: PlanInput<'_>, gates: &mut Gates) -> Segment {
    let stages = of_release(input, GatePoint::BeforeRollout, gates);
    Segment { kind: SegmentKind::Preflight, tracks: BTreeMap::from([(Track::Release, stages)]) }
}

fn of_release(input: PlanInput<'_>, point: GatePoint, gates: &mut Gates) -> Vec<Stage> {
    input
        .gates
        .iter()
        .filter(|gate| gate.at == point && !is_by_revision(&gate.check))
        .filter(|gate| !(bug!("hook-skipped") && matches!(gate.check, GateCheck::Job(_))))
        .map(|gate| gates.add(gate.name.clone(), point, gate.check.clone(), None))
        .map(|gate| Stage::holding(Hold::default(), vec![gate]))
        .collect()
}

fn verification(input: PlanInput<'_>, gates: &mut Gates) -> Segment {
    let mut tracks = BTreeMap::from([(Track::Release, of_release(input, GatePoint::AfterRollout, gates))]);
    for component in input.components.values() {
        let verdicts = gates.at(input, GatePoint::AfterRollout, component);
        if !verdicts.is_empty() {
            let stage = Stage::holding(Hold::default(), verdicts);
            tracks.insert(Track::Component(component.module.clone()), vec![stage]);
        }
    }
    Segment { kind: SegmentKind::Verification, tracks }
}

/// What a deployment that could not clean up has left goes first, then, after its delay, what served before.
fn retirement(input: PlanInput<'_>) -> Segment {
    let delay = match input.strategy {
        DeploymentStrategy::RollingHealthGated(_) => Span::ZERO,
        DeploymentStrategy::BlueGreen(blue_green) => blue_green.retirement_delay,
        DeploymentStrategy::Canary(canary) => canary.retirement_delay,
    };
    let tracks = input.components.values().map(|component| {
        let new = RevisionId::new(component.module.clone(), input.deployment);
        let retire = |old: &RevisionId| {
            Stage::changing(Change::Retire { revision: old.clone() })
                .once([
                    Condition::Unrouted { revision: old.clone() },
                    Condition::Ready { revision: new.clone(), at_least: 1 },
                ])
                .until([Condition::Gone { revision: old.clone() }])
        };
        let old = input.restore_points.get(&component.module).map(|point| &point.revision);
        let delay = (!delay.is_zero() && old.is_some()).then(|| Stage::holding(Hold::For(delay), Vec::new()));
        let leftovers = input.leftovers.get(&component.module).into_iter().flatten();
        let leftovers = leftovers.filter(|revision| **revision != new && Some(*revision) != old);
        let leftovers = leftovers.filter(|_| !bug!("third-version-stays"));
        let stages = leftovers.map(&retire).chain(delay).chain(old.map(&retire)).collect();
        (Track::Component(component.module.clone()), stages)
    });
    let tracks = tracks.collect();
    Segment { kind: SegmentKind::Retirement, tracks }
}

fn forward(input: PlanInput<'_>, component: &ComponentSpec, gates: &mut Gates) -> Vec<Stage> {
    let Some(point) = input.restore_points.get(&component.module) else {
        return first(input, component, gates);
    };
    let steps = match input.strategy {
        DeploymentStrategy::RollingHealthGated(rolling) => {
            return roll(input, component, point, rolling, gates);
        }
        DeploymentStrategy::BlueGreen(blue_green) => vec![(100, Hold::For(blue_green.bake))],
        DeploymentStrategy::Canary(canary) => {
            let steps = canary.steps.iter().map(|step| (step.weight.get(), step.hold));
            steps.chain([(100, Hold::For(canary.bake))]).collect()
        }
    };
    let new = RevisionId::new(component.module.clone(), input.deployment);
    let replicas = component.replicas.get();
    let ready = Condition::Ready { revision: new.clone(), at_least: replicas };
    let mut stages = provision(input, component, gates);
    for (weight, hold) in steps {
        let traffic = match crate::value::Percent::new(weight) {
            Ok(share) if weight < 100 => {
                Traffic::Weighted(TrafficWeights::split(new.clone(), share, point.revision.clone()))
            }
            _ => Traffic::all_to(new.clone()),
        };
        let stable = || Condition::Ready { revision: point.revision.clone(), at_least: point.replicas.get() };
        let stable = bug!("broken-stable-blocks-the-fix").then(stable);
        stages.push(shift(traffic, stable.into_iter().chain([ready.clone()])));
        let verdicts = gates.at(input, GatePoint::DuringTraffic, component);
        stages.push(Stage::holding(hold, verdicts).until([ready.clone()]));
    }
    stages
}

fn shift(traffic: Traffic, requires: impl IntoIterator<Item = Condition>) -> Stage {
    Stage::changing(Change::Shift { traffic: traffic.clone() })
        .once(requires)
        .until([Condition::Routed { traffic }])
}

/// The new revision in full, ready, and judged before it gets any traffic.
fn provision(input: PlanInput<'_>, component: &ComponentSpec, gates: &mut Gates) -> Vec<Stage> {
    let new = RevisionId::new(component.module.clone(), input.deployment);
    let mut stages = vec![bring_up(&new, component.replicas.get(), Some(gates))];
    judge_before_traffic(input, component, gates, &mut stages);
    stages
}

fn bring_up(revision: &RevisionId, replicas: u16, gates: Option<&mut Gates>) -> Stage {
    let readiness = gates.and_then(|gates| {
        let name = Name::new("readiness").ok()?;
        Some(gates.add(name, GatePoint::BeforeTraffic, GateCheck::Readiness, Some(revision.clone())))
    });
    Stage::changing(Change::Apply { revision: revision.clone(), replicas })
        .gated(readiness.into_iter().collect())
        .until([Condition::Ready { revision: revision.clone(), at_least: replicas }])
}

fn judge_before_traffic(
    input: PlanInput<'_>,
    component: &ComponentSpec,
    gates: &mut Gates,
    stages: &mut Vec<Stage>,
) {
    let verdicts = gates.at(input, GatePoint::BeforeTraffic, component);
    if !verdicts.is_empty() {
        stages.push(Stage::holding(Hold::default(), verdicts));
    }
}

fn first(input: PlanInput<'_>, component: &ComponentSpec, gates: &mut Gates) -> Vec<Stage> {
    let new = RevisionId::new(component.module.clone(), input.deployment);
    let ready = Condition::Ready { revision: new.clone(), at_least: component.replicas.get() };
    let mut stages = provision(input, component, gates);
    stages.push(shift(all_to(control(input, component), &new), [ready]));
    let verdicts = gates.at(input, GatePoint::DuringTraffic, component);
    if !verdicts.is_empty() {
        stages.push(Stage::holding(Hold::default(), verdicts));
    }
    stages
}

fn control(input: PlanInput<'_>, component: &ComponentSpec) -> TrafficControl {
    input.surfaces.get(&component.surface).map_or(TrafficControl::PerInstance, |surface| surface.traffic)
}

fn all_to(control: TrafficControl, revision: &RevisionId) -> Traffic {
    match control {
        TrafficControl::PerInstance => Traffic::PerInstance(BTreeSet::from([revision.clone()])),
        TrafficControl::Switch | TrafficControl::Weighted => Traffic::all_to(revision.clone()),
    }
}

/// Alternates between growing the new revision within the surge and shrinking the old one within what may be unavailable.
fn roll(
    input: PlanInput<'_>,
    component: &ComponentSpec,
    point: &RestorePoint,
    rolling: &Rolling,
    gates: &mut Gates,
) -> Vec<Stage> {
    let new = RevisionId::new(component.module.clone(), input.deployment);
    let old = point.revision.clone();
    let wanted = component.replicas.get();
    let floor = wanted.min(point.replicas.get()).saturating_sub(rolling.max_unavailable);
    let ceiling = wanted.max(point.replicas.get()).saturating_add(rolling.max_surge);
    let both = Traffic::PerInstance(BTreeSet::from([new.clone(), old.clone()]));
    let (mut grown, mut left) = (0, point.replicas.get());
    let mut stages = Vec::new();
    while grown < wanted || left > 0 {
        let target = wanted.min(ceiling.saturating_sub(left));
        if target > grown {
            let is_last = target == wanted;
            stages.push(bring_up(&new, target, is_last.then_some(&mut *gates)));
            if grown == 0 {
                judge_before_traffic(input, component, gates, &mut stages);
                let ready = Condition::Ready { revision: new.clone(), at_least: 1 };
                stages.push(shift(both.clone(), [ready]));
            }
            let verdicts = gates.at(input, GatePoint::DuringTraffic, component);
            let ready = Condition::Ready { revision: new.clone(), at_least: target };
            stages.push(Stage::holding(Hold::default(), verdicts).until([ready]));
            grown = target;
        }
        let shrunk = floor.saturating_sub(grown);
        if left > shrunk {
            stages.push(shrink(&new, &old, grown, shrunk, floor));
            left = shrunk;
        }
    }
    let only_new = Traffic::PerInstance(BTreeSet::from([new.clone()]));
    stages.push(shift(only_new, [Condition::Ready { revision: new, at_least: wanted }]));
    stages
}

/// Shrinks the old revision, and only while the new one covers what is taken away.
fn shrink(new: &RevisionId, old: &RevisionId, grown: u16, target: u16, floor: u16) -> Stage {
    let covered = Condition::Ready { revision: new.clone(), at_least: grown };
    let kept = Condition::ReadyTogether { revisions: vec![new.clone(), old.clone()], at_least: floor };
    Stage::changing(Change::Scale { revision: old.clone(), replicas: target })
        .once([covered])
        .until([Condition::Present { revision: old.clone(), at_most: target }, kept])
}

impl PlanInput<'_> {
    pub(super) fn module_list(modules: impl IntoIterator<Item = ModuleId>) -> String {
        let names: Vec<String> = modules.into_iter().map(String::from).collect();
        names.join(", ")
    }
}
