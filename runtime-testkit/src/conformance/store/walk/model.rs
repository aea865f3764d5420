//! What the port's docs say, as plainly as it can be said: everything in maps, every rule a few lines, nothing kept twice.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::id::{AggregateKind, EventId, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortErrorKind;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, AggregateWrite, ChainDigest, Commit, CommitError, EvidenceCheck, Expected, Facets, Held,
    HistoryEntry, InboxEntry, Lease, LeaseRequest, LeaseTopic, Order, ParkedQuery, ParkedStream, Parking,
    Query, StoredAggregate, StreamKey, Unpark, Wanted, due_micros,
};

use crate::conformance::{Failure, ensure, equal};

/// Where an aggregate is, among all tenants'.
pub(super) type Address = (TenantId, AggregateKey);

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) aggregates: BTreeMap<Address, Aggregate>,
    handled: BTreeSet<(TenantId, Name, EventId)>,
    leases: BTreeMap<(LeaseTopic, Address), Given>,
    newest_token: Option<FencingToken>,
    /// How many commits there were.
    commits: u64,
}

#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) stored: StoredAggregate,
    pub(super) facets: Facets,
    claims: BTreeSet<Claim>,
    history: Vec<HistoryEntry>,
    /// The commit that created it: those of one commit are listed in any order.
    created: u64,
    /// Every event that was ever to be relayed.
    events: BTreeMap<u64, PublishedEvent>,
    /// Up to where all destinations that are not held have got them.
    published: u64,
    holds: BTreeMap<Name, Hold>,
}

#[derive(Debug)]
struct Hold {
    /// The first event that the destination has not got.
    from: u64,
    /// `None` once it may catch up.
    parked: Option<Parking>,
}

/// The newest lease on something.
#[derive(Debug)]
struct Given {
    lease: Lease,
    is_held: bool,
}

/// Why a commit must be refused, and what the refusal may name.
#[derive(Debug)]
pub(super) enum Refusal {
    AlreadyHandled,
    LeaseLost(AggregateKey),
    EvidenceStale(BTreeSet<AggregateKey>),
    Conflict(BTreeSet<AggregateKey>),
    Gap,
    ClaimHeld(BTreeSet<Claim>),
}

impl Refusal {
    pub(super) fn is(&self, error: &CommitError) -> bool {
        match (self, error) {
            (Self::AlreadyHandled, CommitError::AlreadyHandled) => true,
            (Self::LeaseLost(lost), CommitError::LeaseLost { key }) => lost == key,
            (Self::EvidenceStale(stale), CommitError::EvidenceStale { key }) => stale.contains(key),
            (Self::Conflict(changed), CommitError::Conflict { key }) => changed.contains(key),
            (Self::Gap, CommitError::Port(error)) => error.kind() == PortErrorKind::Invalid,
            (Self::ClaimHeld(held), CommitError::ClaimHeld { claim }) => held.contains(claim),
            _ => false,
        }
    }
}

impl Model {
    pub(super) fn commit(&mut self, tenant: TenantId, commit: &Commit) -> Result<Vec<Revision>, Refusal> {
        let handled =
            commit.inbox.as_ref().map(|InboxEntry { consumer, event }| (tenant, consumer.clone(), *event));
        if handled.as_ref().is_some_and(|handled| self.handled.contains(handled)) {
            return Err(Refusal::AlreadyHandled);
        }
        if let Some(lease) =
            commit.lease.as_ref().filter(|lease| lease.tenant != tenant || !self.holds(lease))
        {
            return Err(Refusal::LeaseLost(lease.key));
        }
        let stale = commit.evidence.iter().filter(|check| !self.is_so(tenant, check)).map(|check| check.key);
        some(stale, Refusal::EvidenceStale)?;
        let expects = |write: &&AggregateWrite| write.expected != self.expected(&(tenant, write.key));
        some(commit.writes.iter().filter(expects).map(|write| write.key), Refusal::Conflict)?;
        let newest =
            |key| self.aggregates.get(&(tenant, key)).map_or(0, |aggregate| aggregate.stored.sequence);
        let first = |write: &AggregateWrite| write.history.first().map(|entry| entry.sequence);
        if commit.writes.iter().any(|write| first(write) != Some(newest(write.key) + 1)) {
            return Err(Refusal::Gap);
        }
        some(self.held_by_others(tenant, &commit.writes), Refusal::ClaimHeld)?;

        self.handled.extend(handled);
        self.commits += 1;
        for write in &commit.writes {
            self.write((tenant, write.key), write);
        }
        Ok(commit.writes.iter().map(|write| write.expected.result()).collect())
    }

    fn is_so(&self, tenant: TenantId, check: &EvidenceCheck) -> bool {
        let present = self.aggregates.get(&(tenant, check.key)).map(|aggregate| aggregate.stored.revision);
        present.is_some_and(|present| match check.wanted {
            Wanted::Exactly(wanted) => present == wanted,
            Wanted::AtLeast(wanted) => present >= wanted,
        })
    }

    fn expected(&self, address: &Address) -> Expected {
        self.aggregates.get(address).map_or(Expected::Absent, |aggregate| aggregate.stored.expected_next())
    }

    /// The claims of these writes that another aggregate would hold too once they were made, and not both share.
    fn held_by_others(&self, tenant: TenantId, writes: &[AggregateWrite]) -> BTreeSet<Claim> {
        let mut after: BTreeMap<Address, &BTreeSet<Claim>> =
            self.aggregates.iter().map(|(address, aggregate)| (*address, &aggregate.claims)).collect();
        after.extend(writes.iter().map(|write| ((tenant, write.key), &write.claims)));
        let clash = |(holder, claims): (&Address, &&BTreeSet<Claim>), address: &Address, claim: &Claim| {
            holder != address
                && claims.iter().any(|other| {
                    other.key == claim.key
                        && other.space == claim.space
                        && (claim.space == ClaimSpace::Global || holder.0 == tenant)
                        && (other.mode, claim.mode) != (ClaimMode::Shared, ClaimMode::Shared)
                })
        };
        let claimed =
            writes.iter().flat_map(|write| write.claims.iter().map(|claim| ((tenant, write.key), claim)));
        claimed
            .filter(|(address, claim)| after.iter().any(|other| clash(other, address, claim)))
            .map(|(_, claim)| claim.clone())
            .collect()
    }

    fn write(&mut self, address: Address, write: &AggregateWrite) {
        let last = write.history.last();
        let stored = StoredAggregate {
            key: write.key,
            revision: write.expected.result(),
            sequence: last.map_or(0, |entry| entry.sequence),
            digest: last.map_or(ChainDigest::GENESIS, |entry| entry.digest),
            record: write.record.clone(),
            wake_at: write.wake_at,
        };
        let aggregate = self.aggregates.entry(address).or_insert_with(|| Aggregate {
            stored: stored.clone(),
            facets: write.facets.clone(),
            claims: BTreeSet::new(),
            history: Vec::new(),
            created: self.commits,
            events: BTreeMap::new(),
            published: 0,
            holds: BTreeMap::new(),
        });
        aggregate.stored = stored;
        aggregate.facets = write.facets.clone();
        aggregate.claims = write.claims.clone();
        aggregate.history.extend(write.history.iter().cloned());
        aggregate.events.extend(write.outbox.iter().map(|event| (event.sequence, event.clone())));
    }

    pub(super) fn is_handled(&self, tenant: TenantId, entry: &InboxEntry) -> bool {
        self.handled.contains(&(tenant, entry.consumer.clone(), entry.event))
    }

    pub(super) fn history(&self, address: &Address, after: u64, limit: u32) -> Vec<HistoryEntry> {
        let entries = self.aggregates.get(address).into_iter().flat_map(|aggregate| &aggregate.history);
        entries.filter(|entry| entry.sequence > after).take(many(limit)).cloned().collect()
    }

    /// A whole listing: what comes in which order; what has the same place comes in any.
    pub(super) fn listing(&self, tenant: TenantId, query: &Query) -> BTreeSet<((i64, u64), AggregateKey)> {
        let due = |aggregate: &Aggregate| aggregate.stored.wake_at.map(due_micros);
        let is_listed = |aggregate: &Aggregate| {
            let Facets { environment, status, modules } = &aggregate.facets;
            query.environment.is_none_or(|wanted| wanted == *environment)
                && (query.statuses.is_empty() || query.statuses.contains(status))
                && query.module.as_ref().is_none_or(|wanted| modules.contains(wanted))
                && query.due_from.is_none_or(|from| due(aggregate).is_some_and(|due| due >= due_micros(from)))
                && query.due_before.is_none_or(|end| due(aggregate).is_some_and(|due| due < due_micros(end)))
                && (query.order != Order::DueFirst || due(aggregate).is_some())
        };
        let place = |aggregate: &Aggregate| match query.order {
            Order::NewestFirst => (0, u64::MAX - aggregate.created),
            Order::OldestFirst => (0, aggregate.created),
            Order::DueFirst => (due(aggregate).unwrap_or_default(), aggregate.created),
        };
        let own =
            self.aggregates.iter().filter(|((owner, key), _)| *owner == tenant && key.kind == query.kind);
        own.filter(|(_, aggregate)| is_listed(aggregate))
            .map(|((_, key), aggregate)| (place(aggregate), *key))
            .collect()
    }

    /// Judges what a call for leases gave, and takes note of it. Tells what it might have given besides: what is for the next call.
    pub(super) fn take(
        &mut self,
        request: &LeaseRequest,
        given: &[Lease],
    ) -> Result<BTreeSet<Address>, Failure> {
        let (mut due, before) = (self.due(request), self.newest_token);
        for lease in given {
            let address = (lease.tenant, lease.key);
            ensure(due.remove(&address), format!("{lease:?} is on what is not due, or leased already"))?;
            let told = (lease.topic, lease.host, lease.until);
            equal("topic, host and end of a lease", told, (request.topic, request.host, request.until))?;
            ensure(Some(lease.token) > before, format!("{:?} follows {before:?}", lease.token))?;
            let last = self.leases.get(&(lease.topic, address)).map(|given| given.lease.token);
            ensure(
                lease.previous.is_none() || lease.previous == last,
                format!("the lease before {lease:?} was {last:?}"),
            )?;
            let present = self.aggregates.get(&address).map(|aggregate| aggregate.stored.revision);
            ensure(
                lease.revision.is_none() || lease.revision == present,
                format!("{lease:?} tells a revision, and it is {present:?}"),
            )?;
            self.newest_token = self.newest_token.max(Some(lease.token));
            self.leases.insert((lease.topic, address), Given { lease: lease.clone(), is_held: true });
        }
        let tokens: BTreeSet<FencingToken> = given.iter().map(|lease| lease.token).collect();
        equal("how many different tokens there are", tokens.len(), given.len())?;
        let limit = many(request.limit);
        ensure(given.len() <= limit, format!("{} leases were given", given.len()))?;
        Ok(if given.len() < limit { due } else { BTreeSet::new() })
    }

    fn due(&self, request: &LeaseRequest) -> BTreeSet<Address> {
        let is_free = |address: &Address| {
            let given = self.leases.get(&(request.topic, *address)).filter(|given| given.is_held);
            given.is_none_or(|given| given.lease.until <= request.now)
        };
        let is_due = |aggregate: &Aggregate| match request.topic {
            LeaseTopic::Work => aggregate.stored.wake_at.is_some_and(|at| at <= request.now),
            LeaseTopic::Outbox => aggregate.relays(),
        };
        let asked = self.aggregates.iter().filter(|((_, key), _)| request.kinds.contains(&key.kind));
        asked
            .filter(|(address, aggregate)| is_due(aggregate) && is_free(address))
            .map(|(address, _)| *address)
            .collect()
    }

    /// Time plays no part: an expired lease that nobody has taken is still good.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        let given = self.leases.get(&(lease.topic, (lease.tenant, lease.key)));
        given.is_some_and(|given| {
            given.is_held && (given.lease.token, given.lease.host) == (lease.token, lease.host)
        })
    }

    /// Whether it could be.
    pub(super) fn renew(&mut self, lease: &Lease, until: Timestamp) -> bool {
        let is_held = self.holds(lease);
        if let Some(given) = self.given(lease) {
            given.lease.until = until;
        }
        is_held
    }

    pub(super) fn release(&mut self, lease: &Lease) {
        if let Some(given) = self.given(lease) {
            given.is_held = false;
        }
    }

    pub(super) fn defer(&mut self, lease: &Lease, seen: Revision, wake_at: Timestamp) {
        if self.holds(lease)
            && let Some(aggregate) = self.aggregates.get_mut(&(lease.tenant, lease.key))
            && aggregate.stored.revision == seen
        {
            aggregate.stored.wake_at = Some(wake_at);
        }
        self.release(lease);
    }

    /// What is known of a lease that is held.
    fn given(&mut self, lease: &Lease) -> Option<&mut Given> {
        let is_held = self.holds(lease);
        self.leases.get_mut(&(lease.topic, (lease.tenant, lease.key))).filter(|_| is_held)
    }

    pub(super) fn next_due(&self, kinds: &[AggregateKind]) -> Option<Timestamp> {
        let asked = self.aggregates.iter().filter(|((_, key), _)| kinds.contains(&key.kind));
        asked.filter_map(|(_, aggregate)| aggregate.stored.wake_at).min()
    }

    /// The stream that a lease is for.
    pub(super) fn stream(&mut self, lease: &Lease) -> Option<&mut Aggregate> {
        self.aggregates.get_mut(&(lease.tenant, lease.key))
    }

    pub(super) fn parked(&self, query: &ParkedQuery) -> BTreeMap<StreamKey, ParkedStream> {
        let holds = self.aggregates.iter().flat_map(|(address, aggregate)| {
            aggregate.holds.iter().map(move |(destination, hold)| (*address, destination.clone(), hold))
        });
        let parked = holds.filter_map(|((tenant, key), destination, hold)| {
            let Parking { reason, until, at, .. } = hold.parked.clone()?;
            let stream = StreamKey { tenant, key, destination };
            Some(ParkedStream { stream, sequence: hold.from, reason, until, since: at })
        });
        parked
            .filter(|parked| {
                query.tenant.is_none_or(|tenant| tenant == parked.stream.tenant)
                    && query.until.is_none_or(|until| until == parked.until)
                    && query.destination.as_ref().is_none_or(|name| *name == parked.stream.destination)
            })
            .map(|parked| (parked.stream.clone(), parked))
            .collect()
    }

    /// How many streams it is.
    pub(super) fn unpark(&mut self, which: &Unpark) -> u32 {
        let mut count = 0;
        for ((tenant, key), aggregate) in &mut self.aggregates {
            for (destination, hold) in &mut aggregate.holds {
                let is_meant = match which {
                    Unpark::One(stream) => {
                        (stream.tenant, stream.key, &stream.destination) == (*tenant, *key, destination)
                    }
                    Unpark::All { destination: wanted } => {
                        wanted.as_ref().is_none_or(|wanted| wanted == destination)
                    }
                };
                if is_meant && hold.parked.take().is_some() {
                    count += 1;
                }
            }
        }
        count
    }
}

impl Aggregate {
    fn relays(&self) -> bool {
        let missed = self.holds.values().filter(|hold| hold.parked.is_none());
        self.waiting().next().is_some() || missed.into_iter().any(|hold| self.between(hold).next().is_some())
    }

    fn waiting(&self) -> impl Iterator<Item = &PublishedEvent> {
        self.events.range(self.published + 1..).map(|(_, event)| event)
    }

    /// What others have got, and a destination has not.
    fn between(&self, hold: &Hold) -> impl Iterator<Item = &PublishedEvent> {
        let end = self.published.max(hold.from.saturating_sub(1));
        self.events.range(hold.from..end + 1).map(|(_, event)| event)
    }

    pub(super) fn outbox(&self, limit: u32) -> (Vec<PublishedEvent>, Vec<Held>) {
        let held = self.holds.iter().map(|(destination, hold)| Held {
            destination: destination.clone(),
            is_resumed: hold.parked.is_none(),
        });
        (self.waiting().take(many(limit)).cloned().collect(), held.collect())
    }

    pub(super) fn missed(&self, destination: &Name, limit: u32) -> Vec<PublishedEvent> {
        let hold = self.holds.get(destination).filter(|hold| hold.parked.is_none());
        hold.into_iter().flat_map(|hold| self.between(hold)).take(many(limit)).cloned().collect()
    }

    /// The destination that is not held, where one that was passed over is not: nothing is marked then.
    pub(super) fn mark(&mut self, sequence: u64, without: &BTreeSet<Name>) -> Option<Name> {
        let missing = without.iter().find(|name| !self.holds.contains_key(*name));
        if missing.is_none() {
            let newest = self.events.keys().last().copied().unwrap_or_default();
            self.published = self.published.max(sequence.min(newest));
        }
        missing.cloned()
    }

    /// The events that the relay can fail to send to a destination: where it is held, those that it has missed, else those that wait.
    pub(super) fn sendable(&self, destination: &Name) -> Vec<u64> {
        match self.holds.get(destination) {
            Some(hold) => self.between(hold).map(|event| event.sequence).collect(),
            None => self.waiting().map(|event| event.sequence).collect(),
        }
    }

    pub(super) fn park(&mut self, parking: &Parking) {
        if !self.holds.contains_key(&parking.destination) {
            self.published = self.published.max(parking.sequence.saturating_sub(1));
        }
        let hold = Hold { from: parking.sequence, parked: Some(parking.clone()) };
        self.holds.insert(parking.destination.clone(), hold);
    }

    pub(super) fn caught_up(&mut self, destination: &Name, sequence: u64) {
        let Some(hold) = self.holds.get_mut(destination).filter(|hold| hold.parked.is_none()) else { return };
        hold.from = hold.from.max(sequence + 1);
        let is_behind = self.holds.get(destination).is_some_and(|hold| self.between(hold).next().is_some());
        if !is_behind {
            self.holds.remove(destination);
        }
    }

    /// Up to which event the destinations that are not held have got them.
    pub(super) const fn published(&self) -> u64 {
        self.published
    }
}

/// The refusal, where it would name something.
fn some<T: Ord>(
    found: impl IntoIterator<Item = T>,
    refusal: impl Fn(BTreeSet<T>) -> Refusal,
) -> Result<(), Refusal> {
    let found: BTreeSet<T> = found.into_iter().collect();
    if found.is_empty() { Ok(()) } else { Err(refusal(found)) }
}

fn many(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
