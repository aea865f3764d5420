//! An inventory record, as spec.md §2 and the context's table describe it.

use std::collections::BTreeSet;

use crate::model::{Facts, Foreseen, Model, exclusive};
use crate::plan::inventory::{InventoryPlan, Revision, Show, Whose};

/// The model of an inventory record.
#[derive(Debug, Clone, Default)]
pub struct InventoryModel {
    life: Option<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    status: &'static str,
    version: u8,
    /// When it was last heard of, in seconds.
    heard: i64,
    /// What was last seen, and when.
    seen: Option<(i64, Seen)>,
}

/// What a surface showed, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    wanted: usize,
    /// Every instance that exists: of which version, how it is, and whether requests can come to it.
    instances: BTreeSet<(u8, usize, u8, bool)>,
    is_routed: bool,
    routes: BTreeSet<u8>,
}

/// For how many seconds what was seen stays true.
const FRESH: i64 = 180;
/// How often an unchanged component is recorded as seen, in seconds.
const HEARTBEAT: i64 = 60;
const STARTING: u8 = 0;
const READY: u8 = 1;

impl Seen {
    fn of(show: &Show) -> Self {
        let gets = |revision: &Revision| !show.is_routed || revision.has_traffic;
        let wanted = show.revisions.iter().filter(|revision| gets(revision));
        let instances = show.revisions.iter().flat_map(|revision| {
            let is_reached = gets(revision);
            let all = revision.instances.iter().enumerate();
            all.map(move |(number, state)| (revision.version, number, *state, is_reached))
        });
        Self {
            wanted: wanted.map(|revision| usize::from(revision.wanted)).sum(),
            instances: instances.collect(),
            is_routed: show.is_routed,
            routes: show
                .revisions
                .iter()
                .filter(|it| show.is_routed && it.has_traffic)
                .map(|it| it.version)
                .collect(),
        }
    }

    fn serving(&self) -> impl Iterator<Item = u8> {
        self.instances
            .iter()
            .filter(|(_, _, state, reached)| *state == READY && *reached)
            .map(|instance| instance.0)
    }

    /// SVC-2 and the statuses around it.
    fn status(&self, version: u8, may_start: bool) -> &'static str {
        let serving = self.serving().count();
        let comes_up = self.instances.iter().any(|(_, _, state, _)| *state == STARTING);
        match serving {
            0 if may_start && comes_up => "Starting",
            0 => "Unavailable",
            _ if !self.serving().any(|other| other == version) => "Degraded",
            _ if serving < self.wanted => "Degraded",
            _ => "Running",
        }
    }
}

fn updated() -> Foreseen {
    Foreseen::Changes(vec!["RuntimeInventoryUpdated"])
}

impl Model for InventoryModel {
    type Plan = InventoryPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &InventoryPlan, now: i64) -> Foreseen {
        let Some(life) = &mut self.life else {
            if let InventoryPlan::Register = plan {
                self.life = Some(Life { status: "Starting", version: 1, heard: now, seen: None });
                return updated();
            }
            return Foreseen::Report;
        };
        let is_retired = life.status == "Retired";
        match plan {
            InventoryPlan::Register => Foreseen::Report,
            InventoryPlan::Bring { whose: Whose::OtherTenant, .. } => Foreseen::Refused("SVC-3"),
            InventoryPlan::Bring { whose: Whose::OtherEnvironment, .. } => Foreseen::Refused("X-1"),
            InventoryPlan::Bring { whose: Whose::OtherModule, .. } => Foreseen::Refused("SVC-1"),
            InventoryPlan::Bring { version, .. } if *version == life.version => Foreseen::Same,
            InventoryPlan::Bring { version, .. } if is_retired => {
                *life = Life { status: "Starting", version: *version, heard: now, seen: None };
                updated()
            }
            InventoryPlan::Bring { version, .. } => {
                life.version = *version;
                if let Some((_, seen)) = life.seen.as_ref().filter(|_| life.status != "Unknown") {
                    life.status = seen.status(*version, true);
                }
                updated()
            }
            InventoryPlan::Observe(show) if show.is_foreign => Foreseen::Refused("X-1"),
            InventoryPlan::Observe(_) | InventoryPlan::Silence if is_retired => Foreseen::Same,
            InventoryPlan::Observe(show) => life.observe(show, now),
            InventoryPlan::Silence => life.silence(now),
            InventoryPlan::Retire { .. } if is_retired => Foreseen::Same,
            InventoryPlan::Retire { .. } => {
                life.status = "Retired";
                Foreseen::Changes(vec!["RuntimeServiceRetired"])
            }
        }
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let is_retired = life.status == "Retired";
        let claim = exclusive(format_args!("service/env_{:032x}/cart", 1));
        let facts = Facts {
            status: life.status.to_owned(),
            claims: if is_retired { BTreeSet::new() } else { [claim].into() },
            wakes: !is_retired,
            ..Facts::default()
        };
        Some(facts.with("version", life.version))
    }
}

impl Life {
    fn observe(&mut self, show: &Show, now: i64) -> Foreseen {
        // A clock that runs ahead is not believed.
        let at = (now - show.age).min(now);
        let is_newer = self.seen.as_ref().is_none_or(|(last, _)| at > *last);
        if now - at > FRESH || !is_newer {
            return Foreseen::Same;
        }
        let seen = Seen::of(show);
        let status = seen.status(self.version, self.status == "Starting");
        if let Some((last, before)) = &mut self.seen
            && self.status == status
            && *before == seen
        {
            if at - *last < HEARTBEAT {
                return Foreseen::Same;
            }
            *last = at;
            self.heard = at;
            return Foreseen::Changes(Vec::new());
        }
        self.status = status;
        self.heard = at;
        self.seen = Some((at, seen));
        updated()
    }

    fn silence(&mut self, now: i64) -> Foreseen {
        if self.status == "Unknown" || now - self.heard <= FRESH {
            return Foreseen::Same;
        }
        self.status = "Unknown";
        updated()
    }
}
