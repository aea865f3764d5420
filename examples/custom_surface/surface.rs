//! A compute surface of one's own: replicas are tasks of this process.
//!
//! It keeps what `ComputeSurface` promises but for one thing: tasks end with their process, so a surface that is opened again has nothing to adopt.
//! Configuration is taken at the start only, and secrets are not delivered: both are refused where a release wants them, which is before
//! anything has moved.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use async_trait::async_trait;
use factory_runtime::domain::component::RevisionId;
use factory_runtime::domain::configuration::DeliveredConfiguration;
use factory_runtime::domain::id::{EnvironmentId, TenantId};
use factory_runtime::domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectId, EffectOwner, FencingToken,
    RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use factory_runtime::ports::clock::Clock;
use factory_runtime::ports::prober::HealthProber;
use factory_runtime::ports::registry::ImageRegistry;
use factory_runtime::ports::surface::{ComputeSurface, EffectContext};
use factory_runtime::ports::{PortError, PortErrorKind, PortResult};

use crate::endpoint::{Endpoint, Ready};
use crate::instance::Instance;

/// Runs replicas as tasks.
pub struct TaskSurface {
    registry: Arc<dyn ImageRegistry>,
    prober: Arc<dyn HealthProber>,
    clock: Arc<dyn Clock>,
    components: Components,
    /// One effect at a time, so that nobody sees half of one.
    effects: tokio::sync::Mutex<()>,
}

type Components = Arc<RwLock<BTreeMap<ComponentKey, Component>>>;

#[derive(Default)]
struct Component {
    revisions: BTreeMap<RevisionId, Revision>,
    endpoint: Option<Endpoint>,
    /// The greatest tokens that were seen, of owners that do not all give way to one another.
    fences: Vec<(EffectOwner, FencingToken)>,
    /// What was done, the latest last, so that an effect that others followed is known when it is repeated.
    effects: VecDeque<Effect>,
}

/// An effect, and what it was to bring about.
type Effect = (EffectId, String);

/// The most revisions of one component at once.
const CONCURRENT_REVISIONS: u16 = 8;

/// How many effects are remembered of a component.
const REMEMBERED: usize = 256;

struct Revision {
    spec: RevisionSpec,
    greeting: Arc<str>,
    wanted: u16,
    started: u64,
    /// The oldest first; those that drain stay until they have ended.
    instances: Vec<Instance>,
    is_retired: bool,
}

impl TaskSurface {
    pub fn new(
        registry: Arc<dyn ImageRegistry>,
        prober: Arc<dyn HealthProber>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let effects = tokio::sync::Mutex::new(());
        Self { registry, prober, clock, components: Components::default(), effects }
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ComponentKey, Component>> {
        let mut components = self.components.write().unwrap_or_else(PoisonError::into_inner);
        for component in components.values_mut() {
            component.forget_what_has_ended();
        }
        components
    }

    /// What the image says: its file `greeting`.
    async fn greeting(&self, spec: &RevisionSpec) -> PortResult<Arc<str>> {
        let broken = |message: &str, error: std::io::Error| {
            PortError::new(PortErrorKind::Invalid, "surface.apply", message).caused_by(error)
        };
        let folder = tempfile::tempdir().map_err(|error| broken("no temporary folder can be made", error))?;
        let bundle = self.registry.unpack(&spec.component.tuple.image, &folder.path().join("image")).await?;
        let greeting = std::fs::read_to_string(bundle.root.join("greeting"));
        Ok(greeting.map_err(|error| broken("the image has no file `greeting`: pack one", error))?.into())
    }

    /// As many replicas as are wanted: new ones are started, the newest of too many drain.
    async fn adjust(&self, key: &ComponentKey, revision: &RevisionId, wanted: u16) -> PortResult<()> {
        loop {
            let (spec, greeting, name) = {
                let mut components = self.write();
                let found = components.get_mut(key).and_then(|component| component.existing(revision));
                let found = found.ok_or_else(|| not_found("surface.scale", revision))?;
                found.wanted = wanted;
                let active = found.instances.iter().filter(|it| !it.is_draining());
                let too_many: Vec<_> = active.skip(usize::from(wanted)).collect();
                too_many.iter().for_each(|instance| instance.drain());
                if found.instances.iter().filter(|it| !it.is_draining()).count() >= usize::from(wanted) {
                    return Ok(());
                }
                found.started += 1;
                (found.spec.clone(), Arc::clone(&found.greeting), format!("{revision}-{}", found.started))
            };
            let started = Instance::start(name, &spec, greeting, Arc::clone(&self.prober)).await;
            let started = started.map_err(|error| {
                let message = "a replica could not be started: free some ports";
                PortError::new(PortErrorKind::Exhausted, "surface.apply", message).caused_by(error)
            })?;
            if let Some(found) = self.write().get_mut(key).and_then(|it| it.revisions.get_mut(revision)) {
                found.instances.push(started);
            }
        }
    }

    /// Opens the component's endpoint where it has none, and divides what comes from now on.
    async fn direct(&self, key: &ComponentKey, traffic: &Traffic) -> PortResult<()> {
        {
            let mut components = self.write();
            let component = components.entry(key.clone()).or_default();
            for named in traffic.revisions() {
                component.existing(named).ok_or_else(|| not_found("surface.shift_traffic", named))?;
            }
            if let Some(endpoint) = &component.endpoint {
                endpoint.shift(traffic.clone());
                return Ok(());
            }
        }
        let (components, own) = (Arc::clone(&self.components), key.clone());
        let ready = move || {
            let components = components.read().unwrap_or_else(PoisonError::into_inner);
            components.get(&own).map(Component::ready).unwrap_or_default()
        };
        let endpoint = Endpoint::open(traffic.clone(), ready).await.map_err(|error| {
            let message = "no endpoint could be opened: free some ports";
            PortError::new(PortErrorKind::Exhausted, "surface.shift_traffic", message).caused_by(error)
        })?;
        if let Some(component) = self.write().get_mut(key) {
            component.endpoint = Some(endpoint);
        }
        Ok(())
    }

    /// Refuses a host that was replaced, and remembers who came. `None` where the effect was done, and others have followed it.
    fn admit(
        &self,
        operation: &'static str,
        context: EffectContext,
        key: &ComponentKey,
        change: &impl Debug,
    ) -> PortResult<Option<Effect>> {
        let EffectContext { effect, fence } = context;
        let mut components = self.write();
        let component = components.entry(key.clone()).or_default();
        let own = effect.owner;
        let later = component.fences.iter().any(|(other, seen)| own.gives_way_to(*other) && *seen > fence);
        if later {
            let message = "another host has taken over: leave this component to it";
            return Err(PortError::new(PortErrorKind::Fenced, operation, message));
        }
        component.fences.retain(|(other, _)| !(own.gives_way_to(*other) && other.gives_way_to(own)));
        component.fences.push((own, fence));
        let asked = (effect, format!("{operation} {change:?}"));
        let is_past = component.effects.contains(&asked) && component.effects.back() != Some(&asked);
        Ok((!is_past).then_some(asked))
    }

    fn remember(&self, key: &ComponentKey, done: Effect) {
        if let Some(component) = self.write().get_mut(key) {
            component.effects.retain(|known| *known != done);
            component.effects.push_back(done);
            let too_many = component.effects.len().saturating_sub(REMEMBERED);
            component.effects.drain(..too_many);
        }
    }
}

impl Component {
    /// A revision that is there, and not about to go.
    fn existing(&mut self, revision: &RevisionId) -> Option<&mut Revision> {
        self.revisions.get_mut(revision).filter(|found| !found.is_retired)
    }

    /// Whether a revision is new here; an error where it cannot be brought about.
    fn is_new(&self, spec: &RevisionSpec) -> PortResult<bool> {
        let refuse = |kind, message: &str| Err(PortError::new(kind, "surface.apply", message));
        match self.revisions.get(&spec.revision) {
            Some(found) if found.spec != *spec => refuse(
                PortErrorKind::Invalid,
                "the revision exists with other content: bring it as a new one",
            ),
            Some(_) => Ok(false),
            None if self.revisions.len() >= usize::from(CONCURRENT_REVISIONS) => {
                refuse(PortErrorKind::Exhausted, "there are as many revisions as may be: retire one first")
            }
            None => Ok(true),
        }
    }

    fn forget_what_has_ended(&mut self) {
        for revision in self.revisions.values_mut() {
            revision.instances.retain(|instance| !instance.has_ended());
        }
        self.revisions.retain(|_, revision| !(revision.is_retired && revision.instances.is_empty()));
        if self.revisions.is_empty() {
            self.endpoint = None;
        }
    }

    fn ready(&self) -> Ready {
        let ready = |revision: &Revision| revision.instances.iter().filter_map(Instance::ready_at).collect();
        self.revisions.iter().map(|(id, revision)| (id.clone(), ready(revision))).collect()
    }

    fn observe(&self, key: &ComponentKey, clock: &dyn Clock) -> ComponentObservation {
        let revisions = self.revisions.iter().map(|(id, revision)| (id.clone(), revision.observe()));
        ComponentObservation {
            key: key.clone(),
            observed_at: clock.now(),
            revisions: revisions.collect(),
            traffic: self.endpoint.as_ref().map(Endpoint::traffic),
            endpoint: self.endpoint.as_ref().map(Endpoint::url),
        }
    }
}

impl Revision {
    fn observe(&self) -> RevisionObservation {
        RevisionObservation {
            image: self.spec.component.tuple.image.digest().clone(),
            wanted: self.wanted,
            instances: self.instances.iter().map(|instance| instance.observe(&self.spec)).collect(),
            trouble: None,
        }
    }
}

fn not_found(operation: &'static str, revision: &RevisionId) -> PortError {
    let message = format!("the revision {revision} does not exist: apply it first");
    PortError::new(PortErrorKind::NotFound, operation, message)
}

fn unsupported<T>(operation: &'static str, message: &str) -> PortResult<T> {
    Err(PortError::new(PortErrorKind::Unsupported, operation, message))
}

#[async_trait]
impl ComputeSurface for TaskSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            // Kinds are few; whoever has no cloud's plays the embedded default's.
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: CONCURRENT_REVISIONS,
            // Nothing is counted here, so a plan with a metric gate is refused when it is made.
            metrics_by_revision: false,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let _alone = self.effects.lock().await;
        let change = (&revision.revision, replicas);
        let Some(effect) = self.admit("surface.apply", context, &revision.key, &change)? else {
            return Ok(());
        };
        if !revision.secrets.is_empty() {
            return unsupported("surface.apply", "this surface delivers no secrets: unbind them");
        }
        let is_new = self.write().entry(revision.key.clone()).or_default().is_new(revision)?;
        if is_new {
            let greeting = self.greeting(revision).await?;
            let (spec, instances) = (revision.clone(), Vec::new());
            let new = Revision { spec, greeting, wanted: replicas, started: 0, instances, is_retired: false };
            let mut components = self.write();
            let component = components.entry(revision.key.clone()).or_default();
            component.revisions.insert(revision.revision.clone(), new);
        } else if let Some(component) = self.write().get_mut(&revision.key)
            && let Some(found) = component.revisions.get_mut(&revision.revision)
        {
            found.is_retired = false;
        }
        self.adjust(&revision.key, &revision.revision, replicas).await?;
        self.remember(&revision.key, effect);
        Ok(())
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let _alone = self.effects.lock().await;
        let change = (revision, replicas);
        let Some(effect) = self.admit("surface.scale", context, key, &change)? else { return Ok(()) };
        self.adjust(key, revision, replicas).await?;
        self.remember(key, effect);
        Ok(())
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        let _alone = self.effects.lock().await;
        let Some(effect) = self.admit("surface.shift_traffic", context, key, traffic)? else { return Ok(()) };
        self.direct(key, traffic).await?;
        self.remember(key, effect);
        Ok(())
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        let _alone = self.effects.lock().await;
        let Some(effect) = self.admit("surface.retire", context, key, revision)? else { return Ok(()) };
        if let Some(found) = self.write().get_mut(key).and_then(|it| it.revisions.get_mut(revision)) {
            found.is_retired = true;
            found.wanted = 0;
            found.instances.iter().for_each(Instance::drain);
        }
        self.remember(key, effect);
        Ok(())
    }

    async fn deliver(
        &self,
        _: EffectContext,
        _: &ComponentKey,
        _: &RevisionId,
        _: &DeliveredConfiguration,
    ) -> PortResult<()> {
        unsupported("surface.deliver", "replicas take configuration when they start: make a deployment of it")
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        let components = self.write();
        let nothing = Component::default();
        Ok(components.get(key).unwrap_or(&nothing).observe(key, &*self.clock))
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let components = self.write();
        let there = components.iter().filter(|(key, component)| {
            key.tenant == tenant && key.environment == environment && !component.revisions.is_empty()
        });
        Ok(there.map(|(key, component)| component.observe(key, &*self.clock)).collect())
    }
}
