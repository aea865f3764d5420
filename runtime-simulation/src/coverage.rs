//! What was reached, so that what was not can be named.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::surface::EffectOwner;
use runtime_testkit::faults::{Call, FaultKind, METHODS};

/// The reconcilers, and the relay, as their leases and commits name them.
pub(crate) const RECONCILERS: [&str; 9] = [
    "environment",
    "deployment",
    "inventory",
    "configuration",
    "tenancy",
    "secrets",
    "scaling",
    "drift",
    "relay",
];

/// A fault at a method, and how often it was met.
pub type Cells = BTreeMap<(&'static str, FaultKind), u64>;

/// Where hosts were killed, or stood still for a while, at one action of a reconciler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrashPoints {
    /// How often the action was done at all.
    pub made: u64,
    /// How often a host was killed before it.
    pub killed_before: u64,
    /// How often a host was killed when it was done, and nobody knew.
    pub killed_after: u64,
    /// How often a host stood still before it, and did it late.
    pub frozen_before: u64,
    /// How often a host stood still when it was done, and learnt it late.
    pub frozen_after: u64,
}

impl CrashPoints {
    /// Each point, by its name, and how often a host came to it.
    pub const fn points(&self) -> [(&'static str, u64); 4] {
        [
            ("killed before", self.killed_before),
            ("killed after", self.killed_after),
            ("frozen before", self.frozen_before),
            ("frozen after", self.frozen_after),
        ]
    }

    fn add(&mut self, other: Self) {
        self.made += other.made;
        self.killed_before += other.killed_before;
        self.killed_after += other.killed_after;
        self.frozen_before += other.frozen_before;
        self.frozen_after += other.frozen_after;
    }
}

/// What was reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// Faults, by method and kind.
    pub cells: Cells,
    /// Actions of reconcilers, such as `deployment surface.apply` and `deployment commits RuntimeDeploymentCompleted`.
    pub actions: BTreeMap<String, CrashPoints>,
    /// Events that were committed, by aggregate and name: `RuntimeDeployment RuntimeDeploymentCompleted`.
    pub events: BTreeMap<String, u64>,
    /// States that were stored, by aggregate and name: `RuntimeDeployment Completed`.
    pub states: BTreeMap<String, u64>,
    /// Refusals that operators were told, by type and variant: `DeploymentRefusal::InFlight`.
    pub refusals: BTreeMap<String, u64>,
}

impl Coverage {
    /// Every cell that there is: each method, and each kind of fault that makes another of its calls than it is. That calls are slow is no
    /// cell: they always are, now and then.
    pub fn all_cells() -> BTreeSet<(&'static str, FaultKind)> {
        let kinds = FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Slow);
        kinds
            .flat_map(|kind| {
                METHODS
                    .iter()
                    .filter(move |method| method.may_meet(kind))
                    .map(move |method| (method.name, kind))
            })
            .collect()
    }

    /// The cells that were not reached.
    pub fn cells_left(&self) -> Vec<(&'static str, FaultKind)> {
        Self::all_cells().into_iter().filter(|cell| !self.cells.contains_key(cell)).collect()
    }

    /// How many crash points the actions have, and those that no host came to, each as an action and a point's name.
    pub fn points(&self) -> (usize, Vec<(&str, &'static str)>) {
        let all = self.actions.iter().flat_map(|(action, points)| {
            points.points().into_iter().map(move |(point, count)| (action.as_str(), point, count))
        });
        let all: Vec<_> = all.collect();
        let left = all.iter().filter(|(.., count)| *count == 0).map(|(action, point, _)| (*action, *point));
        (all.len(), left.collect())
    }

    /// And what was reached elsewhere.
    pub fn add(&mut self, other: Self) {
        for (action, points) in other.actions {
            self.actions.entry(action).or_default().add(points);
        }
        for (cell, count) in other.cells {
            *self.cells.entry(cell).or_default() += count;
        }
        let counted = [
            (&mut self.events, other.events),
            (&mut self.states, other.states),
            (&mut self.refusals, other.refusals),
        ];
        for (own, others) in counted {
            for (what, count) in others {
                *own.entry(what).or_default() += count;
            }
        }
    }
}

/// Whose action a call is, where it is one of a reconciler's.
pub(crate) fn reconciler(call: &Call) -> Option<&'static str> {
    if !call.is_change {
        return None;
    }
    let named = call.actor.as_ref().and_then(|actor| actor.as_str().strip_prefix("reconciler:"));
    let known = |name: &str| RECONCILERS.into_iter().find(|known| *known == name);
    match (call.method, call.effect.map(|effect| effect.owner)) {
        (_, Some(EffectOwner::Deployment(_))) => Some("deployment"),
        (_, Some(EffectOwner::ScalingPolicy(_))) => Some("scaling"),
        (_, Some(EffectOwner::Configuration(_))) => Some("configuration"),
        (_, Some(EffectOwner::RuntimeEnvironment(_))) => Some("environment"),
        (_, Some(EffectOwner::RuntimeTenantBinding(_))) => Some("tenancy"),
        (_, Some(EffectOwner::DriftFinding(_))) => Some("drift"),
        ("secrets.create_version" | "secrets.retire_version", _) => Some("secrets"),
        ("publisher.publish" | "subscriber.handle", _) => Some("relay"),
        // What begins and ends a pass is no action: it changes nothing but leases.
        ("store.take_leases" | "store.renew_lease" | "store.release_lease" | "store.defer_lease", _) => None,
        (method, _) if method.starts_with("store.") => named.and_then(known),
        _ => None,
    }
}

/// The actions that a call of a reconciler is: an effect, or a commit of some events.
pub(crate) fn actions(reconciler: &str, call: &Call) -> Vec<String> {
    if call.method != "store.commit" {
        return vec![format!("{reconciler} {}", call.method)];
    }
    let events: BTreeSet<&str> = call.about.split(", ").filter_map(|event| event.split(' ').nth(1)).collect();
    events.into_iter().map(|event| format!("{reconciler} commits {event}")).collect()
}
