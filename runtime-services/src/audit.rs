//! Proof that the audit trail is what was written.
//!
//! Every change is an entry of its aggregate's history, which stores never change, and each entry's [`ChainDigest`] covers it and all before
//! it. [`AuditService::verify`] reads a tenant's whole trail and tells what does not fit: an entry that was changed, taken out or put in, a
//! state that its history does not come to.
//!
//! Who may write to the store's tables past the store can make a trail anew that fits in itself. Against that an [`Attestation`] is kept
//! elsewhere: it holds the end of every history at one time, and a later trail must go through each of them.

mod attestation;
mod replay;

use std::collections::BTreeMap;

use runtime_domain::id::AggregateKind;
use runtime_domain::scope::TenantScope;
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, ChainDigest, Order, Query, StoredAggregate, TenantStore};

use crate::host::Host;

pub use attestation::{Attestation, Head, NotAnAttestation};

/// How many aggregates, or entries, are read at once.
const PAGE: u32 = 500;

/// What does not fit in an audit trail. Display names the aggregate and the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// An entry is missing, or is there twice.
    #[error("{key}: after entry {after} comes entry {found}")]
    Gap {
        /// Whose history it is.
        key: AggregateKey,
        /// The last entry that fits.
        after: u64,
        /// The number of the next.
        found: u64,
    },
    /// An entry's digest is not what it and those before it come to: it, or one before it, is not as it was written.
    #[error("{key}: entry {sequence} is not as it was written, or one before it")]
    Altered {
        /// Whose history it is.
        key: AggregateKey,
        /// The first entry that does not fit.
        sequence: u64,
    },
    /// The history ends otherwise than the aggregate says.
    #[error(
        "{key}: the history has {found} entries and should have {recorded}, or ends otherwise than it did"
    )]
    OtherEnd {
        /// Whose history it is.
        key: AggregateKey,
        /// How many entries the aggregate says there are.
        recorded: u64,
        /// How many there are.
        found: u64,
    },
    /// An entry cannot be replayed, or the state cannot be read.
    #[error("{key}: entry {sequence} or the state cannot be read: {why}")]
    Unreadable {
        /// Whose history it is.
        key: AggregateKey,
        /// How far the history was replayed.
        sequence: u64,
        /// What the parser said.
        why: String,
    },
    /// The state is not what its history comes to.
    #[error("{key}: the state is not what its history comes to")]
    OtherState {
        /// Whose.
        key: AggregateKey,
    },
    /// What was attested is no longer there.
    #[error("{key}: its history up to entry {sequence} was attested, and is gone or another one")]
    NotAsAttested {
        /// Whose history it is.
        key: AggregateKey,
        /// How many entries were attested.
        sequence: u64,
    },
}

/// What an audit has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// How many entries were read.
    pub entries: u64,
    /// What does not fit, at most one fault of an aggregate's trail itself and one of what was attested of it. Empty where all is sound.
    pub faults: Vec<AuditFault>,
    /// The end of every history, to be kept where whoever could change the store cannot write.
    pub attestation: Attestation,
}

impl AuditReport {
    /// Whether all is sound.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Audits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditService {
    host: Host,
}

impl AuditService {
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
    }

    /// Reads the tenant's whole trail and judges it, beside what was attested of it earlier. It may run while the tenant's commands do: what is
    /// committed meanwhile may or may not be looked at.
    ///
    /// # Errors
    /// The store failed. What does not fit is no error, but a fault in the report.
    pub async fn verify(
        &self,
        scope: &TenantScope,
        attested: Option<&Attestation>,
    ) -> PortResult<AuditReport> {
        let store = self.host.ports().store.for_tenant(scope);
        let mut audit =
            Audit { store: &*store, attested, entries: 0, faults: Vec::new(), heads: BTreeMap::new() };
        for kind in AggregateKind::ALL {
            audit.kind(kind).await?;
        }
        audit.finish(scope)
    }
}

/// An audit under way.
struct Audit<'a> {
    store: &'a dyn TenantStore,
    attested: Option<&'a Attestation>,
    entries: u64,
    faults: Vec<AuditFault>,
    heads: BTreeMap<AggregateKey, Head>,
}

impl Audit<'_> {
    async fn kind(&mut self, kind: AggregateKind) -> PortResult<()> {
        let mut query = Query { order: Order::OldestFirst, limit: PAGE, ..Query::all(kind) };
        loop {
            let page = self.store.query(&query).await?;
            for stored in &page.items {
                self.aggregate(stored).await?;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn aggregate(&mut self, stored: &StoredAggregate) -> PortResult<()> {
        let trail = self.trail(stored).await?;
        self.faults.extend(trail.err());
        self.heads.insert(stored.key, Head { sequence: stored.sequence, digest: stored.digest });
        Ok(())
    }

    /// Reads one history up to where the aggregate says that it ends.
    async fn trail(&mut self, stored: &StoredAggregate) -> PortResult<Result<(), AuditFault>> {
        let (key, tenant) = (stored.key, self.store.scope().tenant());
        let attested = self.attested.and_then(|attested| attested.head(key));
        let mut replay = replay::of(key.kind);
        let (mut newest, mut digest) = (0, ChainDigest::GENESIS);
        while newest < stored.sequence {
            let limit = u32::try_from(stored.sequence - newest).unwrap_or(PAGE).min(PAGE);
            let entries = self.store.history(&key, newest, limit).await?;
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                if entry.sequence != newest + 1 {
                    return Ok(Err(AuditFault::Gap { key, after: newest, found: entry.sequence }));
                }
                (newest, digest) = (entry.sequence, digest.then(tenant, key, entry));
                if entry.digest != digest {
                    return Ok(Err(AuditFault::Altered { key, sequence: newest }));
                }
                if attested.is_some_and(|head| head.sequence == newest && head.digest != digest) {
                    return Ok(Err(AuditFault::NotAsAttested { key, sequence: newest }));
                }
                if let Err(why) = replay.apply(entry) {
                    return Ok(Err(AuditFault::Unreadable { key, sequence: newest, why }));
                }
                self.entries += 1;
            }
        }
        Ok(if (newest, digest) != (stored.sequence, stored.digest) {
            Err(AuditFault::OtherEnd { key, recorded: stored.sequence, found: newest })
        } else if let Some(head) = attested.filter(|head| head.sequence > newest) {
            Err(AuditFault::NotAsAttested { key, sequence: head.sequence })
        } else {
            match replay.comes_to(&stored.record) {
                Ok(true) => Ok(()),
                Ok(false) => Err(AuditFault::OtherState { key }),
                Err(why) => Err(AuditFault::Unreadable { key, sequence: newest, why }),
            }
        })
    }

    fn finish(mut self, scope: &TenantScope) -> PortResult<AuditReport> {
        let attested = self.attested.into_iter().flat_map(Attestation::heads);
        let gone = attested.filter(|(key, _)| !self.heads.contains_key(key));
        let gone = gone.map(|(key, head)| AuditFault::NotAsAttested { key, sequence: head.sequence });
        self.faults.extend(gone.collect::<Vec<_>>());
        let attestation = Attestation::new(scope.tenant(), self.heads);
        Ok(AuditReport { entries: self.entries, faults: self.faults, attestation })
    }
}
