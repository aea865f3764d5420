//! The store keeps every promise of its port.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use runtime_ports::PortResult;
use runtime_sqlite::SqliteStore;
use runtime_testkit::conformance::{self, StoreCapabilities, StoreFactory};
use std::sync::Mutex;
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    opened: Mutex<Vec<std::path::PathBuf>>,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), opened: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl StoreFactory for Sqlite {
    type Store = SqliteStore;

    async fn fresh(&self) -> PortResult<SqliteStore> {
        let mut opened = self.opened.lock().unwrap();
        let path = self.folder.path().join(format!("{}.sqlite", opened.len()));
        opened.push(path.clone());
        SqliteStore::open(path)
    }

    async fn reopen(&self, store: SqliteStore) -> PortResult<SqliteStore> {
        store.close().await;
        let path = self.opened.lock().unwrap().last().cloned().unwrap();
        SqliteStore::open(path)
    }

    async fn beside(&self, store: &SqliteStore) -> PortResult<SqliteStore> {
        Ok(store.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_promise_of_its_port() {
    let capabilities = StoreCapabilities::new().durable();
    conformance::store(Sqlite::new(), capabilities).await.assert_passed();
}

/// `RUNTIME_FAIRNESS_BACKLOG` says how great the backlog is.
///
/// Shows X-9.
#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_waits_for_anothers_backlog() {
    let backlog = std::env::var("RUNTIME_FAIRNESS_BACKLOG").map_or(3_000, |text| text.parse().unwrap());
    conformance::fairness(Sqlite::new(), backlog).await.assert_passed();
}

/// `RUNTIME_STORE_WALKS` says how many, `RUNTIME_STORE_SEED` where they begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_model_answers_every_call_alike() {
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (first, count) = (number("RUNTIME_STORE_SEED", 100), number("RUNTIME_STORE_WALKS", 20));
    conformance::walks(Sqlite::new(), StoreCapabilities::new().durable(), first, count).await.assert_passed();
}
