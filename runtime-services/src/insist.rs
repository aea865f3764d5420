//! Effects on a revision that somebody else may have undone.
//!
//! What is asked of a surface again, by the same effect, is a repetition: one that others have followed is known there and does nothing, so that a
//! call that comes late undoes nothing. Whoever means it still asks by another effect, and only where it is seen that the first one does not hold.

use runtime_domain::component::RevisionId;
use runtime_domain::surface::{ComponentKey, InstanceObservation, InstanceState, RevisionObservation};
use runtime_ports::PortResult;
use runtime_ports::surface::{ComputeSurface, EffectContext};

use crate::host::Host;

/// What a revision should come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    /// So many replicas.
    Replicas(u16),
    /// None, and to be forgotten.
    Retired,
}

/// One revision on its surface.
pub(crate) struct Insisted<'i> {
    pub(crate) host: &'i Host,
    pub(crate) surface: &'i dyn ComputeSurface,
    pub(crate) key: &'i ComponentKey,
    pub(crate) revision: &'i RevisionId,
}

impl Wish {
    /// Whether it was taken up, as far as is seen. None of a revision may be wanted that nobody retires: one that was brought back, and scaled
    /// to none.
    fn holds(self, shown: Option<&RevisionObservation>) -> bool {
        shown.is_none_or(|shown| match self {
            Self::Replicas(replicas) => shown.wanted == replicas,
            Self::Retired => {
                let drains = |instance: &InstanceObservation| instance.state == InstanceState::Draining;
                shown.wanted == 0 && shown.instances.iter().any(drains)
            }
        })
    }
}

impl Insisted<'_> {
    /// Asks for it by the first effect; and where that is seen to be undone, by the second, which nobody has asked by before.
    ///
    /// # Errors
    /// The surface failed, or knows a later token.
    pub(crate) async fn ask(&self, wish: Wish, effects: [EffectContext; 2]) -> PortResult<()> {
        let Self { host, surface, key, revision } = *self;
        for effect in effects {
            match wish {
                Wish::Replicas(replicas) => {
                    let call = surface.scale(effect, key, revision, replicas);
                    host.effect("surface.scale", effect.effect, call).await?;
                }
                Wish::Retired => {
                    let call = surface.retire(effect, key, revision);
                    host.effect("surface.retire", effect.effect, call).await?;
                }
            }
            let seen = host.bounded("surface.observe", surface.observe(key)).await?;
            if wish.holds(seen.revisions.get(revision)) {
                break;
            }
        }
        Ok(())
    }
}
