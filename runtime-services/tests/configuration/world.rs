//! A surface on paper, and what kills hosts.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{AggregateKind, EnvironmentId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, FencingToken, InstanceObservation, InstanceState,
    RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use runtime_memory::MemoryStore;
use runtime_ports::clock::Clock as _;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, OperatorStore, Page, Query,
    Store, StoredAggregate, TenantStore,
};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_system::SystemClock;

/// Where a host is stopped, as if its process were: the whole thread, so that it does not even renew its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// Before the delivery of this number is done.
    BeforeEffect(usize),
    /// After it was done, and before that is known.
    AfterEffect(usize),
    /// After the commit of this number, of a configuration, and before that is known.
    AfterCommit(usize),
}

/// Stops one host at one point until it is let go.
#[derive(Debug, Default)]
pub(crate) struct Guillotine {
    point: Option<Point>,
    counts: Mutex<(usize, usize)>,
    fallen: Mutex<bool>,
    released: Mutex<bool>,
    release: Condvar,
}

impl Guillotine {
    pub(crate) fn at(point: Point) -> Self {
        Self { point: Some(point), ..Self::default() }
    }

    pub(crate) fn has_fallen(&self) -> bool {
        *self.fallen.lock().unwrap()
    }

    pub(crate) fn let_go(&self) {
        *self.released.lock().unwrap() = true;
        self.release.notify_all();
    }

    fn pass(&self, point: Point) {
        if self.point == Some(point) {
            *self.fallen.lock().unwrap() = true;
            let released = self.released.lock().unwrap();
            drop(self.release.wait_while(released, |released| !*released).unwrap());
        }
    }

    fn next_effect(&self) -> usize {
        let mut counts = self.counts.lock().unwrap();
        counts.0 += 1;
        counts.0
    }

    fn next_commit(&self) -> usize {
        let mut counts = self.counts.lock().unwrap();
        counts.1 += 1;
        counts.1
    }
}

/// The memory's store, as one host sees it.
#[derive(Clone)]
pub(crate) struct HostStore {
    pub(crate) memory: MemoryStore,
    pub(crate) guillotine: Arc<Guillotine>,
}

struct HostTenantStore {
    inner: Box<dyn TenantStore>,
    guillotine: Arc<Guillotine>,
}

#[async_trait]
impl Store for HostStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(HostTenantStore {
            inner: self.memory.for_tenant(scope),
            guillotine: Arc::clone(&self.guillotine),
        })
    }
    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.memory.for_operator(scope)
    }
    async fn check(&self) -> PortResult<()> {
        self.memory.check().await
    }
}

#[async_trait]
impl TenantStore for HostTenantStore {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }
    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let is_of_configuration =
            commit.writes.iter().any(|write| write.key.kind == AggregateKind::RuntimeConfiguration);
        let committed = self.inner.commit(commit).await;
        if is_of_configuration && committed.is_ok() {
            self.guillotine.pass(Point::AfterCommit(self.guillotine.next_commit()));
        }
        committed
    }
    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.inner.load(key).await
    }
    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.inner.query(query).await
    }
    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.inner.is_handled(entry).await
    }
    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.inner.history(key, after, limit).await
    }
}

/// A surface on paper: what is applied is ready at once, and what is delivered runs at once. All hosts work on the same paper.
#[derive(Clone, Default)]
pub(crate) struct PaperSurface {
    paper: Arc<Mutex<Paper>>,
    pub(crate) guillotine: Arc<Guillotine>,
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
    pub(crate) fn of_host(&self, guillotine: Arc<Guillotine>) -> Self {
        Self { paper: Arc::clone(&self.paper), guillotine }
    }

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
        let number = self.guillotine.next_effect();
        self.guillotine.pass(Point::BeforeEffect(number));
        let done = self.deliver_now(context, key, revision, configuration);
        self.guillotine.pass(Point::AfterEffect(number));
        done
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
