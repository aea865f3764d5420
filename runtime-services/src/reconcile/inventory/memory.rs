//! What a host remembers of the services that it looks at, so that a look at one that is as it was reads little.
//!
//! It is never what anything rests on: a host that has just begun remembers nothing, and does the same. What others may change is remembered
//! for a tenure only: for as long as every lease on the service was this host's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime_domain::component::RevisionId;
use runtime_domain::id::{CorrelationId, ServiceId};
use runtime_domain::inventory::{FRESHNESS, RuntimeService, RuntimeStatus};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Revision;
use runtime_ports::snapshots::{Captured, Snapshot};
use runtime_ports::store::{Lease, Loaded};
use runtime_ports::subject::ContentDigest;

use crate::health::Familiar;

/// What is remembered of all services.
#[derive(Debug, Default)]
pub(super) struct Memory {
    services: Mutex<Services>,
}

#[derive(Debug, Default)]
struct Services {
    known: HashMap<ServiceId, Known>,
    /// How many there may be before those are forgotten that are looked at no more.
    most: usize,
}

/// The fewest that are looked through for what can be forgotten.
const FEW: usize = 1_024;

/// What is remembered of one service.
#[derive(Debug, Clone)]
pub(super) struct Known {
    token: FencingToken,
    looked_at: Timestamp,
    /// The chain of work that began it, which never changes.
    pub(super) correlation: Option<CorrelationId>,
    /// When it was evaluated last, and as what.
    pub(super) evaluated: Option<Evaluated>,
    pub(super) health: Familiar,
    /// Its record after the last look. What it was at a revision never changes.
    pub(super) record: Option<Loaded<RuntimeService>>,
    kept: Option<Kept>,
}

/// What was evaluated, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evaluated {
    pub(super) at: Timestamp,
    pub(super) status: RuntimeStatus,
    pub(super) revision: RevisionId,
}

/// The newest snapshot: what it shows, and until when that was seen, as it is stored.
#[derive(Debug, Clone, Copy)]
struct Kept {
    digest: ContentDigest,
    last_seen_at: Timestamp,
}

impl Memory {
    /// What is remembered of a service that is looked at under this lease; it is not remembered any more until it is given back.
    pub(super) fn recall(&self, service: ServiceId, lease: &Lease, now: Timestamp) -> Known {
        let remembered = self.services().known.remove(&service);
        let mut known = remembered.unwrap_or_else(|| Known::nothing(lease.token, now));
        if lease.previous != Some(known.token) {
            known.evaluated = None;
            known.kept = None;
            known.health.forget_results();
        }
        known.token = lease.token;
        known.looked_at = now;
        known
    }

    pub(super) fn remember(&self, service: ServiceId, known: Known) {
        let now = known.looked_at;
        let mut services = self.services();
        services.known.insert(service, known);
        if services.known.len() > services.most.max(FEW) {
            services.known.retain(|_, known| Span::between(known.looked_at, now) <= FRESHNESS);
            services.most = services.known.len().saturating_mul(2);
        }
    }

    /// How many services this host looks at, or a few more.
    pub(super) fn tracked(&self) -> usize {
        self.services().known.len()
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn nothing(token: FencingToken, now: Timestamp) -> Self {
        Self {
            token,
            looked_at: now,
            correlation: None,
            evaluated: None,
            health: Familiar::default(),
            record: None,
            kept: None,
        }
    }

    /// The service's record, where what is remembered is the one of this revision.
    pub(super) fn record_at(&mut self, revision: Option<Revision>) -> Option<Loaded<RuntimeService>> {
        self.record.take().filter(|record| Some(record.revision) == revision)
    }

    /// Whether the newest snapshot shows this already, and says so for long enough.
    pub(super) fn is_kept(&self, digest: ContentDigest, at: Timestamp) -> bool {
        self.kept.is_some_and(|kept| {
            kept.digest == digest && at >= kept.last_seen_at && at < Snapshot::STEP.after(kept.last_seen_at)
        })
    }

    /// What became of an observation.
    pub(super) fn keep(&mut self, digest: ContentDigest, at: Timestamp, captured: Captured) {
        self.kept = match captured {
            Captured::Changed | Captured::Extended => Some(Kept { digest, last_seen_at: at }),
            // How long ago it was stored as seen is not known.
            Captured::Unchanged | Captured::Late => None,
        };
    }
}
