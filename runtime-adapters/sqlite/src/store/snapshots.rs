//! Snapshots.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::snapshots::{
    CaptureStep, Captured, Snapshot, SnapshotBody, SnapshotQuery, SnapshotStore, TenantSnapshots, damaged,
};
use runtime_ports::store::Page;
use runtime_ports::subject::{ContentDigest, KeptName, Subject};
use runtime_ports::{PortError, PortResult};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::row::{self, execute, statement};
use super::{Shared, SqliteStore, pruned};
use crate::error::During;
use crate::writer::Flush;

/// What cursors are marked with.
const STORE: &str = "sqlite";

impl SnapshotStore for SqliteStore {
    fn tenant_snapshots(&self, scope: &TenantScope) -> Box<dyn TenantSnapshots> {
        Box::new(TenantHandle { shared: Arc::clone(&self.shared), tenant: scope.tenant() })
    }

    fn snapshot_pruner(&self, _scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(PrunerHandle(Arc::clone(&self.shared)))
    }
}

struct TenantHandle {
    shared: Arc<Shared>,
    tenant: TenantId,
}

#[async_trait]
impl TenantSnapshots for TenantHandle {
    async fn capture(&self, subject: &Subject, at: Timestamp, body: &SnapshotBody) -> PortResult<Captured> {
        const OPERATION: &str = "snapshots.capture";
        let address = Address::new(self.tenant, subject);
        let next = (whole(at), body.digest());
        // Most observations change nothing: those never reach the writer.
        let look = {
            let address = address.clone();
            move |connection: &Connection| step(connection, &address, next).during(OPERATION)
        };
        let (seen, _) = self.shared.readers.read(OPERATION, look).await?;
        if matches!(seen, CaptureStep::Leave | CaptureStep::Late) {
            return Ok(seen.told());
        }
        let text = body.as_str().to_owned();
        let work =
            move |connection: &Connection| capture(connection, &address, next, &text).during(OPERATION);
        self.shared.writer.write::<_, PortError, _>(OPERATION, Flush::AsAsked, work).await
    }

    async fn latest(&self, subject: &Subject) -> PortResult<Option<Snapshot>> {
        self.newest("snapshots.latest", subject, i64::MAX).await
    }

    async fn as_of(&self, subject: &Subject, at: Timestamp) -> PortResult<Option<Snapshot>> {
        self.newest("snapshots.as_of", subject, at.timestamp_micros()).await
    }

    async fn list(&self, query: &SnapshotQuery) -> PortResult<Page<Snapshot>> {
        let (tenant, query) = (self.tenant, query.clone());
        let read = move |connection: &Connection| list(connection, tenant, &query);
        self.shared.readers.read("snapshots.list", read).await
    }
}

impl TenantHandle {
    /// The newest snapshot captured at this microsecond or before.
    async fn newest(
        &self,
        operation: &'static str,
        subject: &Subject,
        micros: i64,
    ) -> PortResult<Option<Snapshot>> {
        let address = Address::new(self.tenant, subject);
        let environment = subject.environment;
        let sql = "SELECT subject, captured_at, last_seen_at, digest, body FROM snapshots
                   WHERE tenant = ?1 AND environment = ?2 AND subject = ?3 AND captured_at <= ?4
                   ORDER BY captured_at DESC LIMIT 1";
        let read = move |connection: &Connection| {
            let (tenant, place, name) = address.columns();
            let row = statement(connection, sql).and_then(|mut statement| {
                let read = |row: &Row<'_>| snapshot(row, environment);
                statement.query_row((tenant, place, name, micros), read).optional()
            });
            row.during(operation)?.map(|found| verified(operation, found)).transpose()
        };
        self.shared.readers.read(operation, read).await
    }
}

/// The columns `tenant`, `environment` and `subject`.
#[derive(Clone)]
struct Address {
    tenant: [u8; 16],
    environment: [u8; 16],
    subject: String,
}

impl Address {
    fn new(tenant: TenantId, subject: &Subject) -> Self {
        Self {
            tenant: tenant.uuid().into_bytes(),
            environment: subject.environment.uuid().into_bytes(),
            subject: subject.name.to_string(),
        }
    }

    fn columns(&self) -> (&[u8; 16], &[u8; 16], &str) {
        (&self.tenant, &self.environment, &self.subject)
    }
}

/// A time as it is kept.
fn whole(at: Timestamp) -> Timestamp {
    row::timestamp(at.timestamp_micros())
}

/// What to do with an observation, and the number of the newest snapshot.
fn step(
    connection: &Connection,
    address: &Address,
    next: (Timestamp, ContentDigest),
) -> rusqlite::Result<(CaptureStep, Option<i64>)> {
    let sql = "SELECT number, captured_at, last_seen_at, digest FROM snapshots
               WHERE tenant = ?1 AND environment = ?2 AND subject = ?3 ORDER BY captured_at DESC LIMIT 1";
    let judged = |row: &Row<'_>| {
        let (first, last) = (row::timestamp(row.get(1)?), row::timestamp(row.get(2)?));
        let digest = ContentDigest::from_bytes(row.get(3)?);
        Ok((Snapshot::step(first, last, digest, next), Some(row.get(0)?)))
    };
    let found = statement(connection, sql)?.query_row(address.columns(), judged).optional()?;
    Ok(found.unwrap_or((CaptureStep::Insert, None)))
}

fn capture(
    connection: &Connection,
    address: &Address,
    (at, digest): (Timestamp, ContentDigest),
    body: &str,
) -> rusqlite::Result<Captured> {
    let (step, newest) = step(connection, address, (at, digest))?;
    let micros = at.timestamp_micros();
    match step {
        CaptureStep::Insert => {
            let sql = "INSERT INTO snapshots (tenant, environment, subject, captured_at, last_seen_at, digest, body)
                       VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)";
            let (tenant, environment, subject) = address.columns();
            statement(connection, sql)?.execute((
                tenant,
                environment,
                subject,
                micros,
                digest.as_bytes(),
                body,
            ))?;
        }
        CaptureStep::Extend => {
            execute(
                connection,
                "UPDATE snapshots SET last_seen_at = ?1 WHERE number = ?2",
                &[&micros, &newest],
            )?;
        }
        CaptureStep::Leave | CaptureStep::Late => {}
    }
    Ok(step.told())
}

fn snapshot(row: &Row<'_>, environment: EnvironmentId) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        subject: Subject { environment, name: row::text(row, 0, KeptName::new)? },
        captured_at: row::timestamp(row.get(1)?),
        last_seen_at: row::timestamp(row.get(2)?),
        digest: ContentDigest::from_bytes(row.get(3)?),
        body: row.get(4)?,
    })
}

fn verified(operation: &'static str, snapshot: Snapshot) -> PortResult<Snapshot> {
    if ContentDigest::of(snapshot.body.as_bytes()) == snapshot.digest {
        Ok(snapshot)
    } else {
        Err(damaged(operation))
    }
}

fn list(connection: &Connection, tenant: TenantId, query: &SnapshotQuery) -> PortResult<Page<Snapshot>> {
    const OPERATION: &str = "snapshots.list";
    let after = query.position(STORE, tenant)?;
    let mut sql = "SELECT subject, captured_at, last_seen_at, digest, body FROM snapshots
                   WHERE tenant = ? AND environment = ?"
        .to_owned();
    let mut parameters = vec![
        Value::from(tenant.uuid().as_bytes().to_vec()),
        Value::from(query.environment.uuid().as_bytes().to_vec()),
    ];
    if let Some(subject) = &query.subject {
        sql.push_str(" AND subject = ?");
        parameters.push(Value::from(subject.to_string()));
    }
    if let Some(from) = query.from {
        sql.push_str(" AND captured_at >= ?");
        parameters.push(Value::from(from.timestamp_micros()));
    }
    if let Some(until) = query.until {
        sql.push_str(" AND captured_at < ?");
        parameters.push(Value::from(until.timestamp_micros()));
    }
    if let Some((at, subject)) = after {
        sql.push_str(" AND (captured_at, subject) < (?, ?)");
        parameters.extend([Value::from(at), Value::from(subject.to_string())]);
    }
    // One more than asked for tells whether the list goes on.
    sql.push_str(" ORDER BY captured_at DESC, subject DESC LIMIT ?");
    parameters.push(Value::from(i64::from(query.limit) + 1));
    let rows = statement(connection, &sql).and_then(|mut statement| {
        let read = |row: &Row<'_>| snapshot(row, query.environment);
        statement.query_map(params_from_iter(parameters), read)?.collect::<rusqlite::Result<Vec<_>>>()
    });
    let rows = rows.during(OPERATION)?.into_iter();
    let items = rows.map(|found| verified(OPERATION, found)).collect::<PortResult<Vec<_>>>()?;
    Ok(Page::of(items, query.limit, |last| {
        query.cursor_at(STORE, tenant, last.captured_at, &last.subject.name)
    }))
}

struct PrunerHandle(Arc<Shared>);

#[async_trait]
impl Pruner for PrunerHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        const OPERATION: &str = "snapshots.prune";
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM snapshots WHERE number IN (
                           SELECT number FROM snapshots WHERE last_seen_at < ?1 ORDER BY last_seen_at LIMIT ?2)";
            let left = "SELECT EXISTS (SELECT 1 FROM snapshots WHERE last_seen_at < ?1)";
            let removed = execute(connection, sql, &[&before.timestamp_micros(), &most.max(1)]);
            pruned(connection, OPERATION, removed, left, before)
        };
        self.0.writer.write::<_, PortError, _>(OPERATION, Flush::AsAsked, work).await
    }
}
