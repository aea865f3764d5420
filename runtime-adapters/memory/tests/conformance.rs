//! The store keeps every promise of its port.

use runtime_memory::MemoryStore;
use runtime_ports::PortResult;
use runtime_testkit::conformance::{self, StoreCapabilities, StoreFactory};

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
