//! A store some of whose calls meet a fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{Actor, OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, Lease, LeaseError,
    LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream, Parking, Query, Store,
    StoredAggregate, TenantStore, Unpark,
};

use super::{Call, Faults, Spoil, half};

impl Faults {
    /// The same store, whose calls meet these faults.
    pub fn store(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(FaultyStore { inner, faults: self.clone() })
    }
}

struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Faults,
}

#[async_trait]
impl Store for FaultyStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(FaultyTenant { inner: self.inner.for_tenant(scope), faults: self.faults.clone() })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        let (inner, faults) = (self.inner.for_operator(scope), self.faults.clone());
        Box::new(FaultyOperator { inner, faults, actor: scope.actor().clone() })
    }

    async fn check(&self) -> PortResult<()> {
        self.faults.read(Call::of("store.check", ""), Spoil::NOTHING, self.inner.check()).await
    }
}

struct FaultyTenant {
    inner: Box<dyn TenantStore>,
    faults: Faults,
}

impl FaultyTenant {
    fn call(&self, method: &'static str, about: impl ToString) -> Call {
        Call::of(method, about).by(self.inner.scope().actor())
    }
}

fn half_a_page<T>(page: Page<T>) -> Page<T> {
    Page { items: half(page.items), next: page.next }
}

#[async_trait]
impl TenantStore for FaultyTenant {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let written = commit.writes.iter().flat_map(|write| {
            write.history.iter().map(move |entry| format!("{} {}", write.key.kind, entry.event))
        });
        let call = self.call("store.commit", written.collect::<Vec<_>>().join(", "));
        self.faults.change(call, || self.inner.commit(commit.clone())).await
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        let call = self.call("store.load", format_args!("{} {key}", self.inner.scope().tenant()));
        self.faults.read(call, Spoil::NOTHING, self.inner.load(key)).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        let call = self.call("store.query", format_args!("{} {query:?}", self.inner.scope().tenant()));
        self.faults.read(call, Spoil::part(half_a_page), self.inner.query(query)).await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        let call = self.call("store.is_handled", format_args!("{} {}", entry.consumer, entry.event));
        self.faults.read(call, Spoil::NOTHING, self.inner.is_handled(entry)).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        let call = self.call("store.history", format_args!("{key} {after} {limit}"));
        self.faults.read(call, Spoil::part(half), self.inner.history(key, after, limit)).await
    }
}

struct FaultyOperator {
    inner: Box<dyn OperatorStore>,
    faults: Faults,
    actor: Actor,
}

impl FaultyOperator {
    fn call(&self, method: &'static str, about: impl ToString) -> Call {
        Call::of(method, about).by(&self.actor)
    }
}

#[async_trait]
impl OperatorStore for FaultyOperator {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        let call = self.call("store.take_leases", format_args!("{:?} {:?}", request.topic, request.kinds));
        self.faults.change(call, || self.inner.take_leases(request)).await
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        let call = self.call("store.renew_lease", lease.key);
        self.faults.change(call, || self.inner.renew_lease(lease, until)).await
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        let call = self.call("store.release_lease", lease.key);
        self.faults.change(call, || self.inner.release_lease(lease)).await
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        let call = self.call("store.defer_lease", lease.key);
        self.faults.change(call, || self.inner.defer_lease(lease, seen, wake_at)).await
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        let call = self.call("store.next_due", format_args!("{kinds:?}"));
        self.faults.read(call, Spoil::NOTHING, self.inner.next_due(kinds)).await
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        self.faults.wait("store.work_arrived", self.inner.work_arrived(topic, kinds)).await
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        let call = self.call("store.outbox", lease.key);
        let part = |outbox: Outbox| Outbox { events: half(outbox.events), ..outbox };
        self.faults.read(call, Spoil::part(part), self.inner.outbox(lease, limit)).await
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        let call = self.call("store.outbox_published", format_args!("{} up to {sequence}", lease.key));
        self.faults.change(call, || self.inner.outbox_published(lease, sequence, without)).await
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        let call = self.call("store.outbox_park", lease.key);
        self.faults.change(call, || self.inner.outbox_park(lease, parking)).await
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        let call = self.call("store.outbox_missed", format_args!("{} {destination}", lease.key));
        let asked = self.inner.outbox_missed(lease, destination, limit);
        self.faults.read(call, Spoil::part(half), asked).await
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        let call = self.call("store.outbox_caught_up", format_args!("{} {destination}", lease.key));
        self.faults.change(call, || self.inner.outbox_caught_up(lease, destination, sequence)).await
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        let call = self.call("store.outbox_parked", format_args!("{query:?}"));
        self.faults.read(call, Spoil::part(half_a_page), self.inner.outbox_parked(query)).await
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        let call = self.call("store.outbox_unpark", format_args!("{which:?}"));
        self.faults.change(call, || self.inner.outbox_unpark(which)).await
    }
}
