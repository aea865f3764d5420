//! Snapshots.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::snapshots::{
    Captured, Snapshot, SnapshotBody, SnapshotQuery, SnapshotStore, TenantSnapshots, damaged,
};
use runtime_ports::store::Page;
use runtime_ports::subject::{KeptName, Subject};
use tokio_postgres::Row;

use super::read::Columns;
use super::{PostgresStore, Shared, pruned};
use crate::error::corrupt;
use crate::link::{column, only};
use crate::row::timestamp;

/// What cursors are marked with.
const STORE: &str = "postgres";

impl SnapshotStore for PostgresStore {
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
        self.shared.open(OPERATION)?;
        let step = i64::try_from(Snapshot::STEP.as_millis()).unwrap_or(i64::MAX / 1_000) * 1_000;
        let digest = body.digest();
        // Capturing twice is capturing once, so it may be asked again where the answer was lost.
        let rows = self
            .shared
            .records
            .read(
                OPERATION,
                "SELECT capture_snapshot($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &self.tenant.uuid(),
                    &subject.environment.uuid(),
                    &subject.name.as_str(),
                    &at.timestamp_micros(),
                    &digest.as_bytes().as_slice(),
                    &body.as_str(),
                    &step,
                ],
            )
            .await?;
        match column::<i32>(OPERATION, &only(OPERATION, rows)?, 0)? {
            0 => Ok(Captured::Changed),
            1 => Ok(Captured::Unchanged),
            3 => Ok(Captured::Extended),
            _ => Ok(Captured::Late),
        }
    }

    async fn latest(&self, subject: &Subject) -> PortResult<Option<Snapshot>> {
        self.newest("snapshots.latest", subject, i64::MAX).await
    }

    async fn as_of(&self, subject: &Subject, at: Timestamp) -> PortResult<Option<Snapshot>> {
        self.newest("snapshots.as_of", subject, at.timestamp_micros()).await
    }

    async fn list(&self, query: &SnapshotQuery) -> PortResult<Page<Snapshot>> {
        const OPERATION: &str = "snapshots.list";
        self.shared.open(OPERATION)?;
        let after = query.position(STORE, self.tenant)?;
        let sql = "SELECT subject, captured_at, last_seen_at, digest, body FROM list_snapshots($1, $2, $3, $4, $5, $6, $7, $8)";
        let rows = self
            .shared
            .readers
            .read(
                OPERATION,
                sql,
                &[
                    &self.tenant.uuid(),
                    &query.environment.uuid(),
                    &query.subject.as_ref().map(KeptName::as_str),
                    &query.from.map(|from| from.timestamp_micros()),
                    &query.until.map(|until| until.timestamp_micros()),
                    &after.as_ref().map(|(at, _)| *at),
                    &after.as_ref().map(|(_, subject)| subject.as_str()),
                    // One more than asked for tells whether the list goes on.
                    &(i64::from(query.limit) + 1),
                ],
            )
            .await?;
        let found = rows.iter().map(|row| snapshot(OPERATION, row, query.environment));
        let items = found.collect::<PortResult<Vec<_>>>()?;
        Ok(Page::of(items, query.limit, |last| {
            query.cursor_at(STORE, self.tenant, last.captured_at, &last.subject.name)
        }))
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
        self.shared.open(operation)?;
        let sql =
            "SELECT subject, captured_at, last_seen_at, digest, body FROM read_snapshot($1, $2, $3, $4)";
        let rows = self
            .shared
            .records
            .read(
                operation,
                sql,
                &[&self.tenant.uuid(), &subject.environment.uuid(), &subject.name.as_str(), &micros],
            )
            .await?;
        rows.first().map(|row| snapshot(operation, row, subject.environment)).transpose()
    }
}

fn snapshot(operation: &'static str, row: &Row, environment: EnvironmentId) -> PortResult<Snapshot> {
    use runtime_ports::subject::ContentDigest;
    let columns = Columns { operation, row };
    let digest = <[u8; 32]>::try_from(columns.get::<&[u8]>(3)?);
    let snapshot = Snapshot {
        subject: Subject { environment, name: columns.parsed(0, KeptName::new)? },
        captured_at: timestamp(columns.get(1)?),
        last_seen_at: timestamp(columns.get(2)?),
        digest: ContentDigest::from_bytes(digest.map_err(|_| corrupt(operation, "no digest"))?),
        body: columns.get(4)?,
    };
    let is_whole = ContentDigest::of(snapshot.body.as_bytes()) == snapshot.digest;
    if is_whole { Ok(snapshot) } else { Err(damaged(operation)) }
}

struct PrunerHandle(Arc<Shared>);

#[async_trait]
impl Pruner for PrunerHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let sql = "SELECT removed, goes_on FROM prune_snapshots($1, $2)";
        pruned(&self.0, "snapshots.prune", sql, before, most).await
    }
}
