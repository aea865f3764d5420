//! Artifacts in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

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
use runtime_ports::subject::{ContentDigest, KeptName, Subject};

use crate::poisoned;

/// What cursors are marked with.
const STORE: &str = "memory";

/// Artifacts that live and end with the process.
///
/// Clones are the same store.
#[derive(Debug, Clone)]
pub struct MemoryArtifacts {
    rows: Arc<Mutex<Rows>>,
    largest: u64,
}

/// A subject's artifacts and their content, by name.
type Rows = BTreeMap<(TenantId, Subject), BTreeMap<KeptName, (Artifact, Vec<u8>)>>;

impl MemoryArtifacts {
    /// An empty store of artifacts of up to 4 MiB.
    pub fn new() -> Self {
        Self::with_largest(4 << 20)
    }

    /// An empty store of artifacts of up to `largest` bytes.
    pub fn with_largest(largest: u64) -> Self {
        Self { rows: Arc::default(), largest }
    }

    fn lock(&self, operation: &'static str) -> PortResult<MutexGuard<'_, Rows>> {
        self.rows.lock().map_err(|_| poisoned(operation))
    }
}

impl Default for MemoryArtifacts {
    fn default() -> Self {
        Self::new()
    }
}

impl ArtifactStore for MemoryArtifacts {
    fn tenant_artifacts(&self, scope: &TenantScope) -> Box<dyn TenantArtifacts> {
        Box::new(TenantHandle { store: self.clone(), tenant: scope.tenant() })
    }

    fn artifact_pruner(&self, _scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(OperatorHandle(self.clone()))
    }

    fn largest_artifact(&self) -> u64 {
        self.largest
    }
}

struct TenantHandle {
    store: MemoryArtifacts,
    tenant: TenantId,
}

#[async_trait]
impl TenantArtifacts for TenantHandle {
    async fn begin(&self, key: &ArtifactKey, at: Timestamp) -> PortResult<Box<dyn ArtifactWriter>> {
        let collected = Collected::new(self.store.largest);
        let (store, tenant, key) = (self.store.clone(), self.tenant, key.clone());
        Ok(Box::new(Writer { store, tenant, key, at, collected }))
    }

    async fn open(&self, key: &ArtifactKey) -> PortResult<Option<Box<dyn ArtifactReader>>> {
        let rows = self.store.lock("artifacts.open")?;
        let found =
            rows.get(&(self.tenant, key.subject.clone())).and_then(|rows| rows.get(&key.name)).cloned();
        Ok(found.map(|(artifact, bytes)| Box::new(Portions::new(artifact, bytes)) as Box<dyn ArtifactReader>))
    }

    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
        let after = query.position(STORE, self.tenant)?;
        let rows = self.store.lock("artifacts.list")?;
        let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = rows.get(&(self.tenant, query.subject.clone())).into_iter();
        let found = found.flat_map(|rows| rows.range::<KeptName, _>((start, Bound::Unbounded)));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let items: Vec<Artifact> =
            found.take(limit.saturating_add(1)).map(|(_, (artifact, _))| artifact.clone()).collect();
        Ok(Page::of(items, query.limit, |last| query.cursor_at(STORE, self.tenant, &last.key.name)))
    }
}

struct Writer {
    store: MemoryArtifacts,
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
        let (bytes, digest) = self.collected.finish(expected)?;
        let mut rows = self.store.lock("artifacts.finish")?;
        let rows = rows.entry((self.tenant, self.key.subject.clone())).or_default();
        if let Some((there, _)) = rows.get(&self.key.name) {
            return match there.digest == digest {
                true => Ok(there.clone()),
                false => Err(ArtifactRefusals::exists(&self.key)),
            };
        }
        let stored_at = Timestamp::from_timestamp_micros(self.at.timestamp_micros()).unwrap_or(self.at);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let artifact = Artifact { key: self.key.clone(), size, digest, stored_at };
        rows.insert(self.key.name, (artifact.clone(), bytes));
        Ok(artifact)
    }
}

struct OperatorHandle(MemoryArtifacts);

#[async_trait]
impl Pruner for OperatorHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let mut subjects = self.0.lock("artifacts.prune")?;
        let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        let before = before.timestamp_micros();
        let old = subjects.iter().flat_map(|(subject, rows)| {
            let old = rows.values().filter(|(artifact, _)| artifact.stored_at.timestamp_micros() < before);
            old.map(|(artifact, _)| (subject.clone(), artifact.key.name.clone()))
        });
        let mut old: Vec<_> = old.take(most.saturating_add(1)).collect();
        let goes_on = old.len() > most;
        old.truncate(most);
        for (subject, name) in &old {
            if let Some(rows) = subjects.get_mut(subject) {
                rows.remove(name);
            }
        }
        subjects.retain(|_, rows| !rows.is_empty());
        Ok(Pruned { removed: u64::try_from(old.len()).unwrap_or(u64::MAX), goes_on })
    }
}
