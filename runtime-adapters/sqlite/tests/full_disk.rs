//! A full disk, by way of the database's size limit: SQLite reports both alike.

use runtime_domain::id::AggregateKind;
use runtime_ports::store::{AggregateKey, CommitError, Store};
use runtime_ports::{PortErrorKind, Retry};
use runtime_sqlite::{SqliteOptions, SqliteStore};
use runtime_testkit::sample::{self, Draft};
use tokio::task::JoinSet;

fn key(number: u64) -> AggregateKey {
    sample::key(AggregateKind::RuntimeDeployment, number)
}

fn is_full(error: &CommitError) -> bool {
    let CommitError::Port(error) = error else { return false };
    error.kind() == PortErrorKind::Exhausted && matches!(error.retry(), Retry::Later { .. })
}

#[tokio::test]
async fn a_commit_that_does_not_fit_is_refused_and_the_store_stays_usable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = SqliteStore::open_with(&path, SqliteOptions::default().largest(512 * 1_024)).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let body = "x".repeat(20_000);
    let mut accepted = 0;
    let refused = loop {
        match tenant.commit(Draft::create(1, key(accepted + 1)).body(&body).commit()).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100, "the limit was not kept");
    };
    assert!(is_full(&refused), "{refused:?}");
    assert!(accepted > 3);
    assert!(tenant.load(&key(accepted + 1)).await.unwrap().is_none());
    for number in 1..=accepted {
        assert_eq!(tenant.load(&key(number)).await.unwrap().unwrap().record.body, body);
    }
    // What makes room is accepted.
    let smaller = Draft::create(1, key(1)).next().body("{}");
    tenant.commit(smaller.commit()).await.unwrap();
    tenant.commit(Draft::create(1, key(accepted + 1)).commit()).await.unwrap();
    drop(tenant);
    store.close().await;

    let store = SqliteStore::open(&path).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    tenant.commit(Draft::create(1, key(accepted + 2)).body(&body).commit()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_commit_that_does_not_fit_spoils_no_other_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = SqliteStore::open_with(&path, SqliteOptions::default().largest(2 * 1_024 * 1_024)).unwrap();
    let huge = "x".repeat(8 * 1_024 * 1_024);
    let mut commits = JoinSet::new();
    for number in 1..=60 {
        let tenant = store.for_tenant(&sample::scope(1));
        let fits = number % 10 != 0;
        let draft = Draft::create(1, key(number)).body(if fits { "{}" } else { &huge });
        commits.spawn(async move { (fits, tenant.commit(draft.commit()).await) });
    }
    for (fits, answer) in commits.join_all().await {
        match answer {
            Ok(_) => assert!(fits, "what cannot fit was accepted"),
            Err(error) => assert!(!fits && is_full(&error), "{error:?}"),
        }
    }
}
