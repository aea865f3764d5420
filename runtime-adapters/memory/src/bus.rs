//! The event bus of hosts whose consumers live in the same process.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_ports::PortResult;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use tokio::sync::broadcast;

/// Hands every published event to every present subscriber.
///
/// # Guarantees
/// - A subscriber receives the events published since it subscribed, in the order in which they were published.
/// - Publishing never waits: a subscriber that has fallen behind by more than the capacity loses its oldest events and is told how
///   many ([`Delivery::Lagged`]). It then reads the present state from the store.
///
/// # Caveats
/// `Ok` means *handed over*: an event that nobody subscribes to is gone, and so are the events that a subscriber had not yet taken when
/// the process ends. The store's history keeps them all. Hosts that need a durable bus choose another adapter.
///
/// Clones are the same bus.
#[derive(Debug, Clone)]
pub struct InProcessBus {
    sender: broadcast::Sender<Arc<PublishedEvent>>,
}

impl InProcessBus {
    /// How many events [`InProcessBus::new`] keeps for the slowest subscriber.
    pub const DEFAULT_CAPACITY: usize = 1_024;

    /// A bus that keeps [`InProcessBus::DEFAULT_CAPACITY`] events for its slowest subscriber.
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// A bus that keeps `capacity` events for its slowest subscriber: 1 to 1,048,576, rounded up to a power of two; outside that range the
    /// nearer end.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.clamp(1, 1 << 20)) }
    }

    /// Subscribes to every event published from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe() }
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
        // It fails only where nobody is subscribed, which is not the publisher's concern.
        let _ = self.sender.send(Arc::new(event.clone()));
        Ok(())
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

/// What a subscriber is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The next event.
    Event(Arc<PublishedEvent>),
    /// The subscriber fell behind and this many events are lost to it; the next delivery is the oldest that is left.
    Lagged {
        /// How many events it missed.
        missed: u64,
    },
}

/// One subscriber's place in the stream of events.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<PublishedEvent>>,
}

impl Subscription {
    /// Waits for the next delivery; `None` once every clone of the bus is gone and nothing is left. Cancellation safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self.receiver.recv().await {
            Ok(event) => Some(Delivery::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Delivery::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
