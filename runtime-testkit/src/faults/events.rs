//! Where events go, some of whose calls meet a fault.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_ports::PortResult;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

use super::{Call, Faults, Spoil};

impl Faults {
    /// The same bus, whose calls meet these faults.
    pub fn publisher(&self, inner: Arc<dyn EventPublisher>) -> Arc<dyn EventPublisher> {
        Arc::new(FaultyPublisher { inner, faults: self.clone() })
    }

    /// The same subscriber, whose calls meet these faults.
    pub fn subscriber(&self, inner: Arc<dyn Subscriber>) -> Arc<dyn Subscriber> {
        Arc::new(FaultySubscriber { inner, faults: self.clone() })
    }
}

fn about(event: &PublishedEvent) -> String {
    format!("{}/{} {} {}", event.aggregate_kind, event.aggregate_id, event.sequence, event.event_type)
}

struct FaultyPublisher {
    inner: Arc<dyn EventPublisher>,
    faults: Faults,
}

#[async_trait]
impl EventPublisher for FaultyPublisher {
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()> {
        let call = Call::of("publisher.publish", about(event));
        self.faults.change(call, || self.inner.publish(event)).await
    }

    async fn check(&self) -> PortResult<()> {
        self.faults.read(Call::of("publisher.check", ""), Spoil::NOTHING, self.inner.check()).await
    }
}

struct FaultySubscriber {
    inner: Arc<dyn Subscriber>,
    faults: Faults,
}

#[async_trait]
impl Subscriber for FaultySubscriber {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let call = Call::of("subscriber.handle", format!("{} {}", self.inner.name(), about(delivery.event)));
        self.faults.change(call, || self.inner.handle(delivery.clone())).await
    }
}
