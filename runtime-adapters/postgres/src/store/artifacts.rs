//! Artifacts, each one value: collected in memory, written at once.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::artifacts::{
    Artifact, ArtifactKey, ArtifactQuery, ArtifactReader, ArtifactRefusals, ArtifactStore, ArtifactWriter,
    Collected, Portions, TenantArtifacts,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::Page;
use runtime_ports::subject::{ContentDigest, KeptName};
use tokio_postgres::Row;

use super::read::Columns;
use super::{PostgresStore, Shared, pruned};
use crate::error::corrupt;
use crate::link::only;
use crate::row::{number, timestamp};

/// What cursors are marked with.
const STORE: &str = "postgres";

/// The most bytes of an artifact. Larger ones are for a store of files: here each is held in memory, and sent as one value.
const LARGEST: u64 = 4 << 20;

impl ArtifactStore for PostgresStore {
    fn tenant_artifacts(&self, scope: &TenantScope) -> Box<dyn TenantArtifacts> {
        Box::new(TenantHandle { shared: Arc::clone(&self.shared), tenant: scope.tenant() })
    }

    fn artifact_pruner(&self, _scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(PrunerHandle(Arc::clone(&self.shared)))
    }

    fn largest_artifact(&self) -> u64 {
        LARGEST
    }
}

struct TenantHandle {
    shared: Arc<Shared>,
    tenant: TenantId,
}

#[async_trait]
impl TenantArtifacts for TenantHandle {
    async fn begin(&self, key: &ArtifactKey, at: Timestamp) -> PortResult<Box<dyn ArtifactWriter>> {
        self.shared.open("artifacts.begin")?;
        Ok(Box::new(Writer {
            shared: Arc::clone(&self.shared),
            tenant: self.tenant,
            key: key.clone(),
            at,
            collected: Collected::new(LARGEST),
        }))
    }

    async fn open(&self, key: &ArtifactKey) -> PortResult<Option<Box<dyn ArtifactReader>>> {
        const OPERATION: &str = "artifacts.open";
        self.shared.open(OPERATION)?;
        let sql = "SELECT size, digest, stored_at, content FROM read_artifact($1, $2, $3, $4)";
        let subject = &key.subject;
        let rows = self
            .shared
            .records
            .read(
                OPERATION,
                sql,
                &[
                    &self.tenant.uuid(),
                    &subject.environment.uuid(),
                    &subject.name.as_str(),
                    &key.name.as_str(),
                ],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let artifact = artifact(OPERATION, row, key.clone())?;
        let content = Columns { operation: OPERATION, row }.get(3)?;
        Ok(Some(Box::new(Portions::new(artifact, content))))
    }

    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
        const OPERATION: &str = "artifacts.list";
        self.shared.open(OPERATION)?;
        let after = query.position(STORE, self.tenant)?;
        let subject = &query.subject;
        let rows = self
            .shared
            .readers
            .read(
                OPERATION,
                "SELECT size, digest, stored_at, name FROM list_artifacts($1, $2, $3, $4, $5)",
                &[
                    &self.tenant.uuid(),
                    &subject.environment.uuid(),
                    &subject.name.as_str(),
                    // Before every name.
                    &after.as_ref().map_or("", KeptName::as_str),
                    // One more than asked for tells whether the list goes on.
                    &(i64::from(query.limit) + 1),
                ],
            )
            .await?;
        let listed = rows.iter().map(|row| {
            let name = Columns { operation: OPERATION, row }.parsed(3, KeptName::new)?;
            artifact(OPERATION, row, ArtifactKey { subject: subject.clone(), name })
        });
        let items = listed.collect::<PortResult<Vec<_>>>()?;
        Ok(Page::of(items, query.limit, |last| query.cursor_at(STORE, self.tenant, &last.key.name)))
    }
}

/// An artifact of the columns `size`, `digest` and `stored_at`, the first three.
fn artifact(operation: &'static str, row: &Row, key: ArtifactKey) -> PortResult<Artifact> {
    let columns = Columns { operation, row };
    let digest = <[u8; 32]>::try_from(columns.get::<&[u8]>(1)?);
    Ok(Artifact {
        key,
        size: columns.unsigned(0)?,
        digest: ContentDigest::from_bytes(digest.map_err(|_| corrupt(operation, "no digest"))?),
        stored_at: timestamp(columns.get(2)?),
    })
}

struct Writer {
    shared: Arc<Shared>,
    tenant: TenantId,
    key: ArtifactKey,
    at: Timestamp,
    collected: Collected,
}

#[async_trait]
impl ArtifactWriter for Writer {
    async fn write(&mut self, bytes: &[u8]) -> PortResult<()> {
        self.collected.write(bytes)
    }

    async fn finish(self: Box<Self>, expected: Option<ContentDigest>) -> PortResult<Artifact> {
        const OPERATION: &str = "artifacts.finish";
        self.shared.open(OPERATION)?;
        let (bytes, digest) = self.collected.finish(expected)?;
        let size = number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let subject = &self.key.subject;
        // Storing twice is storing once, so it may be asked again where the answer was lost.
        let rows = self
            .shared
            .records
            .read(
                OPERATION,
                "SELECT size, digest, stored_at FROM store_artifact($1, $2, $3, $4, $5, $6, $7, $8)",
                &[
                    &self.tenant.uuid(),
                    &subject.environment.uuid(),
                    &subject.name.as_str(),
                    &self.key.name.as_str(),
                    &size,
                    &digest.as_bytes().as_slice(),
                    &self.at.timestamp_micros(),
                    &bytes,
                ],
            )
            .await?;
        let there = artifact(OPERATION, &only(OPERATION, rows)?, self.key.clone())?;
        if there.digest == digest { Ok(there) } else { Err(ArtifactRefusals::exists(&self.key)) }
    }
}

struct PrunerHandle(Arc<Shared>);

#[async_trait]
impl Pruner for PrunerHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let sql = "SELECT removed, goes_on FROM prune_artifacts($1, $2)";
        pruned(&self.0, "artifacts.prune", sql, before, most).await
    }
}
