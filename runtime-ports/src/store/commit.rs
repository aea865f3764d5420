//! A commit as a value.

use std::collections::BTreeSet;

use runtime_domain::claim::Claim;
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::{AggregateKind, CorrelationId, EnvironmentId, EventId};
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name, Revision};
use uuid::Uuid;

use crate::error::PortError;
use crate::publisher::PublishedEvent;
use crate::store::{ChainDigest, Lease};

/// The address of an aggregate within a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateKey {
    /// The kind.
    pub kind: AggregateKind,
    /// The identifier.
    pub id: Uuid,
}

impl std::fmt::Display for AggregateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id.as_simple())
    }
}

/// What a write expects to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The aggregate does not exist yet; the write makes revision 1.
    Absent,
    /// The aggregate is at this revision, made by the very commit whose history ends in this digest; the write makes the next.
    ///
    /// The revision says how many commits there were, the digest whose. Both count: a write may be decided upon another one that is still on
    /// its way to the store, and where a commit of another host's came instead of that, it has the same revision.
    At {
        /// The revision.
        revision: Revision,
        /// The digest of the newest entry of the history.
        digest: ChainDigest,
    },
}

impl Expected {
    /// The revision after the write.
    pub fn result(self) -> Revision {
        match self {
            Self::Absent => Revision::FIRST,
            Self::At { revision, .. } => revision.next(),
        }
    }
}

/// The stored form of an aggregate's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The version of the form.
    pub schema: u16,
    /// The form as JSON.
    pub body: String,
}

/// What queries can find an aggregate by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets {
    /// The environment.
    pub environment: EnvironmentId,
    /// The status's name.
    pub status: String,
    /// The modules it is about.
    pub modules: BTreeSet<ModuleId>,
}

/// One event in an aggregate's append-only history: the audit log, and what replaying gives the state from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its number within the aggregate, from 1, without gaps. In a commit it continues the aggregate's history; the store refuses a gap.
    pub sequence: u64,
    /// The event's identifier; the published event, where there is one, has the same.
    pub id: EventId,
    /// The event's name.
    pub event: String,
    /// The event as JSON.
    pub body: String,
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The chain of work.
    pub correlation: CorrelationId,
    /// The event that caused it, if one did.
    pub causation: Option<EventId>,
    /// Why it was decided.
    pub explanation: String,
    /// The span that it was decided in, where it was traced: what is done because of it belongs to that trace. No part of the record of who
    /// did what, so the digest does not cover it.
    pub trace_parent: Option<TraceParent>,
    /// What the history comes to with it. Whoever makes the entry works it out; stores keep it as it is.
    pub digest: ChainDigest,
}

/// The new state of one aggregate, and all that becomes durable with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateWrite {
    /// Which aggregate.
    pub key: AggregateKey,
    /// What it replaces.
    pub expected: Expected,
    /// The state.
    pub record: StoredRecord,
    /// What finds it.
    pub facets: Facets,
    /// Every key that it holds from now on. Keys held before and absent here are given up.
    pub claims: BTreeSet<Claim>,
    /// What happened. Never empty.
    pub history: Vec<HistoryEntry>,
    /// What others are told. Sequences are those of the history entries with the same identifiers.
    pub outbox: Vec<PublishedEvent>,
    /// When a reconciler must look at it next; `None` where nothing is left to do.
    pub wake_at: Option<Timestamp>,
}

impl AggregateWrite {
    /// What a write expects that follows this one.
    pub fn expected_next(&self) -> Expected {
        let digest = self.history.last().map_or(ChainDigest::GENESIS, |entry| entry.digest);
        Expected::At { revision: self.expected.result(), digest }
    }
}

/// How evidence is checked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The fact can change: the aggregate must still be at exactly this revision.
    Exactly(Revision),
    /// The fact, once true, stays true: the aggregate must be at this revision or a later one.
    AtLeast(Revision),
}

/// A fact about another aggregate that the commit rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceCheck {
    /// The aggregate that gave the evidence.
    pub key: AggregateKey,
    /// The revision it must be at.
    pub wanted: Wanted,
}

/// An inbound event that the commit handles: a second commit for the same one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Who handles it: several consumers may each handle one event once.
    pub consumer: Name,
    /// The event.
    pub event: EventId,
}

/// Everything that becomes durable together. `Commit::default()` is empty and does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// New states, at most one per aggregate.
    pub writes: Vec<AggregateWrite>,
    /// Facts it rests on.
    pub evidence: Vec<EvidenceCheck>,
    /// The inbound event it handles.
    pub inbox: Option<InboxEntry>,
    /// The lease it is made under: the commit is refused where another host has taken it.
    pub lease: Option<Lease>,
}

/// What a commit brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReceipt {
    /// The new revision of each write, in the commit's order.
    pub revisions: Vec<Revision>,
}

/// Why a commit was refused. Nothing of it happened, except where the port error's advice is
/// [`Retry::OutcomeUnknown`](crate::Retry::OutcomeUnknown).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The inbound event was handled before: nothing is to be done.
    #[error("the event was handled before")]
    AlreadyHandled,
    /// Another host holds the lease, or it was never held.
    #[error("the lease on {key} is lost: another host has taken over")]
    LeaseLost {
        /// The leased aggregate.
        key: AggregateKey,
    },
    /// A fact that the commit rests on is no longer so. Load it again and decide again.
    #[error("{key} has changed since it gave its evidence")]
    EvidenceStale {
        /// The aggregate that gave the evidence.
        key: AggregateKey,
    },
    /// The aggregate is not at the expected revision, or that revision is another writer's. Load it again and decide again.
    #[error("{key} was changed by another writer")]
    Conflict {
        /// The aggregate.
        key: AggregateKey,
    },
    /// Another aggregate holds a claimed key.
    #[error("`{}` is held by another", claim.key)]
    ClaimHeld {
        /// The claim that was refused. Nothing tells who holds it.
        claim: Claim,
    },
    /// The store failed.
    #[error("the store failed")]
    Port(#[from] PortError),
}
