//! Tells waiting workers that something may have become due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts arrivals; every worker remembers the count that it has seen, so that none takes another's wake-up.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    count: AtomicU64,
    notify: Notify,
}

impl Arrivals {
    pub(crate) fn announce(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }
}

/// One worker's view of the arrivals.
#[derive(Debug)]
pub(crate) struct Watch {
    arrivals: Arc<Arrivals>,
    seen: AtomicU64,
}

impl Watch {
    /// Sees what arrives from now on.
    pub(crate) fn new(arrivals: Arc<Arrivals>) -> Self {
        let seen = AtomicU64::new(arrivals.count.load(Ordering::Acquire));
        Self { arrivals, seen }
    }

    /// Returns when something has arrived since the last time it returned. Dropping it forgets nothing.
    pub(crate) async fn arrived(&self) {
        // Registered before the count is read: an arrival in between wakes it.
        let notified = self.arrivals.notify.notified();
        if self.catch_up() {
            return;
        }
        notified.await;
        self.catch_up();
    }

    fn catch_up(&self) -> bool {
        let count = self.arrivals.count.load(Ordering::Acquire);
        self.seen.fetch_max(count, Ordering::AcqRel) < count
    }
}
