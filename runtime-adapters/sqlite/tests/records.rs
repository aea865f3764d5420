//! Health results, snapshots and artifacts in the store's file keep every promise of their ports.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::path::PathBuf;
use std::sync::Mutex;

use runtime_ports::PortResult;
use runtime_sqlite::SqliteStore;
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    opened: Mutex<Vec<PathBuf>>,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), opened: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl AdapterFactory for Sqlite {
    type Adapter = SqliteStore;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

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
}

/// Shows HLT-1.
#[tokio::test(flavor = "multi_thread")]
async fn health_results_keep_every_promise_of_their_port() {
    conformance::health_results(Sqlite::new()).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_keep_every_promise_of_their_port() {
    conformance::snapshots(Sqlite::new()).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_keep_every_promise_of_their_port() {
    conformance::artifacts(Sqlite::new()).await.assert_passed();
}
