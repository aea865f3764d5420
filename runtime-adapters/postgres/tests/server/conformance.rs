//! The store keeps every promise of its port.

use std::sync::{Arc, Mutex};

use runtime_ports::PortResult;
use runtime_postgres::PostgresStore;
use runtime_testkit::conformance::{self, StoreCapabilities, StoreFactory};

use crate::Site;

struct Postgres {
    site: Arc<Site>,
    opened: Mutex<String>,
}

#[async_trait::async_trait]
impl StoreFactory for Postgres {
    type Store = PostgresStore;

    async fn fresh(&self) -> PortResult<PostgresStore> {
        let database = self.site.database();
        self.opened.lock().unwrap().clone_from(&database);
        self.site.open(&database).await
    }

    async fn reopen(&self, store: PostgresStore) -> PortResult<PostgresStore> {
        store.close().await;
        let database = self.opened.lock().unwrap().clone();
        self.site.open(&database).await
    }

    async fn beside(&self, _store: &PostgresStore) -> PortResult<PostgresStore> {
        let database = self.opened.lock().unwrap().clone();
        self.site.open(&database).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_promise_of_its_port() {
    let site = Site::shared().await;
    let capabilities = StoreCapabilities::new().durable().serving_many_hosts();
    conformance::store(Postgres { site, opened: Mutex::default() }, capabilities).await.assert_passed();
}
