//! Stores of records some of whose calls meet a fault.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::artifacts::{
    Artifact, ArtifactKey, ArtifactQuery, ArtifactReader, ArtifactStore, ArtifactWriter, TenantArtifacts,
};
use runtime_ports::health_results::{
    HealthRecord, HealthResultQuery, HealthResultStore, OperatorHealthResults, TenantHealthResults,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::snapshots::{
    Captured, Snapshot, SnapshotBody, SnapshotQuery, SnapshotStore, TenantSnapshots,
};
use runtime_ports::store::Page;
use runtime_ports::subject::{ContentDigest, Subject};

use super::{Call, Faults, Spoil, half};

impl Faults {
    /// The same store of health results, whose calls meet these faults.
    pub fn health_results(&self, inner: Arc<dyn HealthResultStore>) -> Arc<dyn HealthResultStore> {
        Arc::new(FaultyHealthResults { inner, faults: self.clone() })
    }

    /// The same store of snapshots, whose calls meet these faults.
    pub fn snapshots(&self, inner: Arc<dyn SnapshotStore>) -> Arc<dyn SnapshotStore> {
        Arc::new(FaultySnapshots { inner, faults: self.clone() })
    }

    /// The same store of artifacts, whose calls meet these faults.
    pub fn artifacts(&self, inner: Arc<dyn ArtifactStore>) -> Arc<dyn ArtifactStore> {
        Arc::new(FaultyArtifacts { inner, faults: self.clone() })
    }
}

fn half_a_page<T>(page: Page<T>) -> Page<T> {
    Page { items: half(page.items), next: page.next }
}

/// A handle of one tenant, or of an operator.
struct Faulty<P: ?Sized> {
    inner: Box<P>,
    faults: Faults,
    /// The method of pruning, where the handle prunes.
    prune: &'static str,
}

impl<P: ?Sized> Faulty<P> {
    fn new(inner: Box<P>, faults: &Faults) -> Self {
        Self::pruning(inner, faults, "")
    }

    fn pruning(inner: Box<P>, faults: &Faults, prune: &'static str) -> Self {
        Self { inner, faults: faults.clone(), prune }
    }
}

struct FaultyHealthResults {
    inner: Arc<dyn HealthResultStore>,
    faults: Faults,
}

impl HealthResultStore for FaultyHealthResults {
    fn tenant_health_results(&self, scope: &TenantScope) -> Box<dyn TenantHealthResults> {
        Box::new(Faulty::new(self.inner.tenant_health_results(scope), &self.faults))
    }

    fn operator_health_results(&self, scope: &OperatorScope) -> Box<dyn OperatorHealthResults> {
        let inner = self.inner.operator_health_results(scope);
        Box::new(Faulty::pruning(inner, &self.faults, "health_results.prune"))
    }
}

#[async_trait]
impl TenantHealthResults for Faulty<dyn TenantHealthResults> {
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()> {
        let call = Call::of("health_results.append", format!("{} results", records.len()));
        self.faults.change(call, || self.inner.append(records)).await
    }

    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>> {
        let call = Call::of("health_results.latest", service);
        let asked = self.inner.latest(environment, service, since);
        self.faults.read(call, Spoil::part(|_| None), asked).await
    }

    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>> {
        let call = Call::of("health_results.latest_of_all", format!("{environment} {after:?} {limit}"));
        let asked = self.inner.latest_of_all(environment, since, after, limit);
        self.faults.read(call, Spoil::part(half), asked).await
    }

    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>> {
        let call = Call::of("health_results.query", format!("{query:?}"));
        self.faults.read(call, Spoil::part(half_a_page), self.inner.query(query)).await
    }
}

#[async_trait]
impl Pruner for Faulty<dyn OperatorHealthResults> {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        self.faults.change(Call::of(self.prune, ""), || self.inner.prune(before, most)).await
    }
}

#[async_trait]
impl OperatorHealthResults for Faulty<dyn OperatorHealthResults> {
    async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()> {
        let call = Call::of("health_results.prepare", "");
        self.faults.change(call, || self.inner.prepare(from, until)).await
    }
}

#[async_trait]
impl Pruner for Faulty<dyn Pruner> {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        self.faults.change(Call::of(self.prune, ""), || self.inner.prune(before, most)).await
    }
}

struct FaultySnapshots {
    inner: Arc<dyn SnapshotStore>,
    faults: Faults,
}

impl SnapshotStore for FaultySnapshots {
    fn tenant_snapshots(&self, scope: &TenantScope) -> Box<dyn TenantSnapshots> {
        Box::new(Faulty::new(self.inner.tenant_snapshots(scope), &self.faults))
    }

    fn snapshot_pruner(&self, scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(Faulty::pruning(self.inner.snapshot_pruner(scope), &self.faults, "snapshots.prune"))
    }
}

#[async_trait]
impl TenantSnapshots for Faulty<dyn TenantSnapshots> {
    async fn capture(&self, subject: &Subject, at: Timestamp, body: &SnapshotBody) -> PortResult<Captured> {
        let call = Call::of("snapshots.capture", subject);
        self.faults.change(call, || self.inner.capture(subject, at, body)).await
    }

    async fn latest(&self, subject: &Subject) -> PortResult<Option<Snapshot>> {
        let call = Call::of("snapshots.latest", subject);
        self.faults.read(call, Spoil::part(|_| None), self.inner.latest(subject)).await
    }

    async fn as_of(&self, subject: &Subject, at: Timestamp) -> PortResult<Option<Snapshot>> {
        let call = Call::of("snapshots.as_of", subject);
        self.faults.read(call, Spoil::part(|_| None), self.inner.as_of(subject, at)).await
    }

    async fn list(&self, query: &SnapshotQuery) -> PortResult<Page<Snapshot>> {
        let call = Call::of("snapshots.list", format!("{query:?}"));
        self.faults.read(call, Spoil::part(half_a_page), self.inner.list(query)).await
    }
}

struct FaultyArtifacts {
    inner: Arc<dyn ArtifactStore>,
    faults: Faults,
}

impl ArtifactStore for FaultyArtifacts {
    fn tenant_artifacts(&self, scope: &TenantScope) -> Box<dyn TenantArtifacts> {
        Box::new(Faulty::new(self.inner.tenant_artifacts(scope), &self.faults))
    }

    fn artifact_pruner(&self, scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(Faulty::pruning(self.inner.artifact_pruner(scope), &self.faults, "artifacts.prune"))
    }

    fn largest_artifact(&self) -> u64 {
        self.inner.largest_artifact()
    }
}

#[async_trait]
impl TenantArtifacts for Faulty<dyn TenantArtifacts> {
    async fn begin(&self, key: &ArtifactKey, at: Timestamp) -> PortResult<Box<dyn ArtifactWriter>> {
        let call = Call::of("artifacts.begin", key);
        let begun = self.faults.change(call, || self.inner.begin(key, at)).await?;
        Ok(Box::new(Faulty::new(begun, &self.faults)))
    }

    async fn open(&self, key: &ArtifactKey) -> PortResult<Option<Box<dyn ArtifactReader>>> {
        let call = Call::of("artifacts.open", key);
        let opened = self.faults.change_once(call, self.inner.open(key)).await?;
        Ok(opened.map(|opened| Box::new(Faulty::new(opened, &self.faults)) as Box<dyn ArtifactReader>))
    }

    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
        let call = Call::of("artifacts.list", format!("{query:?}"));
        self.faults.read(call, Spoil::part(half_a_page), self.inner.list(query)).await
    }
}

#[async_trait]
impl ArtifactWriter for Faulty<dyn ArtifactWriter> {
    async fn write(&mut self, bytes: &[u8]) -> PortResult<()> {
        let call = Call::of("artifacts.write", format!("{} bytes", bytes.len()));
        self.faults.change_once(call, self.inner.write(bytes)).await
    }

    async fn finish(self: Box<Self>, expected: Option<ContentDigest>) -> PortResult<Artifact> {
        let Self { inner, faults, .. } = *self;
        faults.change_once(Call::of("artifacts.finish", ""), inner.finish(expected)).await
    }
}

#[async_trait]
impl ArtifactReader for Faulty<dyn ArtifactReader> {
    fn artifact(&self) -> &Artifact {
        self.inner.artifact()
    }

    async fn read(&mut self) -> PortResult<Option<Vec<u8>>> {
        let about = self.inner.artifact().key.to_string();
        self.faults.change_once(Call::of("artifacts.read", about), self.inner.read()).await
    }
}
