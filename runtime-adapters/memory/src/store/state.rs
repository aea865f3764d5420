//! What the store holds. Ordered collections only, so that equal calls give equal answers.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::id::{AggregateKind, EventId, HostId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name, Revision};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, ChainDigest, Facets, HistoryEntry, LeaseTopic, ParkedUntil, StoredAggregate, StoredRecord,
};
use uuid::Uuid;

/// Where an aggregate is, among all tenants'.
pub(super) type Address = (TenantId, AggregateKey);

/// Among whom a claimed key is unique, `None` for all tenants, and the key.
pub(super) type ClaimedKey = (Option<TenantId>, String);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) aggregates: BTreeMap<Address, Row>,
    /// A tenant's aggregates of a kind by the order of their creation, from 1. Counted per tenant, so that no cursor tells how busy others are.
    pub(super) created: BTreeMap<(TenantId, AggregateKind), BTreeMap<u64, Uuid>>,
    pub(super) claims: BTreeMap<ClaimedKey, BTreeMap<Address, ClaimMode>>,
    pub(super) inbox: BTreeSet<(TenantId, Name, EventId)>,
    /// When aggregates are due for work, leased or not.
    pub(super) due: BTreeMap<AggregateKind, BTreeSet<(Timestamp, Address)>>,
    /// From when on aggregates can be taken.
    pub(super) lines: BTreeMap<(LeaseTopic, AggregateKind), Line>,
    /// A tenant's aggregates of a kind that are about a module, by the order of their creation.
    pub(super) about: BTreeMap<(TenantId, AggregateKind, ModuleId), BTreeSet<u64>>,
    pub(super) outbox: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    pub(super) behind: BTreeMap<Address, Behind>,
    pub(super) leases: BTreeMap<(LeaseTopic, Address), LeaseRow>,
    /// The token of the newest lease.
    pub(super) tokens: u64,
    /// The token of each tenant's newest lease.
    pub(super) served: BTreeMap<(LeaseTopic, TenantId), u64>,
    pub(super) outbox_arrivals: u64,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) revision: Revision,
    pub(super) created: u64,
    pub(super) record: StoredRecord,
    pub(super) facets: Facets,
    pub(super) claims: BTreeSet<Claim>,
    pub(super) history: Vec<HistoryEntry>,
    pub(super) wake_at: Option<Timestamp>,
}

impl Row {
    pub(super) fn sequence(&self) -> u64 {
        self.history.last().map_or(0, |entry| entry.sequence)
    }

    pub(super) fn digest(&self) -> ChainDigest {
        self.history.last().map_or(ChainDigest::GENESIS, |entry| entry.digest)
    }

    pub(super) fn stored(&self, key: AggregateKey) -> StoredAggregate {
        StoredAggregate {
            key,
            revision: self.revision,
            sequence: self.sequence(),
            digest: self.digest(),
            record: self.record.clone(),
            wake_at: self.wake_at,
        }
    }
}

/// An event that waits to be published.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its place in the order of commits.
    pub(super) arrival: u64,
    pub(super) event: PublishedEvent,
}

/// The destinations that are behind in one stream.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Up to where all others have got the events.
    pub(super) others: u64,
    pub(super) holds: BTreeMap<Name, Hold>,
}

/// One destination's place.
#[derive(Debug)]
pub(super) struct Hold {
    /// The first event that it has not got.
    pub(super) from: u64,
    /// `None` where it may catch up.
    pub(super) parked: Option<Parked>,
}

/// Why a destination's stream waits.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    pub(super) reason: String,
    pub(super) until: ParkedUntil,
    pub(super) since: Timestamp,
}

/// From when on an aggregate can be taken, and its place among those that can be taken as early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Free {
    pub(super) at: Timestamp,
    pub(super) arrival: u64,
}

/// What of one topic and kind can be taken, by tenant: none has to look at another's.
#[derive(Debug, Default)]
pub(super) struct Line {
    free: BTreeMap<TenantId, BTreeSet<(Free, Uuid)>>,
    places: BTreeMap<(TenantId, Uuid), Free>,
    /// The first of every tenant.
    heads: BTreeSet<(Free, TenantId)>,
}

impl Line {
    /// The tenants of whom something can be taken, and what of each has waited longest.
    pub(super) fn tenants(&self, now: Timestamp) -> impl Iterator<Item = (Free, TenantId)> {
        self.heads.iter().take_while(move |(free, _)| free.at <= now).copied()
    }

    /// What of a tenant can be taken, what has waited longest first.
    pub(super) fn of(&self, tenant: TenantId, now: Timestamp) -> impl Iterator<Item = (Free, Uuid)> {
        self.free.get(&tenant).into_iter().flatten().copied().take_while(move |(free, _)| free.at <= now)
    }

    /// From when on an aggregate can be taken; `None` where it never can.
    pub(super) fn set(&mut self, tenant: TenantId, id: Uuid, free: Option<Free>) {
        let before = match free {
            Some(free) => self.places.insert((tenant, id), free),
            None => self.places.remove(&(tenant, id)),
        };
        if before == free {
            return;
        }
        let own = self.free.entry(tenant).or_default();
        if let Some((head, _)) = own.first() {
            self.heads.remove(&(*head, tenant));
        }
        if let Some(before) = before {
            own.remove(&(before, id));
        }
        if let Some(free) = free {
            own.insert((free, id));
        }
        match own.first() {
            Some((head, _)) => drop(self.heads.insert((*head, tenant))),
            None => drop(self.free.remove(&tenant)),
        }
    }
}

/// A lease; kept without a holder after it was given back.
#[derive(Debug)]
pub(super) struct LeaseRow {
    pub(super) token: u64,
    pub(super) holder: Option<(HostId, Timestamp)>,
}

pub(super) fn claimed_key(tenant: TenantId, claim: &Claim) -> ClaimedKey {
    let space = match claim.space {
        ClaimSpace::Tenant => Some(tenant),
        ClaimSpace::Global => None,
    };
    (space, claim.key.clone())
}
