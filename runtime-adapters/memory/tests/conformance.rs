//! The store keeps every promise of its port.

use runtime_memory::MemoryStore;
use runtime_ports::PortResult;
use runtime_testkit::conformance::{self, Persistence, StoreFactory};

struct Memory;

#[async_trait::async_trait]
impl StoreFactory for Memory {
    type Store = MemoryStore;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<MemoryStore> {
        Ok(MemoryStore::new())
    }

    async fn reopen(&self, store: MemoryStore) -> PortResult<MemoryStore> {
        Ok(store)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_promise_of_its_port() {
    conformance::store(Memory).await.assert_passed();
}
