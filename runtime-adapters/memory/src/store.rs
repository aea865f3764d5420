//! The store in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, Arrivals, Commit, CommitError, CommitReceipt, Due, HistoryEntry, InboxEntry, Lease,
    LeaseError, LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream, Parking,
    Query, Store, StoredAggregate, TenantStore, Unpark, Watch,
};

use state::State;

mod commit;
mod lease;
mod outbox;
mod read;
mod state;

/// A store that lives and ends with the process.
///
/// Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrivals: Arc<Arrivals>,
}

impl Shared {
    fn lock(&self, operation: &'static str) -> PortResult<MutexGuard<'_, State>> {
        self.state.lock().map_err(|_| crate::poisoned(operation))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(TenantHandle { shared: Arc::clone(&self.shared), scope: scope.clone() })
    }

    fn for_operator(&self, _scope: &OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(OperatorHandle {
            watch: Watch::new(Arc::clone(&self.shared.arrivals)),
            shared: Arc::clone(&self.shared),
        })
    }

    async fn check(&self) -> PortResult<()> {
        self.shared.lock("store.check").map(drop)
    }
}

struct TenantHandle {
    shared: Arc<Shared>,
    scope: TenantScope,
}

#[async_trait]
impl TenantStore for TenantHandle {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let due = Due::by(&commit);
        let receipt = self.shared.lock("store.commit")?.commit(self.scope.tenant(), commit)?;
        self.shared.arrivals.announce(due);
        Ok(receipt)
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        Ok(self.shared.lock("store.load")?.load(self.scope.tenant(), key))
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.shared.lock("store.query")?.query(self.scope.tenant(), query)
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        Ok(self.shared.lock("store.is_handled")?.is_handled(self.scope.tenant(), entry))
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        Ok(self.shared.lock("store.history")?.history(self.scope.tenant(), key, after, limit))
    }
}

struct OperatorHandle {
    shared: Arc<Shared>,
    watch: Watch,
}

#[async_trait]
impl OperatorStore for OperatorHandle {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        Ok(self.shared.lock("store.take_leases")?.take_leases(request))
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        self.shared.lock("store.renew_lease")?.renew_lease(lease, until)
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        self.shared.lock("store.release_lease")?.release_lease(lease);
        Ok(())
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        self.shared.lock("store.defer_lease")?.defer_lease(lease, seen, wake_at);
        Ok(())
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        Ok(self.shared.lock("store.next_due")?.next_due(kinds))
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        self.watch.arrived(Due::of(topic, kinds)).await;
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        self.shared.lock("store.outbox")?.outbox(lease, limit)
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        self.shared.lock("store.outbox_published")?.outbox_published(lease, sequence, without)
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        self.shared.lock("store.outbox_park")?.outbox_park(lease, parking)
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        self.shared.lock("store.outbox_missed")?.outbox_missed(lease, destination, limit)
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        self.shared.lock("store.outbox_caught_up")?.outbox_caught_up(lease, destination, sequence)
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        self.shared.lock("store.outbox_parked")?.outbox_parked(query)
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        let unparked = self.shared.lock("store.outbox_unpark")?.outbox_unpark(which);
        if unparked > 0 {
            self.shared.arrivals.announce(Due::of(LeaseTopic::Outbox, &AggregateKind::ALL));
        }
        Ok(unparked)
    }
}
