//! Health results.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::id::{EnvironmentId, ServiceId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::health_results::{
    HealthRecord, HealthResultQuery, HealthResultStore, OperatorHealthResults, TenantHealthResults,
    check_append, check_prepare,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::{Page, StoredRecord, check_limit};
use runtime_ports::{PortError, PortResult};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use uuid::Uuid;

use super::row::{execute, statement};
use super::{Shared, SqliteStore, pruned};
use crate::error::During;
use crate::writer::Flush;

/// What cursors are marked with.
const STORE: &str = "sqlite";

impl HealthResultStore for SqliteStore {
    fn tenant_health_results(&self, scope: &TenantScope) -> Box<dyn TenantHealthResults> {
        Box::new(TenantHandle { shared: Arc::clone(&self.shared), tenant: scope.tenant() })
    }

    fn operator_health_results(&self, _scope: &OperatorScope) -> Box<dyn OperatorHealthResults> {
        Box::new(OperatorHandle(Arc::clone(&self.shared)))
    }
}

struct TenantHandle {
    shared: Arc<Shared>,
    tenant: TenantId,
}

/// A record, ready to bind.
struct Prepared {
    environment: Uuid,
    service: Uuid,
    place: (i64, Uuid),
    revision: Option<String>,
    record: StoredRecord,
}

#[async_trait]
impl TenantHealthResults for TenantHandle {
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()> {
        const OPERATION: &str = "health_results.append";
        check_append(self.tenant, records)?;
        if records.is_empty() {
            return Ok(());
        }
        let prepared = records.iter().map(prepared).collect::<PortResult<Vec<_>>>()?;
        let tenant = self.tenant;
        let work = move |connection: &Connection| insert(connection, tenant, &prepared).during(OPERATION);
        self.shared.writer.write(OPERATION, Flush::AsAsked, work).await
    }

    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>> {
        const OPERATION: &str = "health_results.latest";
        let tenant = self.tenant;
        let sql = "SELECT revision, schema, body FROM health_results
                   WHERE tenant = ?1 AND environment = ?2 AND service = ?3 AND evaluated_at >= ?4
                   ORDER BY evaluated_at DESC, id DESC LIMIT 1";
        let read = move |connection: &Connection| {
            let parameters = (
                tenant.uuid().into_bytes(),
                environment.uuid().into_bytes(),
                service.uuid().into_bytes(),
                since.timestamp_micros(),
            );
            let row = statement(connection, sql)
                .and_then(|mut statement| statement.query_row(parameters, Kept::of).optional());
            row.during(OPERATION)?.map(|row| row.opened(OPERATION)).transpose()
        };
        self.shared.readers.read(OPERATION, read).await
    }

    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>> {
        const OPERATION: &str = "health_results.latest_of_all";
        check_limit(OPERATION, limit, 1_000)?;
        let tenant = self.tenant;
        // From service to service by the index, however many results each has.
        let sql = "WITH RECURSIVE services (service) AS (
                SELECT min(service) FROM health_results WHERE tenant = ?1 AND environment = ?2 AND service > ?3
                UNION ALL
                SELECT (SELECT min(h.service) FROM health_results AS h
                        WHERE h.tenant = ?1 AND h.environment = ?2 AND h.service > s.service)
                FROM services AS s WHERE s.service IS NOT NULL
            )
            SELECT h.revision, h.schema, h.body FROM services AS s JOIN health_results AS h ON h.number = (
                SELECT n.number FROM health_results AS n
                WHERE n.tenant = ?1 AND n.environment = ?2 AND n.service = s.service AND n.evaluated_at >= ?4
                ORDER BY n.evaluated_at DESC, n.id DESC LIMIT 1)
            ORDER BY s.service LIMIT ?5";
        let read = move |connection: &Connection| {
            let after = after.map_or_else(Vec::new, |service| service.uuid().as_bytes().to_vec());
            let parameters = (
                tenant.uuid().into_bytes(),
                environment.uuid().into_bytes(),
                after,
                since.timestamp_micros(),
                limit,
            );
            let rows = statement(connection, sql).and_then(|mut statement| {
                statement.query_map(parameters, Kept::of)?.collect::<rusqlite::Result<Vec<_>>>()
            });
            rows.during(OPERATION)?.into_iter().map(|row| row.opened(OPERATION)).collect()
        };
        self.shared.readers.read(OPERATION, read).await
    }

    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>> {
        let (tenant, query) = (self.tenant, query.clone());
        let read = move |connection: &Connection| list(connection, tenant, &query);
        self.shared.readers.read("health_results.query", read).await
    }
}

fn prepared(record: &HealthRecord) -> PortResult<Prepared> {
    Ok(Prepared {
        environment: record.result.environment().uuid(),
        service: record.result.service_id().uuid(),
        place: record.place(),
        revision: record.revision.as_ref().map(ToString::to_string),
        record: record.stored()?,
    })
}

fn insert(connection: &Connection, tenant: TenantId, records: &[Prepared]) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO health_results (tenant, environment, service, id, evaluated_at, revision, schema, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (tenant, evaluated_at, id) DO NOTHING";
    let mut statement = statement(connection, sql)?;
    for record in records {
        let (at, id) = record.place;
        statement.execute((
            tenant.uuid().into_bytes(),
            record.environment.as_bytes(),
            record.service.as_bytes(),
            id.as_bytes(),
            at,
            &record.revision,
            record.record.schema,
            &record.record.body,
        ))?;
    }
    Ok(())
}

fn list(
    connection: &Connection,
    tenant: TenantId,
    query: &HealthResultQuery,
) -> PortResult<Page<HealthRecord>> {
    const OPERATION: &str = "health_results.query";
    let after = query.position(STORE, tenant)?;
    let mut sql =
        "SELECT revision, schema, body FROM health_results WHERE tenant = ? AND environment = ?".to_owned();
    let blob = |uuid: Uuid| Value::from(uuid.as_bytes().to_vec());
    let mut parameters = vec![blob(tenant.uuid()), blob(query.environment.uuid())];
    if let Some(service) = query.service {
        sql.push_str(" AND service = ?");
        parameters.push(blob(service.uuid()));
    }
    if let Some(revision) = &query.revision {
        sql.push_str(" AND revision = ?");
        parameters.push(Value::from(revision.to_string()));
    }
    if let Some(from) = query.from {
        sql.push_str(" AND evaluated_at >= ?");
        parameters.push(Value::from(from.timestamp_micros()));
    }
    if let Some(until) = query.until {
        sql.push_str(" AND evaluated_at < ?");
        parameters.push(Value::from(until.timestamp_micros()));
    }
    let (later, direction) = if query.oldest_first { (">", "ASC") } else { ("<", "DESC") };
    if let Some((at, id)) = after {
        sql.push_str(&format!(" AND (evaluated_at, id) {later} (?, ?)"));
        parameters.extend([Value::from(at), blob(id)]);
    }
    // One more than asked for tells whether the list goes on.
    sql.push_str(&format!(" ORDER BY evaluated_at {direction}, id {direction} LIMIT ?"));
    parameters.push(Value::from(i64::from(query.limit) + 1));
    let rows = statement(connection, &sql).and_then(|mut statement| {
        statement.query_map(params_from_iter(parameters), Kept::of)?.collect::<rusqlite::Result<Vec<_>>>()
    });
    let rows = rows.during(OPERATION)?.into_iter();
    let items = rows.map(|row| row.opened(OPERATION)).collect::<PortResult<Vec<_>>>()?;
    Ok(Page::of(items, query.limit, |last| query.cursor_at(STORE, tenant, last.place())))
}

/// A row's columns `revision`, `schema` and `body`.
struct Kept {
    revision: Option<String>,
    record: StoredRecord,
}

impl Kept {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { revision: row.get(0)?, record: StoredRecord { schema: row.get(1)?, body: row.get(2)? } })
    }

    fn opened(self, operation: &'static str) -> PortResult<HealthRecord> {
        HealthRecord::opened(operation, &self.record, self.revision.as_deref())
    }
}

struct OperatorHandle(Arc<Shared>);

#[async_trait]
impl Pruner for OperatorHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        const OPERATION: &str = "health_results.prune";
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM health_results WHERE number IN (
                           SELECT number FROM health_results WHERE evaluated_at < ?1 ORDER BY evaluated_at LIMIT ?2)";
            let left = "SELECT EXISTS (SELECT 1 FROM health_results WHERE evaluated_at < ?1)";
            let removed = execute(connection, sql, &[&before.timestamp_micros(), &most.max(1)]);
            pruned(connection, OPERATION, removed, left, before)
        };
        self.0.writer.write::<_, PortError, _>(OPERATION, Flush::AsAsked, work).await
    }
}

#[async_trait]
impl OperatorHealthResults for OperatorHandle {
    async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()> {
        check_prepare(from, until)
    }
}
