//! For stores: tells waiting workers that something may have become due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event_listener::Event;

/// Counts arrivals. Every worker remembers the count that it has seen, so that none takes another's wake-up.
///
/// With it an adapter keeps what [`OperatorStore::work_arrived`](super::OperatorStore::work_arrived) promises: announce after every commit
/// that may make something due, and give every operator's handle a [`Watch`] of its own. It needs no runtime.
#[derive(Debug, Default)]
pub struct Arrivals {
    count: AtomicU64,
    event: Event,
}

impl Arrivals {
    /// Wakes every worker that waits, and lets those that do not wait yet return at once when they do.
    pub fn announce(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.event.notify(usize::MAX);
    }
}

/// One worker's view of the arrivals.
#[derive(Debug)]
pub struct Watch {
    arrivals: Arc<Arrivals>,
    seen: AtomicU64,
}

impl Watch {
    /// Sees what arrives from now on.
    pub fn new(arrivals: Arc<Arrivals>) -> Self {
        let seen = AtomicU64::new(arrivals.count.load(Ordering::Acquire));
        Self { arrivals, seen }
    }

    /// Returns when something has arrived since the last time it returned. Dropping it forgets nothing.
    pub async fn arrived(&self) {
        // Listening before the count is read: an arrival in between wakes it.
        let listener = self.arrivals.event.listen();
        if self.catch_up() {
            return;
        }
        listener.await;
        self.catch_up();
    }

    fn catch_up(&self) -> bool {
        let count = self.arrivals.count.load(Ordering::Acquire);
        self.seen.fetch_max(count, Ordering::AcqRel) < count
    }
}
