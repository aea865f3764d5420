//! Leases taken and given back per second, as ratios to a raw limit measured in the same rounds: `cargo bench -p runtime-sqlite --bench leases`.
//!
//! The limit is a hand-written work queue in one table: a claim of what is due by an index, and an acknowledgement that makes it due again, one
//! flushed transaction each, one after the other, with the same SQLite. The store judges fairness, tokens and topics besides. Then the same call
//! beside backlogs of one loud tenant: the wait of a quiet one, against its wait alone.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::time::{Duration, Instant};

use runtime_domain::id::AggregateKind;
use runtime_ports::store::{Lease, LeaseRequest, LeaseTopic, OperatorStore, Store as _};
use runtime_sqlite::SqliteStore;
use runtime_testkit::sample::{self, Draft};
use rusqlite::Connection;

const KIND: AggregateKind = AggregateKind::RuntimeDeployment;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(&folder.path().join("raw.db"));
    let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    runtime.block_on(fill(&store, 1, 0, 1_000));
    let operator = store.for_operator(&sample::operator());
    for limit in [1, 100] {
        let (mut limits, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            limits.push(claimed(&raw, limit));
            rates.push(runtime.block_on(leased(&*operator, limit)));
        }
        let (limited, rate) = (median(&mut limits), median(&mut rates));
        println!("{limit:>3} at once: limit {limited:.0}/s, store {rate:.0}/s, ratio {:.2}", rate / limited);
    }
    // Alone, the quiet tenant is the only one who has anything.
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    let mut quiet = 1_000;
    let alone = runtime.block_on(waited(&store, &mut quiet));
    println!("a quiet tenant alone waits {:.0} µs for its lease", alone * 1e6);
    let mut filled = 0;
    for backlog in [100, 10_000, 100_000] {
        runtime.block_on(fill(&store, 1, filled, backlog));
        filled = backlog;
        let beside = runtime.block_on(waited(&store, &mut quiet));
        println!("beside {backlog} of a loud one: {:.0} µs, ratio {:.2}", beside * 1e6, beside / alone);
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn raw(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE jobs (id INTEGER PRIMARY KEY, due INTEGER, host BLOB, until INTEGER) STRICT;
             CREATE INDEX jobs_due ON jobs (due) WHERE until IS NULL;
             WITH RECURSIVE number (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM number WHERE id < 1000)
             INSERT INTO jobs SELECT id, 1, NULL, NULL FROM number;",
        )
        .unwrap();
    connection
}

fn claimed(connection: &Connection, limit: u32) -> f64 {
    let mut claim = connection
        .prepare(
            "UPDATE jobs SET host = x'01', until = 20
             WHERE id IN (SELECT id FROM jobs WHERE until IS NULL AND due <= 10 ORDER BY due LIMIT ?1) RETURNING id",
        )
        .unwrap();
    let mut acknowledge =
        connection.prepare("UPDATE jobs SET host = NULL, until = NULL WHERE id = ?1").unwrap();
    let (begun, mut count) = (Instant::now(), 0_usize);
    while begun.elapsed() < ROUND {
        let ids: Vec<i64> =
            claim.query_map([limit], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let transaction = connection.unchecked_transaction().unwrap();
        for id in &ids {
            acknowledge.execute([id]).unwrap();
        }
        transaction.commit().unwrap();
        count += ids.len();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

async fn fill(store: &SqliteStore, tenant: u64, first: u64, end: u64) {
    let handle = store.for_tenant(&sample::scope(tenant));
    let numbers: Vec<u64> = (first..end).collect();
    for numbers in numbers.chunks(1_000) {
        let drafts = numbers
            .iter()
            .map(|number| Draft::create(tenant, sample::key(KIND, tenant * 1_000_000 + number)).waking_at(1));
        handle.commit(sample::commit(drafts)).await.unwrap();
    }
}

async fn take(operator: &dyn OperatorStore, limit: u32) -> Vec<Lease> {
    let request = LeaseRequest {
        topic: LeaseTopic::Work,
        kinds: vec![KIND],
        host: sample::host(1),
        now: sample::at(10),
        until: sample::at(20),
        limit,
    };
    operator.take_leases(&request).await.unwrap()
}

async fn leased(operator: &dyn OperatorStore, limit: u32) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_usize);
    while begun.elapsed() < ROUND {
        let leases = take(operator, limit).await;
        let mut released: Vec<_> = leases.iter().map(|lease| operator.release_lease(lease)).collect();
        // All at once: they are flushed together.
        std::future::poll_fn(|context| {
            released.retain_mut(|release| match release.as_mut().poll(context) {
                std::task::Poll::Ready(done) => {
                    done.unwrap();
                    false
                }
                std::task::Poll::Pending => true,
            });
            if released.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        count += leases.len();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// How many seconds it takes, in the median, until a tenant with one thing due has its lease, where each call gives ten.
async fn waited(store: &SqliteStore, quiet: &mut u64) -> f64 {
    let operator = store.for_operator(&sample::operator());
    let mut waits = Vec::new();
    for _ in 0..200 {
        *quiet += 1;
        fill(store, *quiet, 0, 1).await;
        let begun = Instant::now();
        let mut others = Vec::new();
        loop {
            let leases = take(&*operator, 10).await;
            let is_served = leases.iter().any(|lease| lease.tenant == sample::tenant(*quiet));
            others.extend(leases);
            if is_served {
                break;
            }
        }
        waits.push(begun.elapsed().as_secs_f64());
        for lease in others.iter().filter(|lease| lease.tenant == sample::tenant(1)) {
            operator.release_lease(lease).await.unwrap();
        }
    }
    median(&mut waits)
}
