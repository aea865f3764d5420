//! What was acknowledged survives `kill -9`, and what was not is wholly there or not. `RUNTIME_SQLITE_KILLS` says how many kills there are.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use runtime_domain::id::AggregateKind;
use runtime_ports::PortErrorKind;
use runtime_ports::store::{AggregateKey, Store};
use runtime_sqlite::{IntegrityDepth, SqliteStore};
use runtime_testkit::sample::{self, Draft, exclusive};

/// Numbers of one child's commits stay below it.
const SPAN: u64 = 1_000_000;
/// How many commits the child has in flight: the writer flushes them in groups.
const IN_FLIGHT: u64 = 8;
const VARIABLE: &str = "RUNTIME_SQLITE_CRASH_TEST";

/// Each commit writes an aggregate of either kind.
fn keys(number: u64) -> [AggregateKey; 2] {
    [AggregateKind::RuntimeDeployment, AggregateKind::RuntimeService].map(|kind| sample::key(kind, number))
}

/// Commits for ever and prints the number of every commit that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of the crash test, which kills it: alone it has nothing to do"]
async fn committing_child() {
    let Ok(arguments) = std::env::var(VARIABLE) else { return };
    let (round, path) = arguments.split_once(' ').unwrap();
    let round: u64 = round.parse().unwrap();
    let store = SqliteStore::open(path).unwrap();
    let lanes = (0..IN_FLIGHT).map(|lane| {
        let tenant = store.for_tenant(&sample::scope(1));
        tokio::spawn(async move {
            for number in (round * SPAN + lane..).step_by(usize::try_from(IN_FLIGHT).unwrap()) {
                let drafts = keys(number).map(|key| {
                    let claim = exclusive(&format!("{key}"));
                    Draft::create(1, key).claiming([claim]).waking_at(0).entries(2).publishing()
                });
                tenant.commit(sample::commit(drafts)).await.unwrap();
                println!("acknowledged {number}");
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

fn child(round: u64, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "committing_child", "--ignored", "--nocapture"])
        .env(VARIABLE, format!("{round} {}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child commit, kills it in the middle, and returns the numbers that it acknowledged.
fn killed(round: u64, path: &Path) -> Vec<u64> {
    let mut child = child(round, path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let number = |line: String| line.strip_prefix("acknowledged ").and_then(|text| text.parse().ok());
    let enough = usize::try_from(5 + round * 17 % 140).unwrap();
    let mut acknowledged: Vec<u64> = lines.by_ref().filter_map(number).take(enough).collect();
    assert_eq!(acknowledged.len(), enough, "the child ended by itself");
    let refused = SqliteStore::open(path).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unavailable, "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(lines.filter_map(number));
    acknowledged
}

fn kills() -> u64 {
    std::env::var("RUNTIME_SQLITE_KILLS").map_or(8, |text| text.parse().unwrap())
}

/// Buried: NATS 2.12.1 (Jepsen).
/// Shows X-4.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_commit_survives_kill_dash_nine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut acknowledged = Vec::new();
    for round in 0..kills() {
        let newest = killed(round, &path);
        check_all_there(&path, &newest).await;
        acknowledged.extend(newest);
    }
    check_all_there(&path, &acknowledged).await;
    println!("{} kills, {} acknowledged commits, none lost", kills(), acknowledged.len());
}

async fn check_all_there(path: &Path, acknowledged: &[u64]) {
    let store = SqliteStore::open(path).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    for number in acknowledged {
        for key in keys(*number) {
            assert!(tenant.load(&key).await.unwrap().is_some(), "acknowledged {key} is lost");
            assert_eq!(tenant.history(&key, 0, 10).await.unwrap().len(), 2, "{key} has lost history");
        }
    }
    // Acknowledged or not, no commit is there in part.
    let report = store.check_integrity(IntegrityDepth::Full).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    drop(tenant);
    store.close().await;
    let connection = rusqlite::Connection::open(path).unwrap();
    let halves = "SELECT count(*) FROM (SELECT id FROM aggregates GROUP BY id HAVING count(*) <> 2)";
    let count = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count(halves), 0, "a commit is there in part");
    let rows = |table: &str| count(&format!("SELECT count(*) FROM {table}"));
    let aggregates = rows("aggregates");
    assert_eq!(
        (rows("claims"), rows("history"), rows("outbox")),
        (aggregates, aggregates * 2, aggregates * 2)
    );
}
