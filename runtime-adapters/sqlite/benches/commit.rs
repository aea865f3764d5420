//! Commits per second, as ratios to a raw limit measured in the same run: `cargo bench -p runtime-sqlite`.
//!
//! The limit is one prepared `INSERT` per transaction on a connection of its own, with the same durability (every commit is flushed). A
//! commit of the store writes a record, its claims, its history and its outbox event; one caller alone pays for that, and many callers
//! share a flush. Rounds alternate, and the median of five counts, because machines are shared and noisy.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime_domain::id::AggregateKind;
use runtime_ports::store::Store as _;
use runtime_sqlite::SqliteStore;
use runtime_testkit::sample::{self, Draft};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CALLERS: [u64; 3] = [1, 16, 64];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut limits = Vec::new();
    let mut rates = vec![Vec::new(); CALLERS.len()];
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("store.db")).unwrap());
    let mut fresh = 0;
    for round in 0..ROUNDS {
        limits.push(raw(&folder.path().join(format!("raw-{round}.db"))));
        for (callers, rates) in CALLERS.into_iter().zip(&mut rates) {
            fresh += 1_000_000;
            rates.push(runtime.block_on(committed(Arc::clone(&store), callers, fresh)));
        }
    }
    let limit = median(&mut limits);
    println!("one raw INSERT per flushed transaction: {limit:.0}/s here, taken as 1.00");
    for (callers, rates) in CALLERS.into_iter().zip(&mut rates) {
        println!("store commits, {callers:>2} callers: {:.2}", median(rates) / limit);
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn raw(path: &std::path::Path) -> f64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT) STRICT")
        .unwrap();
    let mut insert = connection.prepare("INSERT INTO rows (body) VALUES (?1)").unwrap();
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < ROUND {
        insert.execute(["{\"state\":\"something\"}"]).unwrap();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// Each caller creates aggregates of its own, one after the other, with a claim and a published event.
async fn committed(store: Arc<SqliteStore>, callers: u64, first: u64) -> f64 {
    let begun = Instant::now();
    let work = (0..callers).map(|caller| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let handle = store.for_tenant(&sample::scope(1));
            let mut count = 0_u32;
            while begun.elapsed() < ROUND {
                let number = first + caller * 10_000 + u64::from(count);
                let key = sample::key(AggregateKind::RuntimeDeployment, number);
                let claim = sample::exclusive(&format!("bench/{number}"));
                handle.commit(Draft::create(1, key).claiming([claim]).publishing().commit()).await.unwrap();
                count += 1;
            }
            count
        })
    });
    let mut total = 0;
    for work in work.collect::<Vec<_>>() {
        total += work.await.unwrap();
    }
    f64::from(total) / begun.elapsed().as_secs_f64()
}
