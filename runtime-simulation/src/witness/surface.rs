//! A surface that tells when it was asked to change something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, RevisionSpec, SurfaceCapabilities, Traffic,
};
use runtime_ports::PortResult;
use runtime_ports::surface::{ComputeSurface, EffectContext};

/// How often a surface was asked to change something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A change under way. It has ended where this is dropped: whoever asked for it may be gone before it is done.
struct Change<'c>(&'c Counts);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Changes {
    /// The same surface, watched.
    pub(crate) fn over(&self, inner: Arc<dyn ComputeSurface>) -> Arc<dyn ComputeSurface> {
        Arc::new(WatchedSurface { inner, changes: self.clone() })
    }

    /// How many changes have ended, and whether one is under way.
    pub(crate) fn ended(&self) -> (u64, bool) {
        let (begun, ended) = (self.0.begun.load(Ordering::Relaxed), self.0.ended.load(Ordering::Relaxed));
        (ended, begun > ended)
    }

    fn begin(&self) -> Change<'_> {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Change(&self.0)
    }
}

struct WatchedSurface {
    inner: Arc<dyn ComputeSurface>,
    changes: Changes,
}

#[async_trait]
impl ComputeSurface for WatchedSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let _change = self.changes.begin();
        self.inner.apply(context, revision, replicas).await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let _change = self.changes.begin();
        self.inner.scale(context, key, revision, replicas).await
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        let _change = self.changes.begin();
        self.inner.shift_traffic(context, key, traffic).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        let _change = self.changes.begin();
        self.inner.retire(context, key, revision).await
    }

    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        let _change = self.changes.begin();
        self.inner.deliver(context, key, revision, configuration).await
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        self.inner.observe(key).await
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        self.inner.list(tenant, environment).await
    }
}
