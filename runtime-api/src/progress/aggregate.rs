//! One aggregate's progress: its history.

use std::sync::Arc;

use runtime_domain::id::EnvironmentId;
use runtime_domain::scope::TenantScope;
use runtime_ports::store::{AggregateKey, TenantStore};
use runtime_services::Host;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::{LOOK_EVERY, ProgressEvent, ProgressItem, ProgressKind, store};
use crate::problem::Problem;

/// How many entries are read at a time.
const PAGE: u32 = 64;

/// Looks at one aggregate for all who follow it, while anybody does.
#[derive(Debug)]
pub(crate) struct AggregateHub {
    newest: watch::Sender<u64>,
    looking: JoinHandle<()>,
}

impl Drop for AggregateHub {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl AggregateHub {
    pub(super) fn begin(host: Host, scope: &TenantScope, key: AggregateKey, newest: u64) -> Self {
        let (sender, store) = (watch::Sender::new(newest), store(&host, scope));
        let looking = tokio::spawn(look(host, store, key, sender.clone()));
        Self { newest: sender, looking }
    }
}

/// Tells the number of the newest entry, as soon as that is known.
async fn look(host: Host, store: Box<dyn TenantStore>, key: AggregateKey, newest: watch::Sender<u64>) {
    let (mut changes, tenant) = (host.changes(), store.scope().tenant());
    loop {
        let again_at = LOOK_EVERY.after(host.now());
        loop {
            tokio::select! {
                changed = changes.recv() => match changed {
                    Ok(changed) if changed.tenant == tenant && changed.key == key => {
                        newest.send_if_modified(|newest| {
                            let is_newer = changed.last > *newest;
                            *newest = changed.last.max(*newest);
                            is_newer
                        });
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = host.ports().clock.sleep_until(again_at) => break,
            }
        }
        let known = *newest.borrow();
        // What the store cannot say now is asked again.
        if let Ok(entries) = store.history(&key, known, PAGE).await
            && let Some(last) = entries.last()
        {
            newest.send_if_modified(|newest| {
                let is_newer = last.sequence > *newest;
                *newest = last.sequence.max(*newest);
                is_newer
            });
        }
    }
}

/// One who follows an aggregate.
pub(super) struct Follower {
    // Kept, so that somebody looks.
    _hub: Arc<AggregateHub>,
    newest: watch::Receiver<u64>,
    store: Box<dyn TenantStore>,
    key: AggregateKey,
    environment: EnvironmentId,
    after: u64,
}

impl Follower {
    pub(super) fn new(
        hub: Arc<AggregateHub>,
        store: Box<dyn TenantStore>,
        key: AggregateKey,
        environment: EnvironmentId,
        after: u64,
    ) -> Self {
        let newest = hub.newest.subscribe();
        Self { _hub: hub, newest, store, key, environment, after }
    }

    /// The next entries, once there are any.
    pub(super) async fn more(&mut self) -> Result<Vec<ProgressItem>, Problem> {
        let after = self.after;
        // The hub lives as long as this does.
        let _ = self.newest.wait_for(|newest| *newest > after).await;
        let entries = self.store.history(&self.key, self.after, PAGE).await?;
        let items = entries.into_iter().map(|entry| {
            self.after = self.after.max(entry.sequence);
            let id = entry.sequence.to_string();
            let event = ProgressEvent::of(self.key, Some(self.environment), entry);
            ProgressItem { id, kind: ProgressKind::Happened(Arc::new(event)) }
        });
        Ok(items.collect())
    }
}
