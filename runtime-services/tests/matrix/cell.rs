//! One telling of a story, with or without a host that dies in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime_testkit::faults::{Call, Fault, Faults};

use crate::end::End;
use crate::stage::{RunningHost, Stage};
use crate::stories::Story;

/// Longer than two leases, and than whatever is tried again after a while.
const REST: Duration = Duration::from_secs(20);
/// Nothing takes this long.
const PATIENCE: Duration = Duration::from_secs(900);

/// On which side of an action a host dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Before,
    After,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Before, Self::After];
}

/// How things go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Comes {
    SameHost,
    OtherHost,
    ZombieSoon,
    ZombieLate,
}

impl Comes {
    pub(crate) const ALL: [Self; 4] = [Self::SameHost, Self::OtherHost, Self::ZombieSoon, Self::ZombieLate];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) action: usize,
    pub(crate) side: Side,
    pub(crate) comes: Comes,
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:?}-{:?}", self.action, self.side, self.comes)
    }
}

/// What became of a telling.
#[derive(Debug)]
pub(crate) struct Told {
    /// Every action of the story's reconciler, in order.
    pub(crate) actions: Vec<String>,
    /// The action at which a host died.
    pub(crate) died_at: Option<String>,
    pub(crate) is_settled: bool,
    /// An effect that changed something twice, or what was out of order.
    pub(crate) doubled: Option<String>,
    /// How many effects were refused for their token.
    pub(crate) fenced: usize,
    pub(crate) end: End,
}

/// The actions of all hosts, and the one to die at.
#[derive(Default)]
struct Script {
    actions: Mutex<Vec<String>>,
    died_at: Mutex<Option<String>>,
    /// Whether all was done without that anybody died: what comes later is no action of the story.
    is_over: AtomicBool,
}

impl Script {
    fn faults(self: &Arc<Self>, story: &'static dyn Story, cell: Option<Cell>) -> Faults {
        let script = Arc::clone(self);
        Faults::new(move |call| script.meets(story, cell, call))
    }

    fn meets(&self, story: &dyn Story, cell: Option<Cell>, call: &Call) -> Option<Fault> {
        if !call.is_change || !story.is_own(call) || self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let name = format!("{} {}", call.method, crate::end::without_identifiers(&call.about));
        let number = {
            let mut actions = self.actions.lock().unwrap();
            actions.push(name.clone());
            actions.len() - 1
        };
        let cell = cell.filter(|cell| cell.action == number)?;
        *self.died_at.lock().unwrap() = Some(name);
        Some(match cell.side {
            Side::Before => Fault::FreezeBefore,
            Side::After => Fault::FreezeAfter,
        })
    }

    fn count(&self) -> usize {
        self.actions.lock().unwrap().len()
    }
}

pub(crate) async fn tell(story: &'static dyn Story, cell: Option<Cell>) -> Told {
    let stage = Stage::new();
    story.prepare(&stage).await;
    story.begin(&stage).await;
    let script = Arc::new(Script::default());
    let mut hosts = vec![stage.host(script.faults(story, cell))];
    if cell.is_some_and(|cell| cell.comes != Comes::SameHost) {
        hosts.push(stage.host(script.faults(story, cell)));
    }
    let is_over = async || story.is_settled(&stage).await && stage.is_quiet().await;
    let died = async || hosts.iter().any(|host| host.faults.is_frozen());
    let mut is_settled = stage.until(PATIENCE, async || died().await || is_over().await).await;
    if let Some(at) = hosts.iter().position(|host| host.faults.is_frozen()) {
        let dead = hosts.swap_remove(at);
        is_settled = go_on(&stage, story, cell, &script, dead, &mut hosts).await;
    }
    script.is_over.store(true, Ordering::Relaxed);
    stage.rest(REST).await;
    is_settled &= is_over().await;
    for host in hosts {
        host.stop().await;
    }
    let effects = stage.effects();
    let fenced =
        effects.iter().filter(|met| met.outcome == runtime_testkit::world::MetOutcome::Fenced).count();
    let actions = script.actions.lock().unwrap().clone();
    let died_at = script.died_at.lock().unwrap().clone();
    Told {
        actions,
        died_at,
        is_settled,
        doubled: crate::end::doubled(&effects).or_else(|| stage.disorder()),
        fenced,
        end: End::of(&stage).await,
    }
}

/// After one has died: whether all ends.
async fn go_on(
    stage: &Stage,
    story: &'static dyn Story,
    cell: Option<Cell>,
    script: &Arc<Script>,
    dead: RunningHost,
    hosts: &mut Vec<RunningHost>,
) -> bool {
    let is_over = async || story.is_settled(stage).await && stage.is_quiet().await;
    match cell.map(|cell| cell.comes) {
        None | Some(Comes::OtherHost) => dead.kill().await,
        Some(Comes::SameHost) => {
            dead.kill().await;
            hosts.push(stage.host(script.faults(story, None)));
        }
        Some(Comes::ZombieSoon) => {
            let before = script.count();
            stage.until(PATIENCE, async || script.count() > before || is_over().await).await;
            dead.faults.thaw();
            hosts.push(dead);
        }
        Some(Comes::ZombieLate) => {
            stage.until(PATIENCE, is_over).await;
            stage.rest(REST).await;
            dead.faults.thaw();
            hosts.push(dead);
        }
    }
    stage.until(PATIENCE, is_over).await
}
