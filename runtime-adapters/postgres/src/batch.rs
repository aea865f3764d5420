//! Commits of one tenant that are performed by one call: which go together, and the rows that they come to.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use runtime_domain::claim::{ClaimMode, ClaimSpace};
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::TenantId;
use runtime_domain::value::Revision;
use runtime_ports::store::{AggregateKey, AggregateWrite, Commit, Expected, Wanted};
use sha2::{Digest, Sha256};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::row::{
    ClaimRow, EvidenceRow, HistoryRow, InboxRow, LeaseRow, ModuleRow, OutboxRow, WriteRow, future, number,
    topic,
};

/// The call's parameters are those of [`Rows::parameters`].
pub(crate) const COMMIT: &str = "SELECT commit($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// One aggregate's writes, the first and the last of which say what becomes of its row.
#[derive(Debug, Clone, Copy)]
struct Folded<'c> {
    first: &'c AggregateWrite,
    last: &'c AggregateWrite,
    publishes: bool,
}

impl<'c> Folded<'c> {
    fn of(write: &'c AggregateWrite) -> Self {
        Self { first: write, last: write, publishes: !write.outbox.is_empty() }
    }

    fn and(self, write: &'c AggregateWrite) -> Self {
        Self { last: write, publishes: self.publishes || !write.outbox.is_empty(), ..self }
    }
}

/// Commits that can be performed together, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Batch<'c> {
    commits: Vec<&'c Commit>,
    written: HashMap<AggregateKey, Folded<'c>>,
    /// In the order in which they were first written.
    order: Vec<AggregateKey>,
    rested_on: HashSet<AggregateKey>,
    handled: HashSet<(&'c str, Uuid)>,
}

impl<'c> Batch<'c> {
    /// Takes a commit in; `false` where it must wait until what is in the batch has been performed, since it would be judged otherwise.
    pub(crate) fn take(&mut self, commit: &'c Commit) -> bool {
        if !self.fits(commit) {
            return false;
        }
        for write in &commit.writes {
            match self.written.entry(write.key) {
                Entry::Occupied(mut folded) => {
                    folded.insert(folded.get().and(write));
                }
                Entry::Vacant(place) => {
                    place.insert(Folded::of(write));
                    self.order.push(write.key);
                }
            }
        }
        self.rested_on.extend(commit.evidence.iter().map(|check| check.key));
        self.handled.extend(commit.inbox.iter().map(|entry| (entry.consumer.as_str(), entry.event.uuid())));
        self.commits.push(commit);
        true
    }

    fn fits(&self, commit: &Commit) -> bool {
        let is_fresh = |entry: &runtime_ports::store::InboxEntry| {
            !self.handled.contains(&(entry.consumer.as_str(), entry.event.uuid()))
        };
        let continues = |write: &AggregateWrite| match self.written.get(&write.key) {
            None => !self.rested_on.contains(&write.key),
            // Judged by its last write alone, an aggregate may give nothing up that it took within the batch.
            Some(Folded { last, .. }) => {
                let follows = write.expected == last.expected_next()
                    && write.history.first().map(|entry| entry.sequence)
                        == last.history.last().map(|entry| entry.sequence + 1);
                follows && last.claims.is_subset(&write.claims) && !self.rested_on.contains(&write.key)
            }
        };
        commit.inbox.iter().all(is_fresh)
            && commit.writes.iter().all(continues)
            && !commit.evidence.iter().any(|check| self.written.contains_key(&check.key))
    }

    /// The rows that the batch comes to.
    pub(crate) fn rows(&self, tenant: TenantId) -> Rows<'c> {
        let mut rows = Rows::of(tenant);
        for commit in &self.commits {
            rows.add_conditions(tenant, commit);
            for write in &commit.writes {
                rows.add_events(write);
            }
        }
        for (key, place) in self.order.iter().zip(0..) {
            if let Some(folded) = self.written.get(key) {
                rows.add_write(place, folded);
            }
        }
        rows
    }
}

/// What one call of the function `commit` takes.
#[derive(Debug)]
pub(crate) struct Rows<'c> {
    pub(crate) tenant: Uuid,
    pub(crate) inboxes: Vec<InboxRow<'c>>,
    pub(crate) leases: Vec<LeaseRow>,
    pub(crate) evidences: Vec<EvidenceRow>,
    pub(crate) writes: Vec<WriteRow<'c>>,
    modules: Vec<ModuleRow<'c>>,
    claims: Vec<ClaimRow<'c>>,
    pub(crate) histories: Vec<HistoryRow<'c>>,
    pub(crate) events: Vec<OutboxRow<'c>>,
}

impl<'c> Rows<'c> {
    fn of(tenant: TenantId) -> Self {
        Self {
            tenant: tenant.uuid(),
            inboxes: Vec::new(),
            leases: Vec::new(),
            evidences: Vec::new(),
            writes: Vec::new(),
            modules: Vec::new(),
            claims: Vec::new(),
            histories: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The parameters of [`COMMIT`].
    pub(crate) fn parameters(&self) -> [&(dyn ToSql + Sync); 9] {
        [
            &self.tenant,
            &self.inboxes,
            &self.leases,
            &self.evidences,
            &self.writes,
            &self.modules,
            &self.claims,
            &self.histories,
            &self.events,
        ]
    }

    fn add_conditions(&mut self, tenant: TenantId, commit: &'c Commit) {
        self.inboxes.extend(
            commit
                .inbox
                .iter()
                .map(|entry| InboxRow { consumer: entry.consumer.as_str(), event_id: entry.event.uuid() }),
        );
        self.leases.extend(commit.lease.iter().map(|lease| LeaseRow {
            topic: topic(lease.topic),
            kind: lease.key.kind.name(),
            id: lease.key.id,
            host: lease.host.uuid(),
            // Another tenant's is worth nothing here: no lease has ever had this token.
            token: if lease.tenant == tenant { number(lease.token.0) } else { -1 },
        }));
        self.evidences.extend(commit.evidence.iter().map(|check| {
            let (revision, is_exact) = match check.wanted {
                Wanted::Exactly(revision) => (revision, true),
                Wanted::AtLeast(revision) => (revision, false),
            };
            EvidenceRow {
                kind: check.key.kind.name(),
                id: check.key.id,
                revision: number(revision.0),
                is_exact,
            }
        }));
    }

    fn add_write(&mut self, place: i32, folded: &Folded<'c>) {
        let Folded { first, last, publishes } = *folded;
        let (kind, id) = (last.key.kind.name(), last.key.id);
        let (replaced_revision, replaced_digest) = match &first.expected {
            Expected::Absent => (0, None),
            // No aggregate has ever been at revision 0.
            Expected::At { revision: Revision(0), .. } => (-1, None),
            Expected::At { revision, digest } => (number(revision.0), Some(digest.as_bytes().as_slice())),
        };
        self.writes.push(WriteRow {
            place,
            kind,
            id,
            replaced_revision,
            replaced_sequence: number(first.history.first().map_or(0, |entry| entry.sequence)) - 1,
            replaced_digest,
            revision: number(last.expected.result().0),
            sequence: number(last.history.last().map_or(0, |entry| entry.sequence)),
            digest: last.history.last().map_or(&[], |entry| entry.digest.as_bytes()),
            schema: i32::from(last.record.schema),
            environment: last.facets.environment.uuid(),
            status: &last.facets.status,
            wake_at: last.wake_at.map(future),
            publishes,
            facets: digest(last),
            body: &last.record.body,
        });
        self.modules.extend(last.facets.modules.iter().map(|module| ModuleRow {
            write: place,
            kind,
            id,
            module: module.as_str(),
        }));
        let write = place;
        for claim in &last.claims {
            let place = i32::try_from(self.claims.len()).unwrap_or(i32::MAX);
            let space = match claim.space {
                ClaimSpace::Tenant => Some(self.tenant),
                ClaimSpace::Global => None,
            };
            let shared = claim.mode == ClaimMode::Shared;
            self.claims.push(ClaimRow { place, write, kind, id, space, key: &claim.key, shared });
        }
    }

    fn add_events(&mut self, write: &'c AggregateWrite) {
        let (kind, id) = (write.key.kind.name(), write.key.id);
        self.histories.extend(write.history.iter().map(|entry| HistoryRow {
            kind,
            id,
            sequence: number(entry.sequence),
            event_id: entry.id.uuid(),
            event: &entry.event,
            body: &entry.body,
            at: entry.at.to_rfc3339(),
            actor: entry.actor.as_str(),
            correlation: entry.correlation.uuid(),
            causation: entry.causation.map(|event| event.uuid()),
            explanation: &entry.explanation,
            digest: entry.digest.as_bytes(),
            trace_parent: entry.trace_parent.as_ref().map(TraceParent::as_str),
        }));
        self.events.extend(write.outbox.iter().map(|event| OutboxRow {
            kind,
            id,
            sequence: number(event.sequence),
            event_id: event.id.uuid(),
            event_type: &event.event_type,
            envelope: &event.envelope,
        }));
    }
}

/// A digest of a write's modules, where they are, and its claims: where two are equal, so are those.
fn digest(write: &AggregateWrite) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(write.facets.environment.uuid());
    for module in &write.facets.modules {
        hash.update(b"m");
        hash.update((module.as_str().len() as u64).to_be_bytes());
        hash.update(module.as_str());
    }
    for claim in &write.claims {
        hash.update(match (claim.space, claim.mode) {
            (ClaimSpace::Tenant, ClaimMode::Exclusive) => b"e",
            (ClaimSpace::Tenant, ClaimMode::Shared) => b"s",
            (ClaimSpace::Global, ClaimMode::Exclusive) => b"E",
            (ClaimSpace::Global, ClaimMode::Shared) => b"S",
        });
        hash.update((claim.key.len() as u64).to_be_bytes());
        hash.update(&claim.key);
    }
    let mut half = [0; 16];
    half.iter_mut().zip(hash.finalize()).for_each(|(half, byte)| *half = byte);
    Uuid::from_bytes(half)
}
