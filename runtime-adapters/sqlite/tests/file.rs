//! The file: who may open it, what it refuses, how it is let go of.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;

use runtime_domain::id::AggregateKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortErrorKind;
use runtime_ports::store::{AggregateKey, Commit, Store};
use runtime_sqlite::{Durability, SqliteOptions, SqliteStore};
use runtime_testkit::sample::{self, Draft};
use tempfile::TempDir;

fn key(number: u64) -> AggregateKey {
    sample::key(AggregateKind::RuntimeDeployment, number)
}

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    (folder, path)
}

fn refusal(path: &PathBuf) -> (PortErrorKind, String) {
    let refused = SqliteStore::open(path).unwrap_err();
    (refused.kind(), refused.to_string())
}

#[tokio::test]
async fn a_file_that_is_open_is_refused_until_it_is_let_go_of() {
    let (folder, path) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let (kind, message) = refusal(&path);
    assert_eq!(kind, PortErrorKind::Unavailable);
    assert!(message.contains("open already"), "{message}");
    let link = folder.path().join("link.sqlite");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, &link).unwrap();
    #[cfg(unix)]
    assert_eq!(refusal(&link).0, PortErrorKind::Unavailable, "another name of the same file was opened");
    drop(store);
    SqliteStore::open(&path).unwrap().close().await;
    SqliteStore::open(&path).unwrap();
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let (_folder, path) = fresh();
    SqliteStore::open(&path).unwrap().close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let (kind, message) = refusal(&path);
    assert_eq!(kind, PortErrorKind::Unsupported);
    assert!(message.contains("schema 99"), "{message}");
}

#[test]
fn another_applications_database_is_refused_and_left_alone() {
    let (_folder, path) = fresh();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    let (kind, message) = refusal(&path);
    assert_eq!(kind, PortErrorKind::Invalid);
    assert!(message.contains("another application"), "{message}");
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_file_that_is_no_database_is_refused_as_corrupt() {
    let (_folder, path) = fresh();
    std::fs::write(&path, "not a database, but long enough to be looked at as one".repeat(40)).unwrap();
    assert_eq!(refusal(&path).0, PortErrorKind::Corrupt);
}

#[test]
fn a_missing_folder_is_named_as_the_cause() {
    let (folder, _) = fresh();
    let (kind, message) = refusal(&folder.path().join("absent").join("store.sqlite"));
    assert_eq!(kind, PortErrorKind::Unavailable);
    assert!(message.contains("folder exists"), "{message}");
}

#[tokio::test]
async fn a_closed_store_refuses_everything_clearly() {
    let (_folder, path) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    store.check().await.unwrap();
    store.close().await;
    store.close().await;
    let read = tenant.load(&key(1)).await.unwrap_err();
    assert!(read.to_string().contains("store is closed"), "{read}");
    let runtime_ports::store::CommitError::Port(written) =
        tenant.commit(Draft::create(1, key(1)).commit()).await.unwrap_err()
    else {
        panic!("a closed store judged a commit")
    };
    assert!(written.to_string().contains("store is closed"), "{written}");
    assert_eq!(store.check().await.unwrap_err().kind(), PortErrorKind::Unavailable);
}

#[tokio::test]
async fn dropping_the_store_finishes_what_is_queued() {
    let (_folder, path) = fresh();
    let store =
        SqliteStore::open_with(&path, SqliteOptions::default().durability(Durability::Normal)).unwrap();
    for number in 1..=50 {
        let tenant = store.for_tenant(&sample::scope(1));
        let commit = tenant.commit(Draft::create(1, key(number)).commit());
        let mut commit = pin!(commit);
        // Polled once it is queued; then nobody waits for it any more.
        std::future::poll_fn(|context| {
            let _ = commit.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    for number in 1..=50 {
        assert!(store.for_tenant(&sample::scope(1)).load(&key(number)).await.unwrap().is_some(), "{number}");
    }
}

#[tokio::test]
async fn history_cannot_be_changed_or_deleted_by_any_statement() {
    let (_folder, path) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    store.for_tenant(&sample::scope(1)).commit(Draft::create(1, key(1)).commit()).await.unwrap();
    store.close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    for statement in ["UPDATE history SET body = '{}'", "DELETE FROM history"] {
        let refused = connection.execute(statement, []).unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn history_keeps_times_to_the_nanosecond_and_wake_ups_are_never_early() {
    let (_folder, path) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let odd = Timestamp::from_timestamp(1_800_000_000, 123_456_789).unwrap();
    for (number, at) in
        (1..).zip([odd, Timestamp::MIN_UTC, Timestamp::MAX_UTC, Span::from_secs(1).after(odd)])
    {
        let mut write = Draft::create(1, key(number)).write();
        write.history[0].at = at;
        write.wake_at = Some(at);
        tenant.commit(Commit { writes: vec![write], ..Commit::default() }).await.unwrap();
        assert_eq!(tenant.history(&key(number), 0, 1).await.unwrap()[0].at, at);
        let wake_at = tenant.load(&key(number)).await.unwrap().unwrap().wake_at.unwrap();
        assert!(wake_at >= at && (wake_at - at).num_nanoseconds() < Some(1_000), "{at} became {wake_at}");
    }
}

#[tokio::test]
async fn a_backup_made_while_the_store_is_written_opens_as_a_store() {
    let (folder, path) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let first = Draft::create(1, key(1)).entries(3).publishing();
    tenant.commit(first.commit()).await.unwrap();
    let copy = folder.path().join("copy.sqlite");
    store.backup(&copy).await.unwrap();
    tenant.commit(first.next().commit()).await.unwrap();
    assert_eq!(store.backup(&copy).await.unwrap_err().kind(), PortErrorKind::Invalid);

    let copied = SqliteStore::open(&copy).unwrap().for_tenant(&sample::scope(1));
    let stored = copied.load(&key(1)).await.unwrap().unwrap();
    assert_eq!((stored.revision, stored.sequence), (first.revision(), 3));
    copied.commit(first.next().commit()).await.unwrap();
}

#[tokio::test]
async fn a_row_edited_by_hand_is_reported_as_corrupt() {
    let (_folder, path) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    store.for_tenant(&sample::scope(1)).commit(Draft::create(1, key(1)).commit()).await.unwrap();
    store.close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("DROP TRIGGER history_is_never_changed; UPDATE history SET at = 'noon'")
        .unwrap();
    drop(connection);
    let store = SqliteStore::open(&path).unwrap();
    let refused = store.for_tenant(&sample::scope(1)).history(&key(1), 0, 1).await.unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Corrupt, "{refused}");
}
