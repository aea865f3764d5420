//! What was reached, so that what was not can be named.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::surface::EffectOwner;
use runtime_testkit::faults::{Call, Fault, FaultKind, METHODS};

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

/// The methods that no host of a simulation calls, and why: no fault of theirs is ever met.
pub const NEVER_CALLED: [(&str, &str); 15] = [
    ("artifacts.begin", KEEPS_NO_FILES),
    ("artifacts.finish", KEEPS_NO_FILES),
    ("artifacts.list", KEEPS_NO_FILES),
    ("artifacts.open", KEEPS_NO_FILES),
    ("artifacts.prune", KEEPS_NO_FILES),
    ("artifacts.read", KEEPS_NO_FILES),
    ("artifacts.write", KEEPS_NO_FILES),
    (
        "isolation.usage",
        "only an operator asks how far tenants are kept apart, and the world's surface cannot tell",
    ),
    ("registry.unpack", IS_THE_SURFACES),
    ("secrets.deliver", IS_THE_SURFACES),
    ("snapshots.as_of", LOOKS_BACK),
    ("snapshots.latest", LOOKS_BACK),
    ("snapshots.list", LOOKS_BACK),
    ("scaling_signals.waiting", "it is waited for, and never fails"),
    ("store.work_arrived", "it is waited for, and never fails"),
];
const KEEPS_NO_FILES: &str = "no context writes files yet";
const IS_THE_SURFACES: &str = "surfaces call it, and the world's surface starts no process";
const LOOKS_BACK: &str = "it is for who looks back, who asks the port itself";

/// Whether hosts of a simulation ever call a method.
pub(crate) fn is_called(method: &str) -> bool {
    NEVER_CALLED.iter().all(|(never, _)| *never != method)
}

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

/// Where at an action something happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// It is killed before the action is done.
    KilledBefore,
    /// It is killed when that is done, and nobody learns it.
    KilledAfter,
    /// It stands still before the action, and does it late.
    FrozenBefore,
    /// It stands still when that is done, and learns it late.
    FrozenAfter,
}

impl CrashPoint {
    /// Every point.
    pub const ALL: [Self; 4] = [Self::KilledBefore, Self::KilledAfter, Self::FrozenBefore, Self::FrozenAfter];

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KilledBefore => "killed before",
            Self::KilledAfter => "killed after",
            Self::FrozenBefore => "frozen before",
            Self::FrozenAfter => "frozen after",
        }
    }

    /// Where a fault leaves the host that meets it at an action; `None` where it goes on.
    pub(crate) const fn of(fault: Fault) -> Option<Self> {
        match fault {
            Fault::FreezeBefore => Some(Self::FrozenBefore),
            Fault::FreezeAfter => Some(Self::FrozenAfter),
            _ => None,
        }
    }

    /// What its host is let meet there, so that it is left so. Until it is buried, who is killed stands still, which for others is the same.
    pub(crate) const fn fault(self) -> Fault {
        match self {
            Self::KilledBefore | Self::FrozenBefore => Fault::FreezeBefore,
            Self::KilledAfter | Self::FrozenAfter => Fault::FreezeAfter,
        }
    }

    /// Whether a host ends there.
    pub(crate) const fn is_death(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }
}

impl CrashPoints {
    /// How often a host came to this point.
    pub const fn count(&self, point: CrashPoint) -> u64 {
        match point {
            CrashPoint::KilledBefore => self.killed_before,
            CrashPoint::KilledAfter => self.killed_after,
            CrashPoint::FrozenBefore => self.frozen_before,
            CrashPoint::FrozenAfter => self.frozen_after,
        }
    }

    pub(crate) const fn come_to(&mut self, point: CrashPoint) {
        match point {
            CrashPoint::KilledBefore => self.killed_before += 1,
            CrashPoint::KilledAfter => self.killed_after += 1,
            CrashPoint::FrozenBefore => self.frozen_before += 1,
            CrashPoint::FrozenAfter => self.frozen_after += 1,
        }
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
    /// Every cell that can be reached: each method that hosts call here, and each kind of fault that makes another of its calls than it is.
    /// That calls are slow is no cell: they always are, now and then.
    pub fn all_cells() -> BTreeSet<(&'static str, FaultKind)> {
        let kinds = FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Slow);
        kinds
            .flat_map(|kind| {
                METHODS
                    .iter()
                    .filter(move |method| method.may_meet(kind) && is_called(method.name))
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
            CrashPoint::ALL.map(|point| (action.as_str(), point.name(), points.count(point)))
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
