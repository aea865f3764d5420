//! The limit: what a good hand-written service would do, one prepared statement for each command, on a kept connection of each caller's own,
//! with the state kept by the caller.

use std::time::Instant;

use runtime_domain::id::AggregateKind;
use runtime_testkit::sample;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use crate::rate::{Rate, record};

const SCHEMA: &str = "
    CREATE TABLE states (tenant uuid, kind text, id uuid, revision bigint, status text, body text, PRIMARY KEY (tenant, kind, id));
    CREATE TABLE events (tenant uuid, kind text, id uuid, sequence bigint, event_id uuid, body text, at timestamptz,
        PRIMARY KEY (tenant, kind, id, sequence));
    CREATE TABLE waiting (position bigserial PRIMARY KEY, tenant uuid, kind text, id uuid, sequence bigint, envelope text);
    CREATE TABLE jobs (id uuid PRIMARY KEY, due_at bigint, host uuid, until bigint, token bigint);
    CREATE INDEX ON jobs (due_at);
    CREATE SEQUENCE tokens;
    INSERT INTO jobs SELECT gen_random_uuid(), number FROM generate_series(1, 1000) AS number;";

/// Updates the state, appends to the history and fills the outbox at once.
const COMMAND: &str = "
    WITH state AS (
        INSERT INTO states VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant, kind, id) DO UPDATE SET revision = excluded.revision, status = excluded.status, body = excluded.body
        WHERE states.revision = excluded.revision - 1
        RETURNING 1
    ), event AS (
        INSERT INTO events SELECT $1, $2, $3, $4, $7, $8, now() FROM state RETURNING 1
    )
    INSERT INTO waiting (tenant, kind, id, sequence, envelope) SELECT $1, $2, $3, $4, $8 FROM event";

/// The same where many change one state: the row's lock says whose turn it is, and the row which revision comes next.
const CONTENDED: &str = "
    WITH state AS (
        INSERT INTO states VALUES ($1, $2, $3, 1, $4, $5)
        ON CONFLICT (tenant, kind, id) DO UPDATE SET revision = states.revision + 1, status = excluded.status, body = excluded.body
        RETURNING revision
    ), event AS (
        INSERT INTO events SELECT $1, $2, $3, revision, $6, $7, now() FROM state RETURNING sequence
    )
    INSERT INTO waiting (tenant, kind, id, sequence, envelope) SELECT $1, $2, $3, sequence, $7 FROM event";

const CLAIM: &str = "
    UPDATE jobs SET host = $1, until = 20, token = nextval('tokens') WHERE id IN (
        SELECT id FROM jobs WHERE due_at <= 100000 AND (until IS NULL OR until <= 10) ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id, token";
const ACKNOWLEDGE: &str = "UPDATE jobs SET host = NULL, until = NULL WHERE id = ANY ($1) AND host = $2";

pub(crate) async fn prepare(address: &str) {
    connect(address).await.batch_execute(SCHEMA).await.unwrap();
}

async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ready(address: &str, callers: u64, sql: &str) -> Vec<(Client, Statement)> {
    let mut ready = Vec::new();
    for _ in 0..callers {
        let client = connect(address).await;
        let statement = client.prepare(sql).await.unwrap();
        ready.push((client, statement));
    }
    ready
}

/// Commands per second of callers with an aggregate each.
pub(crate) async fn distinct(address: &str, callers: u64, fresh: u64, rate: Rate) -> f64 {
    let ready = ready(address, callers, COMMAND).await;
    let begun = Instant::now();
    let callers = ready.into_iter().zip(fresh..).map(|((client, statement), number)| {
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, number);
            let (tenant, body) = (sample::tenant(1).uuid(), record());
            let mut count = 0_i64;
            while rate.goes_on(begun) {
                count += 1;
                let event = Uuid::from_u128(key.id.as_u128() ^ (u128::from(count.unsigned_abs()) << 64));
                let (kind, event_body) = (key.kind.name(), "{\"number\":1}");
                client
                    .execute(
                        &statement,
                        &[&tenant, &kind, &key.id, &count, &"Open", &body, &event, &event_body],
                    )
                    .await
                    .unwrap();
            }
            count.unsigned_abs()
        })
    });
    rate.of(callers.collect(), begun).await
}

/// Commands per second of callers who share one aggregate.
pub(crate) async fn contended(address: &str, callers: u64, fresh: u64, rate: Rate) -> f64 {
    let ready = ready(address, callers, CONTENDED).await;
    let begun = Instant::now();
    let callers = ready.into_iter().zip(0_u128..).map(|((client, statement), caller)| {
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, fresh);
            let (tenant, body) = (sample::tenant(1).uuid(), record());
            let mut count = 0_u64;
            while rate.goes_on(begun) {
                count += 1;
                let event = Uuid::from_u128(caller << 64 | u128::from(count));
                let (kind, event_body) = (key.kind.name(), "{\"number\":1}");
                client
                    .execute(&statement, &[&tenant, &kind, &key.id, &"Open", &body, &event, &event_body])
                    .await
                    .unwrap();
            }
            count
        })
    });
    rate.of(callers.collect(), begun).await
}

/// Jobs claimed and acknowledged per second by one worker, so many by a statement.
pub(crate) async fn claims(address: &str, at_once: i64, rate: Rate) -> f64 {
    let client = connect(address).await;
    let claim = client.prepare(CLAIM).await.unwrap();
    let acknowledge = client.prepare(ACKNOWLEDGE).await.unwrap();
    let host = sample::host(1).uuid();
    let (begun, mut count) = (Instant::now(), 0);
    while rate.goes_on(begun) {
        let rows = client.query(&claim, &[&host, &at_once]).await.unwrap();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        count += ids.len() as u64;
        client.execute(&acknowledge, &[&ids, &host]).await.unwrap();
    }
    rate.per_second(count, begun)
}
