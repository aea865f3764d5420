//! What is committed through this host, told as it happens: for those who follow progress. It may be missed, so they look at the history, too.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, OperatorStore, Page, Query,
    Store, StoredAggregate, TenantStore,
};
use tokio::sync::broadcast;

/// How many changes are kept for a follower that is slow.
const KEPT: usize = 1_024;

/// An aggregate that was written by a commit of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub key: AggregateKey,
    /// The first history entry that the commit made.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// A store that tells what was committed through it.
pub(crate) struct Announcing {
    store: Arc<dyn Store>,
    changes: broadcast::Sender<Changed>,
}

impl Announcing {
    pub(crate) fn over(store: Arc<dyn Store>) -> (Arc<dyn Store>, broadcast::Sender<Changed>) {
        let changes = broadcast::Sender::new(KEPT);
        (Arc::new(Self { store, changes: changes.clone() }), changes)
    }
}

#[async_trait]
impl Store for Announcing {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(AnnouncingTenant { store: self.store.for_tenant(scope), changes: self.changes.clone() })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.store.for_operator(scope)
    }

    async fn check(&self) -> PortResult<()> {
        self.store.check().await
    }
}

struct AnnouncingTenant {
    store: Box<dyn TenantStore>,
    changes: broadcast::Sender<Changed>,
}

#[async_trait]
impl TenantStore for AnnouncingTenant {
    fn scope(&self) -> &TenantScope {
        self.store.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        if self.changes.receiver_count() == 0 {
            return self.store.commit(commit).await;
        }
        let tenant = self.scope().tenant();
        let changed: Vec<Changed> = commit
            .writes
            .iter()
            .filter_map(|write| {
                let (first, last) = (write.history.first()?.sequence, write.history.last()?.sequence);
                Some(Changed { tenant, key: write.key, first, last })
            })
            .collect();
        let receipt = self.store.commit(commit).await?;
        for changed in changed {
            // Nobody follows any more.
            let _ = self.changes.send(changed);
        }
        Ok(receipt)
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.store.load(key).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.store.query(query).await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.store.is_handled(entry).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.store.history(key, after, limit).await
    }
}
