//! A store that watches the one beneath it: what it has acknowledged, and whom it has let hold a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, AggregateWrite, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, Lease,
    LeaseError, LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream, Parking,
    Query, Store, StoredAggregate, TenantStore, Unpark,
};

use crate::world::lock;

/// What the store has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The newest lease of each.
    tokens: BTreeMap<(LeaseTopic, TenantId, AggregateKey), FencingToken>,
    /// What was acknowledged since it was last looked at, at its newest revision.
    acknowledged: BTreeMap<(TenantId, AggregateKey), Revision>,
    states: BTreeMap<(AggregateKind, String), u64>,
    events: BTreeMap<(AggregateKind, String), u64>,
    wrong: Vec<String>,
}

impl Witness {
    /// The same store, watched.
    pub(crate) fn over(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Watched { inner, witness: self.clone() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.0)
    }

    /// What was acknowledged since this was last asked.
    pub(crate) fn acknowledged(&self) -> BTreeMap<(TenantId, AggregateKey), Revision> {
        std::mem::take(&mut self.seen().acknowledged)
    }

    /// The states and events that were committed, for people.
    pub(crate) fn committed(&self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let seen = self.seen();
        let states = seen.states.iter().map(|((kind, state), count)| (format!("{kind} {state}"), *count));
        let events = seen.events.iter().map(|((kind, event), count)| (format!("{kind} {event}"), *count));
        (states.collect(), events.collect())
    }

    /// What is wrong with the leases.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.seen().wrong.first().cloned()
    }

    fn newest(&self, lease: &Lease) -> Option<FencingToken> {
        self.seen().tokens.get(&(lease.topic, lease.tenant, lease.key)).copied()
    }

    fn granted(&self, lease: &Lease) {
        let mut seen = self.seen();
        let before = seen.tokens.insert((lease.topic, lease.tenant, lease.key), lease.token);
        if let Some(before) = before.filter(|before| *before >= lease.token) {
            let text = format!("{} was leased with token {} after {}", lease.key, lease.token.0, before.0);
            seen.wrong.push(text);
        }
    }

    /// Something was done under a lease. `newest` is what the newest one was before that was begun.
    fn used(&self, what: &str, lease: &Lease, newest: Option<FencingToken>) {
        if let Some(newest) = newest.filter(|newest| *newest > lease.token) {
            let Lease { key, token, .. } = lease;
            let text =
                format!("{what} on {key} was done under lease {}, though {} was out", token.0, newest.0);
            self.seen().wrong.push(text);
        }
    }
}

struct Watched {
    inner: Arc<dyn Store>,
    witness: Witness,
}

#[async_trait]
impl Store for Watched {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(WatchedTenant { inner: self.inner.for_tenant(scope), witness: self.witness.clone() })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(WatchedOperator { inner: self.inner.for_operator(scope), witness: self.witness.clone() })
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }
}

struct WatchedTenant {
    inner: Box<dyn TenantStore>,
    witness: Witness,
}

#[async_trait]
impl TenantStore for WatchedTenant {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let tenant = self.inner.scope().tenant();
        let made: Vec<_> = commit.writes.iter().map(|write| (write.key, write.expected.result())).collect();
        let states: Vec<_> =
            commit.writes.iter().map(|write| (write.key.kind, write.facets.status.clone())).collect();
        let entries = |write: &AggregateWrite| {
            let kind = write.key.kind;
            write.history.iter().map(move |entry| (kind, entry.event.clone())).collect::<Vec<_>>()
        };
        let events: Vec<_> = commit.writes.iter().flat_map(entries).collect();
        let lease = commit.lease.clone();
        let newest = lease.as_ref().and_then(|lease| self.witness.newest(lease));
        let receipt = self.inner.commit(commit).await?;
        if let Some(lease) = &lease {
            self.witness.used("a commit", lease, newest);
        }
        let mut seen = self.witness.seen();
        for (key, revision) in made {
            let known = seen.acknowledged.entry((tenant, key)).or_insert(revision);
            *known = revision.max(*known);
        }
        for state in states {
            *seen.states.entry(state).or_default() += 1;
        }
        for event in events {
            *seen.events.entry(event).or_default() += 1;
        }
        Ok(receipt)
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.inner.load(key).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.inner.query(query).await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.inner.is_handled(entry).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.inner.history(key, after, limit).await
    }
}

struct WatchedOperator {
    inner: Box<dyn OperatorStore>,
    witness: Witness,
}

#[async_trait]
impl OperatorStore for WatchedOperator {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        let taken = self.inner.take_leases(request).await?;
        taken.iter().for_each(|lease| self.witness.granted(lease));
        Ok(taken)
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        let newest = self.witness.newest(lease);
        let renewed = self.inner.renew_lease(lease, until).await?;
        self.witness.used("a renewal", lease, newest);
        Ok(renewed)
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        self.inner.release_lease(lease).await
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        self.inner.defer_lease(lease, seen, wake_at).await
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        self.inner.next_due(kinds).await
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        self.inner.work_arrived(topic, kinds).await;
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        self.inner.outbox(lease, limit).await
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        let newest = self.witness.newest(lease);
        self.inner.outbox_published(lease, sequence, without).await?;
        self.witness.used("a mark of what was published", lease, newest);
        Ok(())
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        let newest = self.witness.newest(lease);
        self.inner.outbox_park(lease, parking).await?;
        self.witness.used("parking", lease, newest);
        Ok(())
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        self.inner.outbox_missed(lease, destination, limit).await
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        let newest = self.witness.newest(lease);
        self.inner.outbox_caught_up(lease, destination, sequence).await?;
        self.witness.used("catching up", lease, newest);
        Ok(())
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        self.inner.outbox_parked(query).await
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        self.inner.outbox_unpark(which).await
    }
}
