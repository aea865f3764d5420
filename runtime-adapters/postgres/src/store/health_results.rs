//! Health results.

use std::collections::BTreeSet;
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
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::read::Columns;
use super::{PostgresStore, Shared, pruned};
use crate::error::corrupt;
use crate::link::{CallError, column, only};

/// What cursors are marked with.
const STORE: &str = "postgres";

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// The last day of the year 9999, counted from 1970.
const LAST_DAY: i64 = 2_932_896;

impl HealthResultStore for PostgresStore {
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

/// Records by column, ready to bind.
#[derive(Default)]
struct Batch {
    environments: Vec<Uuid>,
    services: Vec<Uuid>,
    ids: Vec<Uuid>,
    times: Vec<i64>,
    revisions: Vec<Option<String>>,
    schemas: Vec<i32>,
    bodies: Vec<String>,
}

impl Batch {
    fn of(records: &[HealthRecord]) -> PortResult<Self> {
        let mut batch = Self::default();
        for record in records {
            let (at, id) = record.place();
            let stored = record.stored()?;
            batch.environments.push(record.result.environment().uuid());
            batch.services.push(record.result.service_id().uuid());
            batch.ids.push(id);
            batch.times.push(at);
            batch.revisions.push(record.revision.as_ref().map(ToString::to_string));
            batch.schemas.push(i32::from(stored.schema));
            batch.bodies.push(stored.body);
        }
        Ok(batch)
    }

    /// The days of the results.
    fn days(&self) -> PortResult<BTreeSet<i64>> {
        self.times.iter().map(|at| day("health_results.append", *at)).collect()
    }
}

fn day(operation: &'static str, micros: i64) -> PortResult<i64> {
    let day = micros.div_euclid(DAY);
    if (0..=LAST_DAY).contains(&day) {
        return Ok(day);
    }
    let message = "a result is not from the years 1970 to 9999: set the clock right";
    Err(PortError::new(PortErrorKind::Invalid, operation, message))
}

/// A plain statement, which costs the server less than a function does that looks out for results which are there. The tenant is named first:
/// until then row-level security takes nothing.
const INSERT: &str = "
    INSERT INTO health_results (tenant, environment, service, id, evaluated_at, revision, schema, body)
    SELECT given.tenant, r.*
    FROM (SELECT set_config('factory_runtime.tenant', $1::uuid::text, true)::uuid AS tenant) AS given,
        unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::integer[], $8::text[]) AS r";

impl TenantHandle {
    /// False where there is no room for a day.
    async fn insert(&self, batch: &Batch) -> PortResult<bool> {
        const OPERATION: &str = "health_results.append";
        let tenant = self.tenant.uuid();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
            &tenant,
            &batch.environments,
            &batch.services,
            &batch.ids,
            &batch.times,
            &batch.revisions,
            &batch.schemas,
            &batch.bodies,
        ];
        let records = &self.shared.records;
        match records.call(OPERATION, INSERT, &parameters).await {
            Ok(_) => return Ok(true),
            Err(CallError::Refused(error)) if !is_for_care(&error) => {
                return Err(CallError::Refused(error).into_port(OPERATION));
            }
            // Some are there already, as after an answer that was lost, or there is no room for a day.
            Err(_) => {}
        }
        let sql = "SELECT append_health_results($1, $2, $3, $4, $5, $6, $7, $8)";
        let rows = records.read(OPERATION, sql, &parameters).await?;
        column(OPERATION, &only(OPERATION, rows)?, 0)
    }
}

fn is_for_care(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| [SqlState::UNIQUE_VIOLATION, SqlState::CHECK_VIOLATION].contains(code))
}

#[async_trait]
impl TenantHealthResults for TenantHandle {
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()> {
        const OPERATION: &str = "health_results.append";
        self.shared.open(OPERATION)?;
        check_append(self.tenant, records)?;
        if records.is_empty() {
            return Ok(());
        }
        let batch = Batch::of(records)?;
        let days = batch.days()?;
        // Upkeep may drop a day that was made just now: then the results are older than what is kept.
        for _ in 0..3 {
            if self.insert(&batch).await? {
                return Ok(());
            }
            for day in &days {
                self.shared.make_room(OPERATION, *day, *day).await?;
            }
        }
        let message = "the days of these results are being dropped: they are older than what is kept";
        Err(PortError::new(PortErrorKind::Unavailable, OPERATION, message))
    }

    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>> {
        const OPERATION: &str = "health_results.latest";
        self.shared.open(OPERATION)?;
        let sql = "SELECT revision, schema, body FROM latest_health_result($1, $2, $3, $4)";
        let micros = since.timestamp_micros();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.tenant.uuid(), &environment.uuid(), &service.uuid(), &micros];
        let rows = self.shared.records.read(OPERATION, sql, &parameters).await?;
        rows.first().map(|row| opened(OPERATION, row)).transpose()
    }

    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>> {
        const OPERATION: &str = "health_results.latest_of_all";
        self.shared.open(OPERATION)?;
        check_limit(OPERATION, limit, 1_000)?;
        let sql = "SELECT revision, schema, body FROM latest_health_results($1, $2, $3, $4, $5)";
        let (micros, most) = (since.timestamp_micros(), i64::from(limit));
        let after = after.map(|service| service.uuid());
        let rows = self
            .shared
            .readers
            .read(OPERATION, sql, &[&self.tenant.uuid(), &environment.uuid(), &micros, &after, &most])
            .await?;
        rows.iter().map(|row| opened(OPERATION, row)).collect()
    }

    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>> {
        const OPERATION: &str = "health_results.query";
        self.shared.open(OPERATION)?;
        let after = query.position(STORE, self.tenant)?;
        let sql =
            "SELECT revision, schema, body FROM list_health_results($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let micros = |at: Option<Timestamp>| at.map(|at| at.timestamp_micros());
        let rows = self
            .shared
            .readers
            .read(
                OPERATION,
                sql,
                &[
                    &self.tenant.uuid(),
                    &query.environment.uuid(),
                    &query.service.map(|service| service.uuid()),
                    &query.revision.as_ref().map(ToString::to_string),
                    &micros(query.from),
                    &micros(query.until),
                    &after.map(|(at, _)| at),
                    &after.map(|(_, id)| id),
                    &query.oldest_first,
                    // One more than asked for tells whether the list goes on.
                    &(i64::from(query.limit) + 1),
                ],
            )
            .await?;
        let items = rows.iter().map(|row| opened(OPERATION, row)).collect::<PortResult<Vec<_>>>()?;
        Ok(Page::of(items, query.limit, |last| query.cursor_at(STORE, self.tenant, last.place())))
    }
}

fn opened(operation: &'static str, row: &Row) -> PortResult<HealthRecord> {
    let columns = Columns { operation, row };
    let schema =
        u16::try_from(columns.get::<i32>(1)?).map_err(|_| corrupt(operation, "a schema out of range"))?;
    let record = StoredRecord { schema, body: columns.get(2)? };
    HealthRecord::opened(operation, &record, columns.get(0)?)
}

impl Shared {
    /// Makes the partitions of these days.
    async fn make_room(&self, operation: &'static str, first: i64, last: i64) -> PortResult<()> {
        let sql = "SELECT prepare_health_results($1, $2)";
        self.operators.read(operation, sql, &[&first, &last]).await.map(drop)
    }
}

struct OperatorHandle(Arc<Shared>);

#[async_trait]
impl Pruner for OperatorHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let sql = "SELECT removed, goes_on FROM prune_health_results($1, $2)";
        pruned(&self.0, "health_results.prune", sql, before, most).await
    }
}

#[async_trait]
impl OperatorHealthResults for OperatorHandle {
    async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()> {
        const OPERATION: &str = "health_results.prepare";
        self.0.open(OPERATION)?;
        check_prepare(from, until)?;
        let first = day(OPERATION, from.timestamp_micros())?;
        let last = day(OPERATION, until.timestamp_micros())?;
        self.0.make_room(OPERATION, first, last).await
    }
}
