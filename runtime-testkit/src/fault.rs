//! Ports that fail on purpose, to put before a service, a host or a suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, OperatorStore, Page, Query,
    Store, StoredAggregate, TenantStore,
};
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};

/// What happens to a commit on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitFault {
    /// It is performed or refused, and nobody learns which: [`Retry::OutcomeUnknown`].
    AnswerLost,
    /// It never arrives, and nobody learns that: [`Retry::OutcomeUnknown`].
    RequestLost,
    /// It never arrives, and the caller is told so: [`Retry::Later`].
    Unreachable,
}

type Choice = Arc<dyn Fn(u64) -> Option<CommitFault> + Send + Sync>;

/// A store around another, some of whose commits meet a fault. Everything else passes through.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    choice: Choice,
    commits: Arc<AtomicU64>,
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FaultyStore").field("commits", &self.commits).finish_non_exhaustive()
    }
}

impl FaultyStore {
    /// Asks `choice` what happens to the first commit (number 1), the second, and so on, of all handles together.
    pub fn new(
        inner: Arc<dyn Store>,
        choice: impl Fn(u64) -> Option<CommitFault> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, choice: Arc::new(choice), commits: Arc::default() }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(FaultyTenant { inner: self.inner.for_tenant(scope), store: self.clone() })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.inner.for_operator(scope)
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }
}

struct FaultyTenant {
    inner: Box<dyn TenantStore>,
    store: FaultyStore,
}

#[async_trait]
impl TenantStore for FaultyTenant {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let number = self.store.commits.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(fault) = (self.store.choice)(number) else {
            return self.inner.commit(commit).await;
        };
        if fault == CommitFault::AnswerLost {
            // Whatever it is, it is lost.
            let _ = self.inner.commit(commit).await;
        }
        let retry = match fault {
            CommitFault::AnswerLost | CommitFault::RequestLost => Retry::OutcomeUnknown,
            CommitFault::Unreachable => Retry::Later { after: None },
        };
        let message = "a fault on purpose: look whether it was done, where that is unknown, and try again";
        Err(PortError::new(PortErrorKind::Unavailable, "store.commit", message).with_retry(retry).into())
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

/// Whether a commit whose outcome is unknown was performed: whether the first event of its first write is in the history. A commit
/// without writes cannot be found, and counts as not performed: repeating it does no harm.
///
/// Exact once the commit can no longer be under way. Where it can be (a future that was dropped, a server that was out of reach), `false`
/// may turn into `true` until a later commit on the same aggregate has been accepted.
///
/// # Errors
/// The store failed.
pub async fn was_performed(store: &dyn TenantStore, commit: &Commit) -> PortResult<bool> {
    let Some((write, first)) = commit.writes.first().and_then(|write| Some((write, write.history.first()?)))
    else {
        return Ok(false);
    };
    let there = store.history(&write.key, first.sequence.saturating_sub(1), 1).await?;
    Ok(there.first().is_some_and(|entry| entry.id == first.id))
}
