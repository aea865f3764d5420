//! What was done to the world, and whether twice.

use std::collections::BTreeSet;

use runtime_domain::surface::ComponentKey;
use runtime_testkit::world::{Met, MetOutcome};

use super::{Law, Wrong};
use crate::world::World;

/// Every effect that has changed something.
#[derive(Debug, Default)]
pub(super) struct Effects {
    known: [usize; 3],
    changed: BTreeSet<(String, String)>,
}

impl Effects {
    /// What somebody changed by hand may be changed again by the same effect.
    pub(super) fn touched(&mut self, key: &ComponentKey) {
        let key = key.to_string();
        self.changed.retain(|(effect, _)| !effect.ends_with(&key));
    }

    pub(super) fn look(&mut self, world: &World) -> Result<(), Wrong> {
        let [surface, vault, engine] = &mut self.known;
        let fresh: [Vec<Met>; 3] = [
            world.surface.effects_after(*surface),
            world.vault.effects_after(*vault),
            world.engine.effects_after(*engine),
        ];
        for (known, fresh) in [surface, vault, engine].into_iter().zip(&fresh) {
            *known += fresh.len();
        }
        for met in fresh.into_iter().flatten().filter(|met| met.outcome == MetOutcome::Changed) {
            let text = format!("{}: {} changed something twice", met.effect, met.asked);
            if !self.changed.insert((met.effect, met.asked)) {
                return Err((Law::NoEffectTwice, text));
            }
        }
        Ok(())
    }
}
