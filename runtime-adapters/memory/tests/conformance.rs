//! The store and the bus keep every promise of their ports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runtime_memory::{InProcessBus, MemoryStore, Observation, Observed};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_testkit::conformance::{
    self, AdapterFactory, Persistence, PublisherFactory, StoreCapabilities, StoreFactory,
};

struct Memory;

#[async_trait::async_trait]
impl StoreFactory for Memory {
    type Store = MemoryStore;

    async fn fresh(&self) -> PortResult<MemoryStore> {
        Ok(MemoryStore::new())
    }

    async fn reopen(&self, store: MemoryStore) -> PortResult<MemoryStore> {
        Ok(store)
    }

    async fn beside(&self, store: &MemoryStore) -> PortResult<MemoryStore> {
        Ok(store.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_promise_of_its_port() {
    // It ends with its process: there is nothing to survive a kill, and no other host to race.
    conformance::store(Memory, StoreCapabilities::new()).await.assert_passed();
}

/// `RUNTIME_FAIRNESS_BACKLOG` says how great the backlog is.
///
/// Shows X-9.
#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_waits_for_anothers_backlog() {
    let backlog = std::env::var("RUNTIME_FAIRNESS_BACKLOG").map_or(3_000, |text| text.parse().unwrap());
    conformance::fairness(Memory, backlog).await.assert_passed();
}

/// `RUNTIME_STORE_WALKS` says how many, `RUNTIME_STORE_SEED` where they begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_model_answers_every_call_alike() {
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (first, count) = (number("RUNTIME_STORE_SEED", 100), number("RUNTIME_STORE_WALKS", 20));
    conformance::walks(Memory, StoreCapabilities::new(), first, count).await.assert_passed();
}

/// Observes the bus that was made last, from its beginning.
#[derive(Default)]
struct Observer {
    seen: Mutex<(Option<Observation>, Vec<PublishedEvent>)>,
}

#[async_trait::async_trait]
impl AdapterFactory for Observer {
    type Adapter = InProcessBus;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<InProcessBus> {
        let bus = InProcessBus::new();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = (Some(bus.observe()), Vec::new());
        Ok(bus)
    }

    async fn reopen(&self, bus: InProcessBus) -> PortResult<InProcessBus> {
        Ok(bus)
    }
}

#[async_trait::async_trait]
impl PublisherFactory for Observer {
    async fn delivered(&self, _bus: &InProcessBus) -> PortResult<Vec<PublishedEvent>> {
        let taken = self.seen.lock().unwrap_or_else(PoisonError::into_inner).0.take();
        let (mut observation, mut shown) = (taken.unwrap(), Vec::new());
        // Publishing shows at once, so whatever is there is there now.
        while let Ok(Some(Observed::Event(event))) =
            tokio::time::timeout(Duration::ZERO, observation.next()).await
        {
            shown.push(PublishedEvent::clone(&event));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0 = Some(observation);
        seen.1.extend(shown);
        Ok(seen.1.clone())
    }

    async fn take_away(&self, _bus: &InProcessBus, _is_away: bool) -> PortResult<bool> {
        Ok(false)
    }

    fn impossible(&self, _event: PublishedEvent) -> Option<PublishedEvent> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_keeps_every_promise_of_its_port() {
    conformance::publisher(Observer::default()).await.assert_passed();
}
