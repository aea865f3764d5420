//! The store keeps every promise of its port.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::sync::Mutex;

use postgres_server::{Durability, Server};
use runtime_ports::PortResult;
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};
use runtime_testkit::conformance::{self, Persistence, StoreFactory};

struct Postgres {
    server: Server,
    template: String,
    opened: Mutex<Vec<String>>,
}

impl Postgres {
    async fn start() -> Self {
        let server = Server::start(Durability::None);
        let template = server.database(None);
        let owner = PostgresOptions::new(&server.address("owner", &template)).unwrap();
        migrate(&owner, "host").await.unwrap();
        // A second host that is installed at the same time finds nothing to do.
        migrate(&owner, "host").await.unwrap();
        Self { server, template, opened: Mutex::default() }
    }

    async fn open(&self, database: &str) -> PortResult<PostgresStore> {
        PostgresStore::open(PostgresOptions::new(&self.server.address("host", database))?).await
    }
}

#[async_trait::async_trait]
impl StoreFactory for Postgres {
    type Store = PostgresStore;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<PostgresStore> {
        let database = self.server.database(Some(&self.template));
        self.opened.lock().unwrap().push(database.clone());
        self.open(&database).await
    }

    async fn reopen(&self, store: PostgresStore) -> PortResult<PostgresStore> {
        store.close().await;
        let database = self.opened.lock().unwrap().last().cloned().unwrap();
        self.open(&database).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_promise_of_its_port() {
    conformance::store(Postgres::start().await).await.assert_passed();
}
