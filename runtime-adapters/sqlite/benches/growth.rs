//! What commits cost as the store grows: `cargo bench -p runtime-sqlite --bench growth`.
//!
//! For each size, a store is filled with so many aggregates of ten history entries each, and 64 callers commit to aggregates all over it. An
//! index's logarithm is what may be seen of the size. `RUNTIME_BENCH_SIZES` chooses sizes: `1000,100000,1000000` takes 6 GB of disk and shows ten
//! million history rows.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::time::{Duration, Instant};

use runtime_domain::id::AggregateKind;
use runtime_ports::store::{LeaseRequest, LeaseTopic, Store as _};
use runtime_sqlite::{Durability, SqliteOptions, SqliteStore};
use runtime_testkit::sample::{self, Draft, exclusive};

const CALLERS: u64 = 64;
const ENTRIES: u64 = 10;
const LASTS: Duration = Duration::from_secs(4);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sizes = std::env::var("RUNTIME_BENCH_SIZES").unwrap_or_else(|_| "1000,100000".to_owned());
    let mut smallest = None;
    println!(
        "{:>10} {:>10} {:>8} {:>10} {:>9} {:>9} {:>8}",
        "aggregates", "history", "MB", "filled/s", "opened ms", "commits/s", "ratio"
    );
    for size in sizes.split(',').map(|text| text.parse::<u64>().unwrap()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let begun = Instant::now();
        runtime.block_on(fill(&path, size));
        let filled = size as f64 / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let store = SqliteStore::open(&path).unwrap();
        runtime.block_on(take_one(&store));
        let opened = begun.elapsed();
        let rate = runtime.block_on(committed(&store, size));
        let first = *smallest.get_or_insert(rate);
        println!(
            "{size:>10} {:>10} {:>8} {filled:>10.0} {:>9.1} {rate:>9.0} {:>8.2}",
            size * ENTRIES,
            std::fs::metadata(&path).unwrap().len() / 1_000_000,
            opened.as_secs_f64() * 1_000.0,
            rate / first
        );
    }
}

fn draft(number: u64) -> Draft {
    let key = sample::key(AggregateKind::RuntimeDeployment, number);
    Draft::create(1, key)
        .body(&"x".repeat(300))
        .claiming([exclusive(&format!("{key}"))])
        .waking_at(1_000_000)
        .entries(ENTRIES)
}

async fn fill(path: &std::path::Path, size: u64) {
    let store =
        SqliteStore::open_with(path, SqliteOptions::default().durability(Durability::Normal)).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let mut first = 0;
    while first < size {
        let end = size.min(first + 1_000);
        tenant.commit(sample::commit((first..end).map(draft))).await.unwrap();
        first = end;
    }
    store.close().await;
}

/// The first look for due work after opening reads whose turn it is.
async fn take_one(store: &SqliteStore) {
    let request = LeaseRequest {
        topic: LeaseTopic::Work,
        kinds: vec![AggregateKind::RuntimeDeployment],
        host: sample::host(1),
        now: sample::at(10),
        until: sample::at(20),
        limit: 1,
    };
    store.for_operator(&sample::operator()).take_leases(&request).await.unwrap();
}

/// Commits per second of callers who go through their share of the aggregates in no order.
async fn committed(store: &SqliteStore, size: u64) -> f64 {
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let tenant = store.for_tenant(&sample::scope(1));
        tokio::spawn(async move {
            let share = size / CALLERS;
            let (mut count, mut round) = (0_u64, 0_u64);
            let mut drafts = std::collections::HashMap::new();
            while begun.elapsed() < LASTS {
                let number = (round * 7_919) % share * CALLERS + caller;
                let before = drafts.remove(&number).unwrap_or_else(|| draft(number));
                let next = before.next().body(&"y".repeat(300)).publishing();
                tenant.commit(next.commit()).await.unwrap();
                drafts.insert(number, next);
                count += 1;
                round += 1;
            }
            count
        })
    });
    let mut count = 0;
    for caller in callers.collect::<Vec<_>>() {
        count += caller.await.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}
