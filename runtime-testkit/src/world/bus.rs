//! A bus, or a subscriber, that writes down what it is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::id::{EventId, TenantId};
use runtime_ports::PortResult;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};
use uuid::Uuid;

use super::lock;

/// Keeps every event, in the order in which they came; the ones that came again, too.
#[derive(Debug, Clone)]
pub struct RecordingBus {
    name: &'static str,
    events: Arc<Mutex<Vec<PublishedEvent>>>,
}

impl RecordingBus {
    /// A bus; as a subscriber it has this name.
    pub fn new(name: &'static str) -> Self {
        Self { name, events: Arc::default() }
    }

    /// Everything that it was given.
    pub fn events(&self) -> Vec<PublishedEvent> {
        lock(&self.events).clone()
    }

    /// Everything that it was given after so many.
    pub fn events_after(&self, known: usize) -> Vec<PublishedEvent> {
        lock(&self.events).get(known..).map(<[PublishedEvent]>::to_vec).unwrap_or_default()
    }

    /// What is wrong with what it was given; `None` where each aggregate's events came in order. One that comes again is known by its
    /// identifier, and is no disorder.
    pub fn disorder(&self) -> Option<String> {
        let mut first: BTreeMap<(TenantId, Uuid), BTreeMap<u64, EventId>> = BTreeMap::new();
        for event in self.events() {
            let seen = first.entry((event.tenant, event.aggregate_id)).or_default();
            let about = format!("{} of {} {}", event.sequence, event.aggregate_kind, event.aggregate_id);
            match seen.get(&event.sequence) {
                Some(known) if *known == event.id => continue,
                Some(_) => return Some(format!("{about} has two identifiers")),
                None => {}
            }
            if let Some((newest, _)) = seen.last_key_value().filter(|(newest, _)| **newest > event.sequence) {
                return Some(format!("{about} came after {newest}"));
            }
            seen.insert(event.sequence, event.id);
        }
        None
    }
}

#[async_trait]
impl EventPublisher for RecordingBus {
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()> {
        lock(&self.events).push(event.clone());
        Ok(())
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Subscriber for RecordingBus {
    fn name(&self) -> &str {
        self.name
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        lock(&self.events).push(delivery.event.clone());
        Ok(())
    }
}
