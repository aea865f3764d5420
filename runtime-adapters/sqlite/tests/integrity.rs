//! The integrity check finds nothing where nothing is wrong, and each thing that is.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use runtime_domain::id::AggregateKind;
use runtime_ports::store::{LeaseRequest, LeaseTopic, OperatorStore, Store};
use runtime_sqlite::{IntegrityDepth, IntegrityReport, IntegrityRule, SqliteStore};
use runtime_testkit::sample::{self, Draft, exclusive, shared};
use tempfile::TempDir;

const KIND: AggregateKind = AggregateKind::RuntimeDeployment;

fn request(topic: LeaseTopic) -> LeaseRequest {
    LeaseRequest {
        topic,
        kinds: vec![KIND],
        host: sample::host(1),
        now: sample::at(10),
        until: sample::at(20),
        limit: 2,
    }
}

/// A store with something in every table: claims, modules, wake-ups, leases, events that wait and events that were published.
async fn lived_in() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = SqliteStore::open(&path).unwrap();
    for number in 1..=4 {
        let tenant = store.for_tenant(&sample::scope(number % 2));
        let claims = [exclusive(&format!("own/{number}")), shared("common")];
        let draft = Draft::create(number % 2, sample::key(KIND, number))
            .claiming(claims)
            .waking_at(number)
            .entries(3)
            .publishing();
        tenant.commit(draft.commit()).await.unwrap();
        tenant.commit(draft.next().sleeping().publishing().commit()).await.unwrap();
        tenant.commit(draft.next().next().waking_at(5).commit()).await.unwrap();
    }
    let operator = store.for_operator(&sample::operator());
    operator.take_leases(&request(LeaseTopic::Work)).await.unwrap();
    publish_some(&*operator).await;
    let report = store.check_integrity(IntegrityDepth::Full).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    store.close().await;
    (folder, path)
}

/// Publishes all that waits of one aggregate and a part of another's.
async fn publish_some(operator: &dyn OperatorStore) {
    let leases = operator.take_leases(&request(LeaseTopic::Outbox)).await.unwrap();
    for (lease, sequence) in leases.iter().zip([4, 2]) {
        operator.outbox_published(lease, sequence, &BTreeSet::new()).await.unwrap();
        operator.release_lease(lease).await.unwrap();
    }
}

#[tokio::test]
async fn events_after_more_were_published_than_there_are_wait_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.sqlite")).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let operator = store.for_operator(&sample::operator());
    let draft = Draft::create(1, sample::key(KIND, 1)).entries(3).publishing();
    tenant.commit(draft.commit()).await.unwrap();
    let lease = operator.take_leases(&request(LeaseTopic::Outbox)).await.unwrap().remove(0);
    operator.outbox_published(&lease, u64::MAX, &BTreeSet::new()).await.unwrap();
    operator.release_lease(&lease).await.unwrap();
    tenant.commit(draft.next().publishing().commit()).await.unwrap();
    let lease = operator.take_leases(&request(LeaseTopic::Outbox)).await.unwrap().remove(0);
    assert_eq!(operator.outbox(&lease, 10).await.unwrap().events.len(), 1);
    let report = store.check_integrity(IntegrityDepth::Full).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

fn spoil(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
}

async fn checked(path: &Path, depth: IntegrityDepth) -> IntegrityReport {
    let store = SqliteStore::open(path).unwrap();
    let report = store.check_integrity(depth).await.unwrap();
    store.close().await;
    report
}

/// Shows X-4.
#[tokio::test]
async fn whatever_is_wrong_with_the_rows_is_found_and_named() {
    const UNLOCKED: &str = "DROP TRIGGER history_is_never_changed; DROP TRIGGER history_is_never_deleted;";
    let history_lost = format!("{UNLOCKED} DELETE FROM history WHERE sequence = 2");
    let end_lost = format!("{UNLOCKED} DELETE FROM history WHERE sequence = 5");
    let wrongs = [
        ("DELETE FROM aggregates WHERE created = 1", IntegrityRule::References),
        (&*history_lost, IntegrityRule::HistoryGapless),
        (&*end_lost, IntegrityRule::HistoryComplete),
        ("UPDATE claims SET space = x'00000000000000000000000000000009'", IntegrityRule::Claims),
        (
            "DELETE FROM envelopes WHERE position = (SELECT max(position) FROM envelopes)",
            IntegrityRule::Outbox,
        ),
        ("UPDATE work SET published = 4 WHERE topic = 'outbox'", IntegrityRule::Outbox),
        ("UPDATE work SET due_at = due_at + 1 WHERE topic = 'work'", IntegrityRule::Due),
        ("UPDATE work SET due_at = NULL WHERE topic = 'outbox'", IntegrityRule::Due),
        ("UPDATE lease_tokens SET newest = 0", IntegrityRule::Tokens),
    ];
    for (sql, rule) in wrongs {
        let (_folder, path) = lived_in().await;
        spoil(&path, sql);
        let report = checked(&path, IntegrityDepth::Full).await;
        assert!(report.findings.iter().any(|finding| finding.rule == rule), "after {sql}: {report:?}");
    }
}

#[tokio::test]
async fn an_index_that_does_not_agree_with_its_table_is_found() {
    let (_folder, path) = lived_in().await;
    // What a flipped bit could do: the index is of another column than the schema says.
    spoil(
        &path,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'status, created', 'environment, created') WHERE name = 'aggregates_by_status';",
    );
    let report = checked(&path, IntegrityDepth::Full).await;
    assert!(report.findings.iter().any(|finding| finding.rule == IntegrityRule::Pages), "{report:?}");
}

#[tokio::test]
async fn a_damaged_page_is_found_quickly() {
    let (_folder, path) = lived_in().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let page = 4_096;
    // The last page but one, all but its header's first bytes.
    let end = bytes.len() - page;
    bytes[end - page + 8..end].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    match store.check_integrity(IntegrityDepth::Quick).await {
        Ok(report) => assert!(!report.is_sound()),
        Err(error) => assert_eq!(error.kind(), runtime_ports::PortErrorKind::Corrupt, "{error}"),
    }
}
