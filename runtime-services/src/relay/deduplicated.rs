//! Subscribers whose effects are not in the store.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::scope::{Actor, OperatorScope};
use runtime_ports::store::{Commit, CommitError, Store};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

/// A subscriber that remembers in the store what it has handled, for one that commits nothing there itself.
///
/// It looks whether the event was handled, has the inner subscriber handle it, and then notes that in the inbox. An event whose handling had
/// no effect on the store is so handled once, except where the host dies between the effect and the note: then it is handled again. Who
/// commits to the store puts [`Delivery::inbox`] into that commit instead, and needs no exception.
pub struct Deduplicated<S> {
    inner: S,
    store: Arc<dyn Store>,
    scope: OperatorScope,
}

impl<S: std::fmt::Debug> std::fmt::Debug for Deduplicated<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Deduplicated").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S: Subscriber> Deduplicated<S> {
    /// `inner`, remembering in `store`.
    pub fn new(inner: S, store: Arc<dyn Store>) -> Self {
        let scope =
            OperatorScope::trusted(Actor::reconciler("deduplication"), "remember which events were handled");
        Self { inner, store, scope }
    }
}

#[async_trait]
impl<S: Subscriber> Subscriber for Deduplicated<S> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let scope = self.scope.for_tenant(delivery.event.tenant, delivery.correlation());
        let store = self.store.for_tenant(&scope);
        if store.is_handled(&delivery.inbox).await? {
            return Ok(());
        }
        let inbox = delivery.inbox.clone();
        self.inner.handle(delivery).await?;
        match store.commit(Commit { inbox: Some(inbox), ..Commit::default() }).await {
            Ok(_) | Err(CommitError::AlreadyHandled) => Ok(()),
            Err(CommitError::Port(error)) => Err(error.into()),
            Err(other) => Err(NotHandled::failed("relay.deduplicate", other)),
        }
    }
}
