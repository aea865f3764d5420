//! A store of their own: it counts commits, and leaves the rest to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_memory::MemoryStore;
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, OperatorStore, Page, Query,
    Store, StoredAggregate, TenantStore,
};

/// Counts the commits that were accepted.
#[derive(Debug, Clone, Default)]
pub struct CountedStore {
    inner: MemoryStore,
    accepted: Arc<AtomicU64>,
}

impl CountedStore {
    /// How many commits were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Store for CountedStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(Counted { inner: self.inner.for_tenant(scope), accepted: Arc::clone(&self.accepted) })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.inner.for_operator(scope)
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }
}

struct Counted {
    inner: Box<dyn TenantStore>,
    accepted: Arc<AtomicU64>,
}

#[async_trait]
impl TenantStore for Counted {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let receipt = self.inner.commit(commit).await?;
        self.accepted.fetch_add(1, Ordering::Relaxed);
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
