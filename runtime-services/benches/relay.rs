//! Events relayed per second, as ratios to a raw loop measured in the same run: `cargo bench -p runtime-services --bench relay`.
//!
//! The raw loop knows no leases, tenants, holds or crashes: it reads the next 64 events from a table of its own in SQLite, publishes them one
//! after the other, and deletes them in one flushed transaction. The relay sends what is in the store's outbox to the same bus, which takes
//! no time. Rounds alternate, and the median of five counts, because machines are shared and noisy.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_ports::PortResult;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::Store;
use runtime_services::relay::RelayService;
use runtime_services::{Host, HostOptions, Ports, Records, TenancyPorts};
use runtime_sqlite::SqliteStore;
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample::{self, Draft};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;
/// How many aggregates have how many events to relay.
const SHAPES: [(u64, u64); 3] = [(4_000, 1), (400, 16), (100, 256)];
const RAW: u64 = 20_000;

/// A bus that takes no time, and tells when it has got all.
#[derive(Default)]
struct Counting {
    left: AtomicU64,
    done: Notify,
}

#[async_trait]
impl EventPublisher for Counting {
    async fn publish(&self, _event: &PublishedEvent) -> PortResult<()> {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
        Ok(())
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut limits = Vec::new();
    let mut rates = vec![Vec::new(); SHAPES.len()];
    for round in 0..ROUNDS {
        limits.push(runtime.block_on(raw(&folder.path().join(format!("raw-{round}.db")))));
        for (shape, rates) in SHAPES.into_iter().zip(&mut rates) {
            let path = folder.path().join(format!("store-{round}-{}.db", shape.1));
            rates.push(runtime.block_on(relayed(&path, shape)));
        }
    }
    let limit = median(&mut limits);
    println!("a raw loop, 64 events to a flush: {limit:.0}/s here, taken as 1.00");
    for ((aggregates, events), rates) in SHAPES.into_iter().zip(&mut rates) {
        let rate = median(rates);
        println!(
            "relay, {aggregates:>5} aggregates with {events:>3} events each: {:.2} ({rate:.0}/s)",
            rate / limit
        );
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "counts this small are exact")]
fn rate(count: u64, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

async fn raw(path: &std::path::Path) -> f64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE events (position INTEGER PRIMARY KEY, event_id BLOB, event_type TEXT, envelope TEXT) STRICT; BEGIN",
        )
        .unwrap();
    let event = Draft::create(1, sample::key(AggregateKind::RuntimeDeployment, 1))
        .publishing()
        .write()
        .outbox
        .remove(0);
    let mut insert = connection
        .prepare("INSERT INTO events (event_id, event_type, envelope) VALUES (?1, ?2, ?3)")
        .unwrap();
    for _ in 0..RAW {
        insert.execute((event.id.uuid().as_bytes(), &event.event_type, &event.envelope)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    let bus = Counting { left: RAW.into(), done: Notify::new() };
    let mut read = connection
        .prepare("SELECT position, event_type, envelope FROM events WHERE position > ?1 ORDER BY position LIMIT 64")
        .unwrap();
    let mut mark = connection.prepare("DELETE FROM events WHERE position <= ?1").unwrap();
    let (begun, mut last) = (Instant::now(), 0_i64);
    loop {
        let batch: Vec<(i64, String, String)> = read
            .query_map([last], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let Some(newest) = batch.last().map(|(position, ..)| *position) else { break };
        for (_, event_type, envelope) in batch {
            bus.publish(&PublishedEvent { event_type, envelope, ..event.clone() }).await.unwrap();
        }
        mark.execute([newest]).unwrap();
        last = newest;
    }
    rate(RAW, begun)
}

async fn relayed(path: &std::path::Path, (aggregates, events): (u64, u64)) -> f64 {
    let store = SqliteStore::open(path).unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    for first in (0..aggregates).step_by(100) {
        let drafts = (first..first + 100).map(|number| {
            Draft::create(1, sample::key(AggregateKind::RuntimeDeployment, number))
                .entries(events)
                .publishing()
        });
        tenant.commit(sample::commit(drafts)).await.unwrap();
    }
    let bus = Arc::new(Counting { left: (aggregates * events).into(), done: Notify::new() });
    let ports = Ports {
        store: Arc::new(store.clone()),
        surfaces: BTreeMap::new(),
        infrastructure: Arc::new(MockInfrastructureEngine::new()),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: None,
        tenancy: TenancyPorts::default(),
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: Default::default(),
        publisher: Arc::clone(&bus) as Arc<dyn EventPublisher>,
        clock: Arc::new(SystemClock::new()),
        ids: Arc::new(UuidV7Generator::new()),
        records: Records::default(),
    };
    let relay = RelayService::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap();
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let running = tokio::spawn({
        let (relay, stop) = (relay.clone(), stop.clone());
        async move { relay.run(stop).await }
    });
    bus.done.notified().await;
    stop.cancel();
    // Until everything is marked, too.
    running.await.unwrap();
    let rate = rate(aggregates * events, begun);
    drop((relay, tenant));
    store.close().await;
    rate
}
