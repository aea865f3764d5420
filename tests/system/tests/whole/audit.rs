//! Who may write to the store's file past the store: what the audit trail shows of it.

use std::path::Path;

use factory_runtime::embedded::Embedded;
use factory_runtime::ports::store::{AggregateKey, ChainDigest, HistoryEntry};
use factory_runtime::prelude::*;
use factory_runtime::services::audit::{Attestation, AuditFault, AuditReport};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::bench::{Bench, until};

/// The first environment's creation, as somebody else's.
const OTHER_ACTOR: &str =
    "UPDATE history SET actor = 'mallory' WHERE kind = 'RuntimeEnvironment' AND sequence = 1";
const LAST_OF_DEPLOYMENT: &str = "kind = 'RuntimeDeployment' AND sequence = (SELECT max(sequence) FROM history WHERE kind = 'RuntimeDeployment')";

/// A store of which a copy is kept, and the end of a deployment's history in it.
struct Site {
    copy: TempDir,
    scope: TenantScope,
    deployment: AggregateKey,
    before: ChainDigest,
    last: HistoryEntry,
}

/// A copy of the store, changed by hand, and what an audit says of it.
async fn audited(
    site: &Site,
    attested: Option<&Attestation>,
    change: impl FnOnce(&Connection),
) -> AuditReport {
    let folder = TempDir::new().expect("a folder");
    std::fs::copy(site.copy.path().join("store.db"), folder.path().join("store.db")).expect("a copy");
    by_hand(folder.path(), change);
    let embedded = Embedded::open(folder.path()).await.expect("opens");
    let report = embedded.runtime().audit().verify(&site.scope, attested).await.expect("read");
    embedded.close().await;
    report
}

fn by_hand(folder: &Path, change: impl FnOnce(&Connection)) {
    let connection = Connection::open(folder.join("store.db")).expect("opens");
    let mut triggers =
        connection.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").expect("read");
    let names: Vec<String> =
        triggers.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read");
    for name in names {
        connection.execute_batch(&format!("DROP TRIGGER {name}")).expect("dropped");
    }
    connection.execute_batch("PRAGMA foreign_keys = off").expect("off");
    change(&connection);
}

fn changes(sql: &str) -> impl FnOnce(&Connection) {
    move |connection| assert!(connection.execute(sql, []).expect("changed") > 0, "{sql} changes something")
}

/// Shows X-10.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_changed_behind_the_stores_back_is_shown_by_an_audit() {
    let mut bench = Bench::with_a_release().await;
    let sound = until("the inventory has followed the release", async || {
        let sound = bench.runtime().audit().verify(bench.scope(), None).await.expect("read");
        (sound.attestation.heads().count() >= 3).then_some(sound)
    })
    .await;
    assert_eq!(sound.faults, []);
    assert!(sound.entries > 10, "{sound:?}");
    let attested: Attestation = sound.attestation.to_string().parse().expect("an attestation");
    assert_eq!(attested, sound.attestation);
    let deployment = attested.heads().find(|(key, _)| key.kind.name() == "RuntimeDeployment");
    let (key, head) = deployment.expect("a deployment");
    let runtime = bench.runtime();
    let history =
        runtime.deployments().history(bench.scope(), DeploymentId::from_uuid(key.id), 0, 1_000).await;
    let history = history.expect("read");
    let [.., before, last] = &history[..] else { panic!("a history: {history:?}") };
    let site = Site {
        copy: TempDir::new().expect("a folder"),
        scope: bench.scope().clone(),
        deployment: key,
        before: before.digest,
        last: last.clone(),
    };
    // Closed, the file holds all there is.
    let (from, to) = (bench.path("store.db"), site.copy.path().join("store.db"));
    bench.reopen(|options| std::fs::copy(from, to).map(|_| options).expect("a copy")).await;

    let as_it_was = audited(&site, Some(&attested), |_| ()).await;
    assert_eq!(as_it_was.faults, [], "what was attested is still there");

    let other_actor = audited(&site, None, changes(OTHER_ACTOR)).await;
    assert!(matches!(other_actor.faults[..], [AuditFault::Altered { sequence: 1, .. }]), "{other_actor:?}");

    let sql = "DELETE FROM history WHERE kind = 'RuntimeDeployment' AND sequence = 2";
    let taken_out = audited(&site, None, changes(sql)).await;
    assert_eq!(taken_out.faults, [AuditFault::Gap { key, after: 1, found: 3 }]);

    let cut_off =
        audited(&site, None, changes(&format!("DELETE FROM history WHERE {LAST_OF_DEPLOYMENT}"))).await;
    let found = head.sequence - 1;
    assert_eq!(cut_off.faults, [AuditFault::OtherEnd { key, recorded: head.sequence, found }]);

    let sql = "UPDATE aggregates SET body = replace(body, 'local', 'moon') WHERE kind = 'RuntimeEnvironment'";
    let other_state = audited(&site, None, changes(sql)).await;
    assert!(matches!(other_state.faults[..], [AuditFault::OtherState { .. }]), "{other_state:?}");

    let anew = audited(&site, None, |connection| other_reason(connection, &site)).await;
    assert_eq!(anew.faults, [], "a chain that was made anew fits in itself");
    let anew = audited(&site, Some(&attested), |connection| other_reason(connection, &site)).await;
    assert_eq!(anew.faults, [AuditFault::NotAsAttested { key, sequence: head.sequence }]);

    let gone = audited(&site, Some(&attested), |connection| {
        changes("DELETE FROM history WHERE kind = 'RuntimeDeployment'")(connection);
        changes("DELETE FROM aggregates WHERE kind = 'RuntimeDeployment'")(connection);
    });
    assert_eq!(gone.await.faults, [AuditFault::NotAsAttested { key, sequence: head.sequence }]);
}

/// Gives the last entry of the deployment another reason, and makes the chain fit again, as somebody could who knows this code.
fn other_reason(connection: &Connection, site: &Site) {
    let altered = HistoryEntry { explanation: "everything was fine".to_owned(), ..site.last.clone() };
    let digest = site.before.then(site.scope.tenant(), site.deployment, &altered);
    let sql = format!("UPDATE history SET explanation = ?1, digest = ?2 WHERE {LAST_OF_DEPLOYMENT}");
    connection.execute(&sql, (&altered.explanation, digest.as_bytes())).expect("changed");
    let sql = "UPDATE aggregates SET digest = ?1 WHERE kind = 'RuntimeDeployment'";
    connection.execute(sql, [digest.as_bytes()]).expect("changed");
}
