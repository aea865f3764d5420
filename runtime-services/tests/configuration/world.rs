//! A surface on paper.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, FencingToken, InstanceObservation, InstanceState,
    RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use runtime_ports::clock::Clock as _;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_system::SystemClock;

/// A surface on paper: what is applied is ready at once, and what is delivered runs at once. All hosts work on the same paper.
#[derive(Clone, Default)]
pub(crate) struct PaperSurface {
    paper: Arc<Mutex<Paper>>,
}

#[derive(Default)]
struct Paper {
    components: BTreeMap<ComponentKey, PaperComponent>,
    /// The versions that each revision was given in place.
    given: BTreeMap<RevisionId, Vec<u32>>,
    failing: Option<String>,
    failures: usize,
    is_blind: bool,
    blind_looks: usize,
}

#[derive(Default)]
struct PaperComponent {
    revisions: BTreeMap<RevisionId, (RevisionSpec, u16, Option<DeliveredConfiguration>)>,
    traffic: Option<Traffic>,
    delivery_fence: FencingToken,
}

impl PaperSurface {
    pub(crate) fn given(&self) -> BTreeMap<RevisionId, Vec<u32>> {
        self.paper.lock().unwrap().given.clone()
    }

    pub(crate) fn fail_deliveries_of(&self, module: &str, fails: bool) {
        self.paper.lock().unwrap().failing = fails.then(|| module.to_owned());
    }

    pub(crate) fn failures(&self) -> usize {
        self.paper.lock().unwrap().failures
    }

    pub(crate) fn blind(&self, is_blind: bool) {
        self.paper.lock().unwrap().is_blind = is_blind;
    }

    pub(crate) fn blind_looks(&self) -> usize {
        self.paper.lock().unwrap().blind_looks
    }

    fn with<T>(&self, key: &ComponentKey, change: impl FnOnce(&mut PaperComponent) -> T) -> T {
        change(self.paper.lock().unwrap().components.entry(key.clone()).or_default())
    }

    fn deliver_now(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        let mut paper = self.paper.lock().unwrap();
        if paper.failing.as_deref() == Some(key.module.as_str()) {
            paper.failures += 1;
            return Err(PortError::new(PortErrorKind::Unavailable, "surface.deliver", "out of paper"));
        }
        let Some(component) = paper.components.get_mut(key) else { panic!("{key} is not there") };
        if component.delivery_fence > context.fence {
            return Err(PortError::new(PortErrorKind::Fenced, "surface.deliver", "another host took over"));
        }
        component.delivery_fence = context.fence;
        let Some((_, _, given)) = component.revisions.get_mut(revision) else { panic!("no {revision}") };
        if given.as_ref().is_none_or(|given| given.version() < configuration.version()) {
            *given = Some(configuration.clone());
            paper.given.entry(revision.clone()).or_default().push(configuration.version().get());
        }
        Ok(())
    }
}

#[async_trait]
impl ComputeSurface for PaperSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }
    async fn apply(&self, _: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let given = revision.configuration.clone();
        self.with(&revision.key, |component| {
            let entry = component.revisions.entry(revision.revision.clone());
            entry.or_insert_with(|| (revision.clone(), replicas, given)).1 = replicas;
        });
        Ok(())
    }
    async fn scale(
        &self,
        _: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        self.with(key, |component| component.revisions.get_mut(revision).unwrap().1 = replicas);
        Ok(())
    }
    async fn shift_traffic(&self, _: EffectContext, key: &ComponentKey, to: &Traffic) -> PortResult<()> {
        self.with(key, |component| component.traffic = Some(to.clone()));
        Ok(())
    }
    async fn retire(&self, _: EffectContext, key: &ComponentKey, revision: &RevisionId) -> PortResult<()> {
        self.with(key, |component| component.revisions.remove(revision));
        Ok(())
    }
    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        self.deliver_now(context, key, revision, configuration)
    }
    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        Ok(self.with(key, |component| component.shown(key)))
    }
    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let mut paper = self.paper.lock().unwrap();
        if paper.is_blind {
            paper.blind_looks += 1;
            return Err(PortError::new(PortErrorKind::Unavailable, "surface.list", "it is dark"));
        }
        let there =
            paper.components.iter().filter(|(key, _)| (key.tenant, key.environment) == (tenant, environment));
        Ok(there.map(|(key, component)| component.shown(key)).collect())
    }
}

impl PaperComponent {
    fn shown(&self, key: &ComponentKey) -> ComponentObservation {
        let revisions = self.revisions.iter().map(|(id, (spec, replicas, given))| {
            let instance = |number| InstanceObservation {
                name: format!("{id}-{number}"),
                state: InstanceState::Ready,
                restarts: 0,
                address: None,
                configuration: given.as_ref().map(DeliveredConfiguration::to_version_ref),
                secrets: Default::default(),
            };
            let shown = RevisionObservation {
                image: spec.component.tuple.image.digest().clone(),
                wanted: *replicas,
                instances: (0..*replicas).map(instance).collect(),
                trouble: None,
            };
            (id.clone(), shown)
        });
        ComponentObservation {
            key: key.clone(),
            observed_at: SystemClock::new().now(),
            revisions: revisions.collect(),
            traffic: self.traffic.clone(),
            endpoint: None,
        }
    }
}
