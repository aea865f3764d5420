//! Commits per second, as ratios to a raw limit measured in the same rounds: `cargo bench -p runtime-postgres`.
//!
//! The limit is what a good hand-written service would do: one prepared statement for each command, on a kept connection of each caller's own,
//! that updates the state, appends to the history and fills the outbox at once, with the state kept by the caller. The server flushes every
//! commit, as installed. A commit of the store does all that and judges revision, history and claims besides. Rounds alternate, and the
//! median of five counts, because machines are shared and noisy.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres_server::Server;
use runtime_domain::id::AggregateKind;
use runtime_ports::store::{Commit, LeaseRequest, LeaseTopic, Store as _};
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};
use runtime_testkit::sample::{self, Draft, exclusive};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CALLERS: [u64; 3] = [1, 16, 64];

const RAW_SCHEMA: &str = "
    CREATE TABLE states (tenant uuid, kind text, id uuid, revision bigint, status text, body text, PRIMARY KEY (tenant, kind, id));
    CREATE TABLE events (tenant uuid, kind text, id uuid, sequence bigint, event_id uuid, body text, at timestamptz,
        PRIMARY KEY (tenant, kind, id, sequence));
    CREATE TABLE waiting (position bigserial PRIMARY KEY, tenant uuid, kind text, id uuid, sequence bigint, envelope text);";

const RAW_COMMAND: &str = "
    WITH state AS (
        INSERT INTO states VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant, kind, id) DO UPDATE SET revision = excluded.revision, status = excluded.status, body = excluded.body
        WHERE states.revision = excluded.revision - 1
        RETURNING 1
    ), event AS (
        INSERT INTO events SELECT $1, $2, $3, $4, $7, $8, now() FROM state RETURNING 1
    )
    INSERT INTO waiting (tenant, kind, id, sequence, envelope) SELECT $1, $2, $3, $4, $8 FROM event";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start_with(&["fsync=on", "max_connections=200"]);
        let database = server.database(None);
        let address = server.address("owner", &database);
        migrate(&PostgresOptions::new(&address).unwrap(), "host").await.unwrap();
        let options = PostgresOptions::new(&server.address("host", &database)).unwrap();
        let store = Arc::new(PostgresStore::open(options).await.unwrap());
        let raw = connect(&address).await;
        raw.batch_execute(RAW_SCHEMA).await.unwrap();

        println!("{:<28} {:>12} {:>12} {:>8}", "distinct aggregates", "limit/s", "store/s", "ratio");
        let mut fresh = 0;
        for callers in CALLERS {
            let (mut limits, mut stored) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                fresh += 1_000;
                limits.push(limit(&address, callers, fresh).await);
                stored.push(committed(Arc::clone(&store), callers, fresh).await);
            }
            let (limit, stored) = (median(&mut limits), median(&mut stored));
            println!(
                "{:<28} {limit:>12.0} {stored:>12.0} {:>8.2}",
                format!("{callers} callers"),
                stored / limit
            );
        }
        leases(&store).await;
    });
}

/// About what a deployment's record is: 1.8 kB of JSON, half of it digests and identifiers.
fn record() -> String {
    let components = (0_u128..6).map(|number| {
        let digest = Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)).simple();
        format!(
            "{{\"component\":\"component-{number}\",\"image\":\"registry.example.com/shop/component-{number}@sha256:{digest}{digest}\",\
             \"configuration\":{number},\"replicas\":{number},\"stage\":{{\"weight\":10,\"since\":\"2026-11-21T10:24:31.00{number}919Z\",\
             \"checks\":[\"readiness\",\"probe/http\",\"metric/errors\"]}}}}"
        )
    });
    format!(
        "{{\"schema\":1,\"status\":\"Progressing\",\"components\":[{}]}}",
        components.collect::<Vec<_>>().join(",")
    )
}

async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Commands per second of callers with a connection each.
async fn limit(address: &str, callers: u64, fresh: u64) -> f64 {
    let mut ready = Vec::new();
    for caller in 0..callers {
        let client = connect(address).await;
        let statement = client.prepare(RAW_COMMAND).await.unwrap();
        ready.push((client, statement, fresh + caller));
    }
    let begun = Instant::now();
    let callers = ready.into_iter().map(|(client, statement, number)| {
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, number);
            let (tenant, body) = (sample::tenant(1).uuid(), record());
            let mut count = 0_i64;
            while begun.elapsed() < ROUND {
                count += 1;
                let event = Uuid::from_u128(key.id.as_u128() ^ (u128::from(count.unsigned_abs()) << 64));
                client
                    .execute(
                        &statement,
                        &[
                            &tenant,
                            &key.kind.name(),
                            &key.id,
                            &count,
                            &"Open",
                            &body,
                            &event,
                            &"{\"number\":1}",
                        ],
                    )
                    .await
                    .unwrap();
            }
            count
        })
    });
    counted(callers.collect(), begun).await
}

/// Commits per second of callers that share the store.
async fn committed(store: Arc<PostgresStore>, callers: u64, fresh: u64) -> f64 {
    let begun = Instant::now();
    let callers = (0..callers).map(|caller| {
        let tenant = store.for_tenant(&sample::scope(1));
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, fresh + caller);
            let body = record();
            let mut draft =
                Draft::create(1, key).body(&body).claiming([exclusive(&format!("{key}"))]).publishing();
            let mut count = 0_i64;
            while begun.elapsed() < ROUND {
                tenant.commit(draft.commit()).await.unwrap();
                draft = draft.next().body(&body).publishing();
                count += 1;
            }
            count
        })
    });
    counted(callers.collect(), begun).await
}

async fn counted(callers: Vec<tokio::task::JoinHandle<i64>>, begun: Instant) -> f64 {
    let mut count = 0;
    for caller in callers {
        count += caller.await.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Leases taken and given back per second, one after the other and a hundred at once.
async fn leases(store: &PostgresStore) {
    let kind = AggregateKind::RuntimeService;
    let tenant = store.for_tenant(&sample::scope(1));
    let drafts = (0..1_000).map(|number| Draft::create(1, sample::key(kind, number)).waking_at(1));
    tenant.commit(Commit { ..sample::commit(drafts) }).await.unwrap();
    let operator = store.for_operator(&sample::operator());
    for limit in [1_u32, 100] {
        let (begun, mut taken) = (Instant::now(), 0_usize);
        while begun.elapsed() < ROUND {
            let request = LeaseRequest {
                topic: LeaseTopic::Work,
                kinds: vec![kind],
                host: sample::host(1),
                now: sample::at(10),
                until: sample::at(20),
                limit,
            };
            let leases = operator.take_leases(&request).await.unwrap();
            taken += leases.len();
            futures::future::join_all(leases.iter().map(|lease| operator.release_lease(lease))).await;
        }
        println!(
            "leases taken and given back, {limit} at once: {:.0}/s",
            taken as f64 / begun.elapsed().as_secs_f64()
        );
    }
}
