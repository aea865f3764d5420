//! Stores of strangers, over the world's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, Lease, LeaseError,
    LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream, Parking, Query, Store,
    StoredAggregate, TenantStore, Unpark,
};
use runtime_simulation::World;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreBug {
    /// It renews by the aggregate, and forgets to ask for the token.
    RenewsWhatIsLost,
    /// It answers when a commit is in its buffer, which it empties now and then.
    AcknowledgesEarly,
    /// It says that there is work whenever it is asked.
    AlwaysHasWork,
}

pub(crate) struct StrangerStore {
    inner: Arc<dyn Store>,
    bug: StoreBug,
}

impl StrangerStore {
    pub(crate) fn new(world: &World, bug: StoreBug) -> Self {
        Self { inner: Arc::new(world.store.clone()), bug }
    }
}

#[async_trait]
impl Store for StrangerStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        let (inner, behind) = (self.inner.for_tenant(scope), self.inner.clone());
        Box::new(StrangerTenant { inner, behind, bug: self.bug })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(StrangerOperator { inner: self.inner.for_operator(scope), bug: self.bug })
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }
}

struct StrangerTenant {
    inner: Box<dyn TenantStore>,
    behind: Arc<dyn Store>,
    bug: StoreBug,
}

#[async_trait]
impl TenantStore for StrangerTenant {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        if self.bug != StoreBug::AcknowledgesEarly {
            return self.inner.commit(commit).await;
        }
        let revisions = commit.writes.iter().map(|write| write.expected.result()).collect();
        let store = self.behind.for_tenant(self.inner.scope());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(store.commit(commit).await);
        });
        Ok(CommitReceipt { revisions })
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

struct StrangerOperator {
    inner: Box<dyn OperatorStore>,
    bug: StoreBug,
}

#[async_trait]
impl OperatorStore for StrangerOperator {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        self.inner.take_leases(request).await
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        match self.inner.renew_lease(lease, until).await {
            Err(LeaseError::Lost { .. }) if self.bug == StoreBug::RenewsWhatIsLost => {
                Ok(Lease { until, ..lease.clone() })
            }
            renewed => renewed,
        }
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
        if self.bug != StoreBug::AlwaysHasWork {
            self.inner.work_arrived(topic, kinds).await;
        }
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
        self.inner.outbox_published(lease, sequence, without).await
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        self.inner.outbox_park(lease, parking).await
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
        self.inner.outbox_caught_up(lease, destination, sequence).await
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        self.inner.outbox_parked(query).await
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        self.inner.outbox_unpark(which).await
    }
}
