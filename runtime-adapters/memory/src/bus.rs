//! The event bus of hosts whose consumers live in the same process.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_ports::PortResult;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use tokio::sync::broadcast;

/// Shows every published event to all who observe: consoles, progress displays, tests.
///
/// Consumers within the host that must not miss an event are [subscribers](runtime_ports::subscriber::Subscriber) instead: the relay counts
/// an event as published only when each of them has it. So `Ok` here promises no more than that the event was shown.
///
/// # Guarantees
/// - An observer is shown the events published since it began, those of one aggregate in order.
/// - Publishing never waits: an observer that has fallen behind by more than the capacity loses its oldest events and is told how
///   many ([`Observed::Lagged`]). It then reads the present state from the store.
///
/// Clones are the same bus.
#[derive(Debug, Clone)]
pub struct InProcessBus {
    sender: broadcast::Sender<Arc<PublishedEvent>>,
}

impl InProcessBus {
    /// How many events [`InProcessBus::new`] keeps for the slowest observer.
    pub const DEFAULT_CAPACITY: usize = 1_024;

    /// A bus that keeps [`InProcessBus::DEFAULT_CAPACITY`] events for its slowest observer.
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// A bus that keeps `capacity` events for its slowest observer: 1 to 1,048,576, rounded up to a power of two; outside that range the
    /// nearer end.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.clamp(1, 1 << 20)) }
    }

    /// Observes every event published from now on.
    pub fn observe(&self) -> Observation {
        Observation { receiver: self.sender.subscribe() }
    }
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventPublisher for InProcessBus {
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()> {
        // It fails only where nobody observes, which is not the publisher's concern.
        let _ = self.sender.send(Arc::new(event.clone()));
        Ok(())
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

/// What an observer is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// The next event.
    Event(Arc<PublishedEvent>),
    /// The observer fell behind and this many events are lost to it; the next one shown is the oldest that is left.
    Lagged {
        /// How many events it missed.
        missed: u64,
    },
}

/// One observer's place in the stream of events.
#[derive(Debug)]
pub struct Observation {
    receiver: broadcast::Receiver<Arc<PublishedEvent>>,
}

impl Observation {
    /// Waits for what comes next; `None` once every clone of the bus is gone and nothing is left. Cancellation safe.
    pub async fn next(&mut self) -> Option<Observed> {
        match self.receiver.recv().await {
            Ok(event) => Some(Observed::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Observed::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
