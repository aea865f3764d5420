//! Whether what serves goes on serving.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::deployment::DeploymentStatus;
use runtime_domain::id::EnvironmentId;
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, InstanceState, RevisionObservation, Traffic,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock as _;

use super::state::State;
use super::{Law, Wrong};
use crate::hosts::Yard;
use crate::records;
use crate::story::Place;
use crate::witness::Changes;

/// For how long nothing is expected of a component that somebody has changed by hand: what hosts then do may rest on what they saw before.
const AFTER_HANDS: Span = Span::from_secs(300);

/// The components that are to be served.
#[derive(Debug)]
pub(super) struct Serving {
    expected: BTreeSet<ComponentKey>,
    touched: BTreeMap<ComponentKey, Timestamp>,
    left: BTreeSet<Place>,
    /// The environments that were asked to end.
    ending: BTreeSet<EnvironmentId>,
    changes: Changes,
    /// How many changes had ended when the surface was last looked at.
    ended: u64,
}

impl Serving {
    pub(super) fn new(changes: Changes) -> Self {
        Self {
            expected: BTreeSet::new(),
            touched: BTreeMap::new(),
            left: BTreeSet::new(),
            ending: BTreeSet::new(),
            changes,
            ended: 0,
        }
    }

    /// Whether a component is to be served.
    pub(super) fn is_expected(&self, key: &ComponentKey) -> bool {
        self.expected.contains(key)
    }

    pub(super) fn leaves(&mut self, place: Place) {
        self.left.insert(place);
    }

    pub(super) fn touched(&mut self, yard: &Yard, key: &ComponentKey) {
        self.expected.remove(key);
        self.touched.insert(key.clone(), yard.world.clock.now());
    }

    /// From now on that is expected to be served which a deployment has completed, and is served.
    pub(super) async fn expect(&mut self, yard: &Yard, tenant: u8, state: &State) {
        let now = yard.world.clock.now();
        for loaded in &state.environments {
            let environment = &loaded.aggregate;
            let deployments = state.deployments.iter().map(|loaded| &loaded.aggregate);
            let own: Vec<_> = deployments.filter(|it| it.environment_id() == environment.id()).collect();
            let Ok(seen) = yard.surface.list(records::scope(tenant).tenant(), environment.id()).await else {
                continue;
            };
            for seen in seen {
                let module = &seen.key.module;
                let about = || own.iter().filter(|it| it.release().components.contains_key(module));
                let is_brought = about().any(|it| it.status() == DeploymentStatus::Completed);
                let is_given_up = about().any(|it| it.status() == DeploymentStatus::Failed);
                let is_touched = self.touched.get(&seen.key).is_some_and(|at| AFTER_HANDS.after(*at) > now);
                let is_ending = self.ending.contains(&environment.id());
                if is_brought && !is_given_up && !is_touched && !is_ending && unserved(&seen).is_none() {
                    self.expected.insert(seen.key);
                } else if is_given_up {
                    self.expected.remove(&seen.key);
                }
            }
        }
    }

    pub(super) async fn look(&mut self, yard: &Yard) -> Result<(), Wrong> {
        for place in std::mem::take(&mut self.left) {
            if let Some(environment) = yard.records.environment(place).await {
                let environment = environment.aggregate.id();
                self.ending.insert(environment);
                self.expected.retain(|key| key.environment != environment);
            }
        }
        let (ended, is_changing) = self.changes.ended();
        if (ended == self.ended && !is_changing) || self.expected.is_empty() {
            return Ok(());
        }
        self.ended = ended;
        let places: BTreeSet<_> = self.expected.iter().map(|key| (key.tenant, key.environment)).collect();
        let mut shown = Vec::new();
        for (tenant, environment) in places {
            let Ok(listed) = yard.surface.list(tenant, environment).await else { return Ok(()) };
            shown.extend(listed);
        }
        // Where its tenant has moved, another component answers those who ask for it.
        let handed = yard.world.surface.handed_over();
        self.all_served(shown, &handed)?;
        // What is built over the world's surface may show something else than what is there.
        let there = yard.world.surface.everything();
        if there.is_empty() { Ok(()) } else { self.all_served(there, &handed) }
    }

    fn all_served(
        &self,
        seen: Vec<ComponentObservation>,
        handed: &BTreeMap<ComponentKey, ComponentKey>,
    ) -> Result<(), Wrong> {
        let seen: BTreeMap<_, _> = seen.into_iter().map(|seen| (seen.key.clone(), seen)).collect();
        // Who answers for another is expected for itself.
        for key in self.expected.iter().filter(|key| !handed.contains_key(*key)) {
            let why = seen.get(key).map_or_else(|| Some("it is gone".to_owned()), unserved);
            if let Some(why) = why {
                return Err((Law::ServedOnceServed, format!("{key} is not served: {why}")));
            }
        }
        Ok(())
    }
}

fn ready(revision: &RevisionObservation) -> usize {
    revision.instances.iter().filter(|instance| instance.state == InstanceState::Ready).count()
}

/// Why nobody who asks for a component is answered, or not everybody.
fn unserved(seen: &ComponentObservation) -> Option<String> {
    let Some(traffic) = &seen.traffic else { return Some("no traffic is routed".to_owned()) };
    let of = |revision| seen.revisions.get(revision).map_or(0, ready);
    match traffic {
        Traffic::PerInstance(revisions) => {
            let all: usize = revisions.iter().map(of).sum();
            (all == 0).then(|| "no instance is ready".to_owned())
        }
        Traffic::Weighted(weights) => {
            let routed = traffic.revisions().into_iter().filter(|revision| weights.share(revision).get() > 0);
            let unready = routed.into_iter().find(|revision| of(revision) == 0);
            unready.map(|revision| format!("{revision} gets traffic, and no instance of it is ready"))
        }
    }
}
