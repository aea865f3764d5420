//! The limit: what a good hand-written service would do, one prepared statement for each command, on a kept connection of each caller's own,
//! with the state kept by the caller.
//!
//! It records the same facts as the store does, in tables of the same columns and keys: the state with its environment and when it is due, the history
//! with who, when and why, the event that waits. It judges the revision. It leaves out what tells tenants apart (row-level security),
//! functions, indexes for lists, claims and modules, leases and evidence, the inbox, and a digest of what was replaced.

use std::time::Instant;

use runtime_domain::id::AggregateKind;
use runtime_ports::store::AggregateWrite;
use runtime_testkit::sample::{self, Draft};
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use crate::rate::{Rate, record};

const SCHEMA: &str = "
    CREATE TABLE states (tenant uuid, kind text COLLATE \"C\", id uuid, created bigserial, revision bigint, sequence bigint, digest bytea,
        schema integer, environment uuid, status text, due_at bigint, body text, PRIMARY KEY (tenant, id, kind)) WITH (fillfactor = 50);
    CREATE TABLE events (tenant uuid, kind text COLLATE \"C\", id uuid, sequence bigint, event_id uuid, event text, body text, at text,
        actor text, correlation uuid, causation uuid, explanation text, digest bytea, PRIMARY KEY (tenant, id, sequence, kind));
    CREATE TABLE waiting (tenant uuid, kind text COLLATE \"C\", id uuid, sequence bigint, event_id uuid, event_type text, envelope text,
        PRIMARY KEY (tenant, id, sequence, kind));
    CREATE TABLE jobs (id uuid PRIMARY KEY, due_at bigint, host uuid, until bigint, token bigint);
    CREATE INDEX ON jobs (due_at);
    CREATE SEQUENCE tokens;
    INSERT INTO jobs SELECT gen_random_uuid(), number FROM generate_series(1, 1000) AS number;";

/// Updates the state, appends to the history and fills the outbox at once.
const COMMAND: &str = "
    WITH state AS (
        INSERT INTO states (tenant, kind, id, revision, sequence, schema, environment, status, due_at, body, digest)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $21)
        ON CONFLICT (tenant, kind, id) DO UPDATE SET revision = excluded.revision, sequence = excluded.sequence, schema = excluded.schema,
            environment = excluded.environment, status = excluded.status, due_at = excluded.due_at, body = excluded.body,
            digest = excluded.digest
        WHERE states.revision = excluded.revision - 1
        RETURNING 1
    ), event AS (
        INSERT INTO events SELECT $1, $2, $3, $5, $11, $12, $13, $14, $15, $16, $17, $18, $21 FROM state RETURNING 1
    )
    INSERT INTO waiting SELECT $1, $2, $3, $5, $11, $19, $20 FROM event";

/// The same where many change one state: the row's lock says whose turn it is, and the row which revision comes next.
const CONTENDED: &str = "
    WITH state AS (
        INSERT INTO states (tenant, kind, id, revision, sequence, schema, environment, status, due_at, body, digest)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $21)
        ON CONFLICT (tenant, kind, id) DO UPDATE SET revision = states.revision + 1, sequence = states.sequence + 1, schema = excluded.schema,
            environment = excluded.environment, status = excluded.status, due_at = excluded.due_at, body = excluded.body,
            digest = excluded.digest
        RETURNING sequence
    ), event AS (
        INSERT INTO events SELECT $1, $2, $3, sequence, $11, $12, $13, $14, $15, $16, $17, $18, $21 FROM state RETURNING sequence
    )
    INSERT INTO waiting SELECT $1, $2, $3, sequence, $11, $19, $20 FROM event";

/// Whoever was too late decides again upon what this shows.
const LOOK: &str = "SELECT revision, body FROM states WHERE tenant = $1 AND kind = $2 AND id = $3";

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

/// Makes a write, with the event that it publishes, by one of the statements above: it comes to this revision, each with one event. `false`
/// where the statement judges, and another has been here.
async fn execute(
    client: &Client,
    statement: &Statement,
    (tenant, revision, event): (Uuid, i64, Uuid),
    write: &AggregateWrite,
) -> bool {
    let (entry, published) = (&write.history[0], &write.outbox[0]);
    let sequence = revision;
    let due_at = write.wake_at.map(|at| at.timestamp_micros());
    client
        .execute(
            statement,
            &[
                &tenant,
                &write.key.kind.name(),
                &write.key.id,
                &revision,
                &sequence,
                &i32::from(write.record.schema),
                &write.facets.environment.uuid(),
                &write.facets.status,
                &due_at,
                &write.record.body,
                &event,
                &entry.event,
                &entry.body,
                &entry.at.to_rfc3339(),
                &entry.actor.as_str(),
                &entry.correlation.uuid(),
                &entry.causation.map(|causation| causation.uuid()),
                &entry.explanation,
                &published.event_type,
                &published.envelope,
                &entry.digest.as_bytes().as_slice(),
            ],
        )
        .await
        .unwrap()
        == 1
}

/// Commands per second of callers with an aggregate each.
pub(crate) async fn distinct(address: &str, callers: u64, fresh: u64, rate: Rate) -> f64 {
    let ready = ready(address, callers, COMMAND).await;
    let begun = Instant::now();
    let callers = ready.into_iter().zip(fresh..).map(|((client, statement), number)| {
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, number);
            let (tenant, body) = (sample::tenant(1).uuid(), record());
            let mut draft = Draft::create(1, key).body(&body).publishing();
            let mut count = 0;
            while rate.goes_on(begun) {
                let write = draft.write();
                let revision = i64::try_from(count + 1).unwrap();
                assert!(
                    execute(&client, &statement, (tenant, revision, write.history[0].id.uuid()), &write)
                        .await
                );
                draft = draft.next().body(&body).publishing();
                count += 1;
            }
            count
        })
    });
    rate.of(callers.collect(), begun).await
}

/// Commands per second of callers who share one aggregate and keep what they know of it: where another was faster, they look again, decide
/// again and try again. It is what a service does whose commands depend on the state.
pub(crate) async fn raced(address: &str, callers: u64, fresh: u64, rate: Rate) -> f64 {
    let ready = ready(address, callers, COMMAND).await;
    let begun = Instant::now();
    let callers = ready.into_iter().zip(0_u128..).map(|((client, statement), caller)| {
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, fresh);
            let (tenant, body) = (sample::tenant(1).uuid(), record());
            let look = client.prepare(LOOK).await.unwrap();
            let mut draft = Draft::create(1, key).body(&body).publishing();
            let (mut revision, mut count) = (0_i64, 0);
            while rate.goes_on(begun) {
                let event = Uuid::from_u128(caller << 64 | u128::from(count));
                let write = draft.write();
                if execute(&client, &statement, (tenant, revision + 1, event), &write).await {
                    revision += 1;
                    draft = draft.next().body(&body).publishing();
                    count += 1;
                } else {
                    let row = client.query_one(&look, &[&tenant, &key.kind.name(), &key.id]).await.unwrap();
                    revision = row.get(0);
                }
            }
            count
        })
    });
    rate.of(callers.collect(), begun).await
}

/// Commands per second of callers who share one aggregate, whatever has become of it before: none is judged, and none tried again.
pub(crate) async fn contended(address: &str, callers: u64, fresh: u64, rate: Rate) -> f64 {
    let ready = ready(address, callers, CONTENDED).await;
    let begun = Instant::now();
    let callers = ready.into_iter().zip(0_u128..).map(|((client, statement), caller)| {
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, fresh);
            let (tenant, body) = (sample::tenant(1).uuid(), record());
            let mut draft = Draft::create(1, key).body(&body).publishing();
            let mut count = 0;
            while rate.goes_on(begun) {
                let event = Uuid::from_u128(caller << 64 | u128::from(count));
                assert!(execute(&client, &statement, (tenant, 1, event), &draft.write()).await);
                draft = draft.next().body(&body).publishing();
                count += 1;
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
