//! What was acknowledged survives `kill -9`, and what was not is wholly there or not.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use runtime_domain::id::AggregateKind;
use runtime_ports::PortErrorKind;
use runtime_ports::store::{AggregateKey, Query, Store};
use runtime_sqlite::SqliteStore;
use runtime_testkit::sample::{self, Draft, exclusive};

const KILLS: u64 = 8;
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
    let enough = usize::try_from(5 + round * 17).unwrap();
    let mut acknowledged: Vec<u64> = lines.by_ref().filter_map(number).take(enough).collect();
    assert_eq!(acknowledged.len(), enough, "the child ended by itself");
    let refused = SqliteStore::open(path).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unavailable, "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(lines.filter_map(number));
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_commit_survives_kill_dash_nine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        acknowledged.extend(killed(round, &path));
        check_all_there(&path, &acknowledged).await;
    }
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
    let mut kinds = Vec::new();
    for key in keys(0) {
        let mut ids = std::collections::BTreeSet::new();
        let mut query = Query::all(key.kind).limited_to(1_000);
        loop {
            let page = tenant.query(&query).await.unwrap();
            ids.extend(page.items.iter().map(|item| item.key.id));
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => break,
            }
        }
        kinds.push(ids);
    }
    assert_eq!(kinds[0], kinds[1], "a commit is there in part");
    drop(tenant);
    store.close().await;
    let connection = rusqlite::Connection::open(path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let count = |table: &str| -> isize {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let whole = isize::try_from(kinds[0].len()).unwrap();
    assert_eq!((count("claims"), count("history"), count("outbox")), (whole * 2, whole * 4, whole * 4));
}
