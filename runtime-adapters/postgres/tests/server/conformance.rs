//! The store keeps every promise of its port.

use std::sync::{Arc, Mutex};

use runtime_ports::PortResult;
use runtime_postgres::PostgresStore;
use runtime_testkit::conformance::{self, AdapterFactory, Persistence, StoreCapabilities, StoreFactory};

use crate::{Site, rounds};

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

#[async_trait::async_trait]
impl AdapterFactory for Postgres {
    type Adapter = PostgresStore;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<PostgresStore> {
        StoreFactory::fresh(self).await
    }

    async fn reopen(&self, store: PostgresStore) -> PortResult<PostgresStore> {
        StoreFactory::reopen(self, store).await
    }
}

async fn postgres() -> Postgres {
    Postgres { site: Site::shared().await, opened: Mutex::default() }
}

/// Shows HLT-1.
#[tokio::test(flavor = "multi_thread")]
async fn health_results_keep_every_promise_of_their_port() {
    conformance::health_results(postgres().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_keep_every_promise_of_their_port() {
    conformance::snapshots(postgres().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_keep_every_promise_of_their_port() {
    conformance::artifacts(postgres().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_promise_of_its_port() {
    let capabilities = StoreCapabilities::new().durable().serving_many_hosts();
    conformance::store(postgres().await, capabilities).await.assert_passed();
}

/// `RUNTIME_FAIRNESS_BACKLOG` says how great the backlog is.
///
/// Shows X-9.
#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_waits_for_anothers_backlog() {
    conformance::fairness(postgres().await, rounds("RUNTIME_FAIRNESS_BACKLOG", 3_000)).await.assert_passed();
}

/// `RUNTIME_STORE_WALKS` says how many, `RUNTIME_STORE_SEED` where they begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_model_answers_every_call_alike() {
    let capabilities = StoreCapabilities::new().durable().serving_many_hosts();
    let (first, count) = (rounds("RUNTIME_STORE_SEED", 100), rounds("RUNTIME_STORE_WALKS", 5));
    conformance::walks(postgres().await, capabilities, first, count).await.assert_passed();
}
