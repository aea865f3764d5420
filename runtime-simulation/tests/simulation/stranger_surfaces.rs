//! Surfaces of strangers, over the world's.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, InstanceState, RevisionSpec, SurfaceCapabilities, Traffic,
};
use runtime_ports::PortResult;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_simulation::World;
use runtime_testkit::world::MemorySurface;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SurfaceBug {
    /// It takes the old route away, and then makes the new one.
    RoutesInTwoSteps,
    /// It takes an instance for ready that has been started.
    ReadyWhenStarted,
    /// It forgets to ask whose.
    ListsEverybodys,
    /// It tries until it succeeds, and never waits in between.
    TriesWithoutEnd,
}

pub(crate) struct StrangerSurface {
    inner: MemorySurface,
    bug: SurfaceBug,
    without_route: Mutex<BTreeSet<ComponentKey>>,
}

impl StrangerSurface {
    pub(crate) fn new(world: &World, bug: SurfaceBug) -> Self {
        Self { inner: world.surface.clone(), bug, without_route: Mutex::default() }
    }

    fn shown(&self, mut seen: ComponentObservation) -> ComponentObservation {
        if self.without_route.lock().unwrap().contains(&seen.key) {
            seen.traffic = None;
        }
        if self.bug == SurfaceBug::ReadyWhenStarted {
            let instances = seen.revisions.values_mut().flat_map(|revision| &mut revision.instances);
            instances.for_each(|instance| instance.state = InstanceState::Ready);
        }
        seen
    }
}

#[async_trait]
impl ComputeSurface for StrangerSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        if self.bug == SurfaceBug::TriesWithoutEnd {
            loop {
                tokio::task::yield_now().await;
            }
        }
        self.inner.apply(context, revision, replicas).await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        self.inner.scale(context, key, revision, replicas).await
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        if self.bug == SurfaceBug::RoutesInTwoSteps {
            self.without_route.lock().unwrap().insert(key.clone());
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.without_route.lock().unwrap().remove(key);
        }
        self.inner.shift_traffic(context, key, traffic).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        self.inner.retire(context, key, revision).await
    }

    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        self.inner.deliver(context, key, revision, configuration).await
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        Ok(self.shown(self.inner.observe(key).await?))
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let all = match self.bug {
            SurfaceBug::ListsEverybodys => self.inner.everything(),
            _ => self.inner.list(tenant, environment).await?,
        };
        Ok(all.into_iter().map(|seen| self.shown(seen)).collect())
    }
}
