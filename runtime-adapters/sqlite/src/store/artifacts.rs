//! Artifacts, each one value: collected in memory, written at once.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::artifacts::{
    Artifact, ArtifactKey, ArtifactQuery, ArtifactReader, ArtifactRefusals, ArtifactStore, ArtifactWriter,
    Collected, Portions, TenantArtifacts,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::Page;
use runtime_ports::subject::{ContentDigest, KeptName};
use runtime_ports::{PortError, PortResult};
use rusqlite::{Connection, OptionalExtension, Row};

use super::row::{self, execute, number, statement, unsigned};
use super::{Shared, SqliteStore, pruned};
use crate::error::During;
use crate::writer::Flush;

/// What cursors are marked with.
const STORE: &str = "sqlite";

/// The most bytes of an artifact. Larger ones are for a store of files: here each is held in memory, and waits for the one writer.
const LARGEST: u64 = 4 << 20;

impl ArtifactStore for SqliteStore {
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
        let (tenant, key) = (self.tenant, key.clone());
        let read = move |connection: &Connection| {
            let found = find(connection, tenant, &key, "content", |row| row.get(3)).during(OPERATION)?;
            Ok(found.map(|(artifact, bytes)| Portions::new(artifact, bytes)))
        };
        let found = self.shared.readers.read(OPERATION, read).await?;
        Ok(found.map(|portions| Box::new(portions) as Box<dyn ArtifactReader>))
    }

    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
        let (tenant, query) = (self.tenant, query.clone());
        let read = move |connection: &Connection| list(connection, tenant, &query);
        self.shared.readers.read("artifacts.list", read).await
    }
}

/// The artifact of a key, and one more of its columns.
fn find<T>(
    connection: &Connection,
    tenant: TenantId,
    key: &ArtifactKey,
    column: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<(Artifact, T)>> {
    let sql = format!(
        "SELECT size, digest, stored_at, {column} FROM artifacts
         WHERE tenant = ?1 AND environment = ?2 AND subject = ?3 AND name = ?4"
    );
    let parameters = (
        tenant.uuid().into_bytes(),
        key.subject.environment.uuid().into_bytes(),
        key.subject.name.as_str(),
        key.name.as_str(),
    );
    let found = |row: &Row<'_>| Ok((artifact(row, key.clone())?, read(row)?));
    statement(connection, &sql)?.query_row(parameters, found).optional()
}

/// An artifact of the columns `size`, `digest` and `stored_at`, the first three.
fn artifact(row: &Row<'_>, key: ArtifactKey) -> rusqlite::Result<Artifact> {
    Ok(Artifact {
        key,
        size: unsigned(row, 0)?,
        digest: ContentDigest::from_bytes(row.get(1)?),
        stored_at: row::timestamp(row.get(2)?),
    })
}

fn list(connection: &Connection, tenant: TenantId, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
    let after = query.position(STORE, tenant)?;
    let sql = "SELECT size, digest, stored_at, name FROM artifacts
               WHERE tenant = ?1 AND environment = ?2 AND subject = ?3 AND name > ?4 ORDER BY name LIMIT ?5";
    let parameters = (
        tenant.uuid().into_bytes(),
        query.subject.environment.uuid().into_bytes(),
        query.subject.name.as_str(),
        // Before every name.
        after.as_ref().map_or("", KeptName::as_str),
        // One more than asked for tells whether the list goes on.
        i64::from(query.limit) + 1,
    );
    let read = |row: &Row<'_>| {
        let key = ArtifactKey { subject: query.subject.clone(), name: row::text(row, 3, KeptName::new)? };
        artifact(row, key)
    };
    let rows = statement(connection, sql).and_then(|mut statement| {
        statement.query_map(parameters, read)?.collect::<rusqlite::Result<Vec<_>>>()
    });
    let items = rows.during("artifacts.list")?;
    Ok(Page::of(items, query.limit, |last| query.cursor_at(STORE, tenant, &last.key.name)))
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
        let (bytes, digest) = self.collected.finish(expected)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let stored_at = row::timestamp(self.at.timestamp_micros());
        let artifact = Artifact { key: self.key, size, digest, stored_at };
        let tenant = self.tenant;
        let work = move |connection: &Connection| store(connection, tenant, &artifact, &bytes);
        self.shared.writer.write::<_, PortError, _>(OPERATION, Flush::AsAsked, work).await
    }
}

fn store(
    connection: &Connection,
    tenant: TenantId,
    artifact: &Artifact,
    bytes: &[u8],
) -> PortResult<Artifact> {
    const OPERATION: &str = "artifacts.finish";
    let found = find(connection, tenant, &artifact.key, "1", |_| Ok(())).during(OPERATION)?;
    match found {
        Some((there, ())) if there.digest == artifact.digest => return Ok(there),
        Some(_) => return Err(ArtifactRefusals::exists(&artifact.key)),
        None => {}
    }
    let sql = "INSERT INTO artifacts (tenant, environment, subject, name, size, digest, stored_at, content)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let parameters = (
        tenant.uuid().into_bytes(),
        artifact.key.subject.environment.uuid().into_bytes(),
        artifact.key.subject.name.as_str(),
        artifact.key.name.as_str(),
        number(artifact.size),
        artifact.digest.as_bytes(),
        artifact.stored_at.timestamp_micros(),
        bytes,
    );
    statement(connection, sql).and_then(|mut statement| statement.execute(parameters)).during(OPERATION)?;
    Ok(artifact.clone())
}

struct PrunerHandle(Arc<Shared>);

#[async_trait]
impl Pruner for PrunerHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        const OPERATION: &str = "artifacts.prune";
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM artifacts WHERE number IN (
                           SELECT number FROM artifacts WHERE stored_at < ?1 ORDER BY stored_at LIMIT ?2)";
            let left = "SELECT EXISTS (SELECT 1 FROM artifacts WHERE stored_at < ?1)";
            let removed = execute(connection, sql, &[&before.timestamp_micros(), &most.max(1)]);
            pruned(connection, OPERATION, removed, left, before)
        };
        self.0.writer.write::<_, PortError, _>(OPERATION, Flush::AsAsked, work).await
    }
}
