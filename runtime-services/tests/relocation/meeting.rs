//! What a host that moves a tenant meets, and what its clients do.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use runtime_domain::component::RevisionId;
use runtime_domain::id::{DeploymentId, EnvironmentId};
use runtime_domain::surface::{ComponentKey, EffectId, EffectOwner, RevisionSpec};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_testkit::faults::{Call, Fault, Faults};
use runtime_testkit::sample;
use runtime_testkit::world::MemorySurface;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// Somebody else who undoes what was done, as a call does that comes late.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Meddler {
    /// Nobody does.
    #[default]
    Nobody,
    /// Once, this many, after none were asked for.
    OnceDrained(u16),
    /// Once, it is brought back with this many after it was retired.
    OnceRetired(u16),
    /// As soon as what the host does now is done.
    Now(Late),
}

/// A call that comes late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Late {
    Scale(ComponentKey, RevisionId, u16),
    Apply(Box<RevisionSpec>, u16),
}

/// What is to happen, and what has.
#[derive(Debug, Default)]
pub(crate) struct Meeting {
    pub(crate) meddler: Meddler,
    /// At which effect of the move the host dies, and on which side of it.
    pub(crate) dies_at: Option<(usize, When)>,
    pub(crate) has_died: bool,
    /// What every question about who answers meets.
    pub(crate) handover: Option<Fault>,
    /// What the next handover meets.
    pub(crate) next_handover: Option<Fault>,
    /// Every effect of the move, in order; those that were repeated too.
    pub(crate) effects: Vec<String>,
    /// How often policies asked for replicas.
    pub(crate) scaled: u32,
    /// Requests of clients that nobody would have answered.
    pub(crate) homeless: Vec<String>,
}

/// The faults of a host that meets this on a surface.
pub(crate) fn faults(meeting: &Arc<Mutex<Meeting>>, surface: &MemorySurface) -> Faults {
    let (meeting, surface) = (Arc::clone(meeting), surface.clone());
    Faults::new(move |call| meeting.lock().unwrap().meets(call, &surface))
}

impl Meeting {
    /// A call that is about to be made: what was made before it is done.
    fn meets(&mut self, call: &Call, surface: &MemorySurface) -> Option<Fault> {
        self.look(surface);
        if let Meddler::Now(late) = &self.meddler {
            late.come(surface);
            self.meddler = Meddler::Nobody;
        }
        if call.method == "handover.answered_by" {
            return self.handover;
        }
        if call.method == "handover.hand_over"
            && let Some(fault) = self.next_handover.take()
        {
            return Some(fault);
        }
        let effect = call.effect?;
        self.meddle(call, surface);
        match effect.owner {
            EffectOwner::ScalingPolicy(_) => self.scaled += 1,
            EffectOwner::RuntimeTenantBinding(_) => {
                self.effects.push(format!("{} of {effect}", call.method));
                let (_, when) = self.dies_at.filter(|(at, _)| *at == self.effects.len() && !self.has_died)?;
                self.has_died = true;
                return Some(match when {
                    When::Before => Fault::FreezeBefore,
                    When::After => Fault::FreezeAfter,
                });
            }
            _ => {}
        }
        None
    }

    /// Sees to it that what the call does is undone.
    fn meddle(&mut self, call: &Call, surface: &MemorySurface) {
        let everything = surface.everything();
        let revisions = everything
            .iter()
            .flat_map(|seen| seen.revisions.keys().map(move |revision| (&seen.key, revision)));
        let about =
            |text: &str| revisions.clone().find(|(key, revision)| text == format!("{key} {revision}"));
        let late = match (&self.meddler, call.method) {
            (Meddler::OnceDrained(replicas), "surface.scale") => {
                let drained = call.about.strip_suffix(" to 0").and_then(about);
                drained.map(|(key, revision)| Late::Scale(key.clone(), revision.clone(), *replicas))
            }
            (Meddler::OnceRetired(replicas), "surface.retire") => {
                about(&call.about).map(|(key, revision)| {
                    Late::Apply(Box::new(surface.spec(key, revision).unwrap()), *replicas)
                })
            }
            _ => None,
        };
        if let Some(late) = late {
            self.meddler = Meddler::Now(late);
        }
    }

    /// Looks whether every client of a component that was ever routed is answered by someone.
    fn look(&mut self, surface: &MemorySurface) {
        let (there, handed) = (surface.everything(), surface.handed_over());
        // A target that is not switched to yet has clients of its own kind: it counts once it is routed.
        let routed = there.iter().filter(|seen| seen.traffic.is_some()).map(|seen| &seen.key);
        for key in routed.chain(handed.keys()) {
            let answering = handed.get(key).unwrap_or(key);
            let answers = there.iter().filter(|seen| seen.key == *answering).any(|seen| {
                let routed = seen.traffic.iter().flat_map(|traffic| traffic.revisions());
                routed.filter_map(|revision| seen.revisions.get(revision)).any(|revision| revision.wanted > 0)
            });
            if !answers {
                self.homeless.push(format!("{key} after {:?}", self.effects.last()));
            }
        }
    }
}

impl Late {
    /// A rollout's, under the newest token.
    fn come(&self, surface: &MemorySurface) {
        let fence = surface.effects().last().unwrap().fence;
        let effect = EffectId::of(DeploymentId::from_uuid(sample::host(77).uuid()), 1);
        let context = EffectContext { effect, fence };
        let done = match self {
            Self::Scale(key, revision, replicas) => surface.scale(context, key, revision, *replicas),
            Self::Apply(spec, replicas) => surface.apply(context, spec, *replicas),
        };
        done.now_or_never().unwrap().unwrap();
    }
}

/// How many replicas are wanted in an environment.
pub(crate) fn wanted_in(surface: &MemorySurface, environment: EnvironmentId) -> u16 {
    let there = surface.everything();
    let meant = there.iter().filter(|seen| seen.key.environment == environment);
    meant.flat_map(|seen| seen.revisions.values()).map(|revision| revision.wanted).sum()
}
