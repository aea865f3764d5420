//! A world in memory: two hosts, a surface that shows what was done to it, and time that is driven.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use runtime_domain::component::{ConfigurationVersionRef, ImageDigest, RevisionId};
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::deployment::Release;
use runtime_domain::drift::watch::{DriftWatch, Outlook, WatchTerms};
use runtime_domain::drift::{Authoritative, DriftKind, RemediationMode, RuntimeDriftFinding};
use runtime_domain::environment::{
    ComputeTarget, EnvironmentStage, IsolationModel, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{AggregateKind, ConfigurationId, DeploymentId, EnvironmentId, ProjectId, TenantId};
use runtime_domain::scope::{Actor, OperatorScope, TenantScope};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, FencingToken, InstanceObservation, InstanceState,
    RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::Clock as _;
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::manifest::ReleaseManifest;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, Lease, LeaseRequest,
    LeaseTopic, OperatorStore, Page, Query, Store, StoredAggregate, TenantStore,
};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;

use crate::environments::NewEnvironment;
use crate::host::{Host, HostOptions, Ports};
use crate::reconcile::{DeploymentReconciler, DriftReconciler, EnvironmentReconciler};
use crate::records::Records;
use crate::services::Services;
use crate::testing::DrivenClock;
use crate::worker::{PassError, Passed, Task};

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn digest(number: u8) -> ImageDigest {
    ImageDigest::new(&format!("sha256:{number:064x}")).unwrap()
}

/// A store whose commits are counted.
#[derive(Clone)]
struct CountedStore {
    memory: MemoryStore,
    commits: Arc<AtomicU64>,
}

struct CountedTenantStore {
    inner: Box<dyn TenantStore>,
    commits: Arc<AtomicU64>,
}

#[async_trait]
impl Store for CountedStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        let commits = Arc::clone(&self.commits);
        Box::new(CountedTenantStore { inner: self.memory.for_tenant(scope), commits })
    }
    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.memory.for_operator(scope)
    }
    async fn check(&self) -> PortResult<()> {
        self.memory.check().await
    }
}

#[async_trait]
impl TenantStore for CountedTenantStore {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }
    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.inner.commit(commit).await
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

/// What is on a surface. Instances are ready as soon as they are wanted.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) components: BTreeMap<ComponentKey, Shown>,
    /// Every effect that changed something, in order.
    pub(super) done: Vec<String>,
    /// How many effects from now on are refused for good.
    pub(super) refuses: u32,
    /// Whether nothing can be seen.
    pub(super) is_dark: bool,
}

#[derive(Default, Clone)]
pub(super) struct Shown {
    pub(super) revisions: BTreeMap<RevisionId, (RevisionSpec, u16)>,
    pub(super) traffic: Option<Traffic>,
    fence: u64,
}

/// A surface that a host reaches.
struct StageSurface {
    stage: Arc<Mutex<Stage>>,
    clock: DrivenClock,
}

fn refused(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "surface.perform", "the test wants it so")
}

impl Stage {
    pub(super) fn perform(
        &mut self,
        key: &ComponentKey,
        fence: FencingToken,
        what: String,
        change: impl FnOnce(&mut Shown) -> PortResult<bool>,
    ) -> PortResult<()> {
        let shown = self.components.entry(key.clone()).or_default();
        if shown.fence > fence.0 {
            return Err(refused(PortErrorKind::Fenced));
        }
        shown.fence = fence.0;
        if self.refuses > 0 {
            self.refuses -= 1;
            return Err(refused(PortErrorKind::Invalid));
        }
        if change(shown)? {
            self.done.push(what);
        }
        Ok(())
    }
}

#[async_trait]
impl ComputeSurface for StageSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, context: EffectContext, spec: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let what = format!("apply {} {replicas}", spec.revision);
        lock(&self.stage).perform(&spec.key, context.fence, what, |shown| {
            let before = shown.revisions.insert(spec.revision.clone(), (spec.clone(), replicas));
            Ok(before.is_none_or(|(_, wanted)| wanted != replicas))
        })
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let what = format!("scale {revision} {replicas}");
        lock(&self.stage).perform(key, context.fence, what, |shown| {
            let found = shown.revisions.get_mut(revision);
            let (_, wanted) = found.ok_or_else(|| refused(PortErrorKind::NotFound))?;
            Ok(std::mem::replace(wanted, replicas) != replicas)
        })
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        lock(&self.stage).perform(key, context.fence, format!("shift {traffic:?}"), |shown| {
            if !traffic.revisions().into_iter().all(|it| shown.revisions.contains_key(it)) {
                return Err(refused(PortErrorKind::NotFound));
            }
            Ok(shown.traffic.replace(traffic.clone()).as_ref() != Some(traffic))
        })
    }

    async fn deliver(
        &self,
        _context: EffectContext,
        _key: &ComponentKey,
        _revision: &RevisionId,
        _configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        Err(refused(PortErrorKind::Unsupported))
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        lock(&self.stage).perform(key, context.fence, format!("retire {revision}"), |shown| {
            let routed = shown.traffic.as_ref().is_some_and(|it| it.revisions().contains(&revision));
            if routed {
                shown.traffic = None;
            }
            Ok(shown.revisions.remove(revision).is_some())
        })
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        let stage = lock(&self.stage);
        if stage.is_dark {
            return Err(refused(PortErrorKind::Unavailable));
        }
        let shown = stage.components.get(key).cloned().unwrap_or_default();
        Ok(seen(key, &shown, self.clock.now()))
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let stage = lock(&self.stage);
        if stage.is_dark {
            return Err(refused(PortErrorKind::Unavailable));
        }
        let there = stage.components.iter().filter(|(key, shown)| {
            (key.tenant, key.environment) == (tenant, environment) && !shown.revisions.is_empty()
        });
        Ok(there.map(|(key, shown)| seen(key, shown, self.clock.now())).collect())
    }
}

fn seen(key: &ComponentKey, shown: &Shown, now: Timestamp) -> ComponentObservation {
    let revisions = shown.revisions.iter().map(|(revision, (spec, wanted))| {
        let instances = (0..*wanted).map(|number| InstanceObservation {
            name: format!("{revision}-{number}"),
            state: InstanceState::Ready,
            restarts: 0,
            address: None,
            configuration: None::<ConfigurationVersionRef>,
            secrets: Default::default(),
        });
        let observation = RevisionObservation {
            image: spec.component.tuple.image.digest().clone(),
            wanted: *wanted,
            instances: instances.collect(),
            trouble: None,
        };
        (revision.clone(), observation)
    });
    ComponentObservation {
        key: key.clone(),
        observed_at: now,
        revisions: revisions.collect(),
        traffic: shown.traffic.clone(),
        endpoint: None,
    }
}

/// What Git says, by the test's word.
struct Said(Word);

/// The commit, and what it says; or why it cannot be read.
type Word = Arc<Mutex<PortResult<(u8, Arc<DesiredReleases>)>>>;

#[async_trait]
impl DesiredStateSource for Said {
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>> {
        let (commit, releases) = lock(&self.0).clone()?;
        let revision = format!("git:{commit:040x}").parse().unwrap();
        Ok(Authoritative::from_revision(revision, place.tenant, place.environment, releases))
    }
}

/// One host.
pub(super) struct OneHost {
    pub(super) host: Host,
    pub(super) services: Services,
}

/// Everything, with two hosts on one store and one surface.
pub(super) struct World {
    pub(super) clock: DrivenClock,
    pub(super) stage: Arc<Mutex<Stage>>,
    pub(super) one: OneHost,
    pub(super) other: OneHost,
    pub(super) scope: TenantScope,
    pub(super) environment: EnvironmentId,
    commits: Arc<AtomicU64>,
    said: Word,
}

/// A release with these components: name, image, replicas, the variable `GREETING`.
pub(super) fn release(components: &[(&str, u8, u16, &str)]) -> ReleaseManifest {
    let components: serde_json::Map<_, _> = components
        .iter()
        .map(|(name, image, replicas, greeting)| {
            let component = serde_json::json!({
                "image": format!("shop/{name}@{}", digest(*image)), "version": "1", "replicas": replicas,
                "variables": {"GREETING": greeting},
            });
            ((*name).to_owned(), component)
        })
        .collect();
    let manifest = serde_json::json!({
        "release": "shop-1", "strategy": {"rolling-health-gated": {}}, "components": components,
    });
    serde_json::from_value(manifest).unwrap()
}

impl World {
    /// `web` 1 with three replicas is desired, and serves; everything is repaired.
    pub(super) async fn new() -> Self {
        let clock = DrivenClock::at(sample::at(1_800_000_000));
        let (stage, commits) = (Arc::<Mutex<Stage>>::default(), Arc::<AtomicU64>::default());
        let said = Arc::new(Mutex::new(Err(refused(PortErrorKind::Unavailable))));
        let memory = MemoryStore::new();
        let host = || one_host(&memory, &clock, &stage, &commits, &said);
        let (one, other) = (host(), host());
        let actor = Actor::new("ann").unwrap();
        let scope = TenantScope::authenticated(sample::tenant(1), actor, one.host.new_correlation());
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(one.host.ports().ids.next()),
            name: Name::new("shop").unwrap(),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").unwrap(),
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environment = one.services.environments().provision(&scope, wanted).await.unwrap().aggregate.id();
        let world = Self { clock, stage, one, other, scope, environment, commits, said };
        let engine = world.task_environment(&world.one);
        world.turn(&world.one, &*engine).await;
        world.says(1, release(&[("web", 1, 3, "hello")]));
        world.watch(RemediationMode::Remediate).await;
        world.settles().await;
        assert_eq!(world.open().await.len(), 0);
        world
    }

    pub(super) async fn watch(&self, mode: RemediationMode) {
        let mut terms = WatchTerms::new("shop".parse().unwrap());
        terms.remediation.modes = DriftKind::ALL.map(|kind| (kind, mode)).into();
        self.one.services.drift().watch(&self.scope, self.environment, terms).await.unwrap();
    }

    pub(super) fn says(&self, commit: u8, release: ReleaseManifest) {
        let releases = DesiredReleases::new([("shop.yaml".to_owned(), release)].into()).unwrap();
        *lock(&self.said) = Ok((commit, Arc::new(releases)));
    }

    /// Publishes a configuration that nobody runs yet.
    pub(super) async fn publishes(&self, greeting: &str) -> ConfigurationId {
        let entries = serde_json::json!([
            { "scope": "environment", "key": "greeting", "value": { "type": "text", "value": greeting } },
        ]);
        let entries = serde_json::from_value(entries).unwrap();
        let published = self.one.services.configuration().publish(&self.scope, self.environment, entries);
        published.await.unwrap().aggregate.id()
    }

    /// Deploys a release that carries a configuration.
    pub(super) async fn deploys_carrying(&self, manifest: ReleaseManifest, carried: ConfigurationId) {
        let images = manifest.images().into_iter();
        let images = images.map(|(_, image)| (image.clone(), image.clone().try_into().unwrap())).collect();
        let release = Release { configuration_id: Some(carried), ..manifest.release(&images).unwrap() };
        let deployments = self.one.services.deployments();
        deployments.request(&self.scope, self.environment, release).await.unwrap();
        self.deploys().await;
    }

    /// The configuration that a component's newest revision was started with.
    pub(super) fn configuration(&self, module: &str) -> Option<ConfigurationId> {
        let stage = lock(&self.stage);
        let shown = stage.components.get(&self.key(module))?;
        let traffic = shown.traffic.as_ref()?;
        let (spec, _) = shown.revisions.get(traffic.revisions().into_iter().next()?)?;
        spec.component.tuple.configuration.as_ref().map(|named| named.configuration)
    }

    pub(super) fn says_nothing(&self, commit: u8) {
        *lock(&self.said) = Ok((commit, Arc::new(DesiredReleases::default())));
    }

    pub(super) fn cannot_be_read(&self) {
        *lock(&self.said) = Err(refused(PortErrorKind::Unavailable));
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    pub(super) fn key(&self, module: &str) -> ComponentKey {
        ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.environment,
            module: Name::new(module).unwrap(),
        }
    }

    /// What of a component serves: its image, and how many replicas are kept.
    pub(super) fn serving(&self, module: &str) -> Option<(ImageDigest, u16)> {
        let stage = lock(&self.stage);
        let shown = stage.components.get(&self.key(module))?;
        let traffic = shown.traffic.clone()?;
        let revision = traffic.revisions().into_iter().next()?.clone();
        let (spec, wanted) = shown.revisions.get(&revision)?;
        Some((spec.component.tuple.image.digest().clone(), *wanted))
    }

    /// Changes how many replicas are kept, behind the runtime's back.
    pub(super) fn scale_by_hand(&self, module: &str, replicas: u16) {
        let mut stage = lock(&self.stage);
        let shown = stage.components.get_mut(&self.key(module)).unwrap();
        shown.revisions.values_mut().for_each(|(_, wanted)| *wanted = replicas);
    }

    /// Starts a component that nothing desires, behind the runtime's back, of the same content as another.
    pub(super) fn start_by_hand(&self, module: &str, like: &str) {
        let mut stage = lock(&self.stage);
        let mut shown = stage.components.get(&self.key(like)).unwrap().clone();
        let name = Name::new(module).unwrap();
        let revision =
            RevisionId::new(name.clone(), DeploymentId::from_uuid(self.one.host.ports().ids.next()));
        let (mut spec, wanted) = shown.revisions.values().next().unwrap().clone();
        spec.key = self.key(module);
        spec.revision = revision.clone();
        spec.component.module = name;
        shown.fence = 0;
        shown.revisions = [(revision.clone(), (spec, wanted))].into();
        shown.traffic = Some(Traffic::all_to(revision));
        stage.components.insert(self.key(module), shown);
    }

    /// Runs another image in place of the one that serves, behind the runtime's back.
    pub(super) fn replace_by_hand(&self, module: &str, image: u8) {
        let mut stage = lock(&self.stage);
        let shown = stage.components.get_mut(&self.key(module)).unwrap();
        for (spec, _) in shown.revisions.values_mut() {
            let reference = spec.component.tuple.image.reference().to_string();
            let repository = reference.split('@').next().unwrap();
            let reference = format!("{repository}@{}", digest(image));
            let reference = runtime_domain::component::ImageReference::new(&reference).unwrap();
            spec.component.tuple.image = reference.try_into().unwrap();
        }
    }

    pub(super) async fn open(&self) -> Vec<RuntimeDriftFinding> {
        self.one.services.drift().open_findings(&self.scope, self.environment).await.unwrap()
    }

    pub(super) async fn findings(&self) -> Vec<RuntimeDriftFinding> {
        let all = Query::all(AggregateKind::RuntimeDriftFinding).limited_to(1_000);
        let page = self.one.services.drift().findings(&self.scope, all).await.unwrap();
        page.items.into_iter().map(|loaded| loaded.aggregate).collect()
    }

    pub(super) async fn watched(&self) -> DriftWatch {
        self.one.services.drift().watched(&self.scope, self.environment).await.unwrap()
    }

    pub(super) async fn outlook(&self) -> Outlook {
        self.watched().await.outlook().unwrap().clone()
    }

    pub(super) async fn deployments(&self) -> usize {
        let all = Query::all(AggregateKind::RuntimeDeployment).limited_to(1_000);
        self.one.services.deployments().deployments(&self.scope, all).await.unwrap().items.len()
    }

    fn task_environment(&self, on: &OneHost) -> Arc<dyn Task> {
        let (deployments, tenancy) = (on.services.deployments().clone(), on.services.tenancy().clone());
        let secrets = on.services.secrets().clone();
        Arc::new(EnvironmentReconciler::new(on.host.clone(), deployments, tenancy, secrets))
    }

    fn task_deployment(&self, on: &OneHost) -> Arc<dyn Task> {
        Arc::new(DeploymentReconciler::new(on.host.clone(), on.services.secrets().clone()))
    }

    fn task_drift(&self, on: &OneHost) -> Arc<dyn Task> {
        Arc::new(DriftReconciler::new(on.host.clone(), on.services.drift().clone()))
    }

    async fn take(&self, on: &OneHost, task: &dyn Task) -> Vec<Lease> {
        let store = on.host.ports().store.for_operator(&on.host.operator(task.name()));
        let now = on.host.now();
        let request = LeaseRequest {
            topic: LeaseTopic::Work,
            kinds: task.kinds().to_vec(),
            host: on.host.id(),
            now,
            until: on.host.options().lease.after(now),
            limit: 16,
        };
        store.take_leases(&request).await.unwrap()
    }

    async fn give_back(&self, on: &OneHost, lease: &Lease, passed: Result<Passed, PassError>) {
        let store = on.host.ports().store.for_operator(&on.host.operator("test"));
        match passed {
            Ok(Passed::Until { seen, at }) => store.defer_lease(lease, seen, at).await.unwrap(),
            Ok(Passed::AsStored) => store.release_lease(lease).await.unwrap(),
            Err(PassError::LeaseLost) => {}
            Err(error) => panic!("a pass failed: {error}"),
        }
    }

    /// Does what is due, as a worker would.
    async fn turn(&self, on: &OneHost, task: &dyn Task) {
        for lease in self.take(on, task).await {
            let passed = task.pass(&lease).await;
            self.give_back(on, &lease, passed).await;
        }
    }

    /// One pass of the drift reconciler, at the time when it is due.
    pub(super) async fn pass(&self, on: &OneHost) {
        self.clock.advance(Span::from_secs(16));
        self.turn(on, &*self.task_drift(on)).await;
    }

    /// Passes until nothing is to be done any more, deployments included; time goes on meanwhile.
    pub(super) async fn settles_on(&self, on: &OneHost) {
        let (mut commits, mut quiet) = (self.commits(), 0);
        // Longer than a repair that failed once or twice waits to be tried again.
        for _ in 0..300 {
            if quiet == 5 {
                return;
            }
            self.pass(on).await;
            self.turn(on, &*self.task_deployment(on)).await;
            quiet = if self.commits() == commits { quiet + 1 } else { 0 };
            commits = self.commits();
        }
        panic!("something is done for ever");
    }

    pub(super) async fn settles(&self) {
        self.settles_on(&self.one).await;
    }

    /// Only deployments.
    pub(super) async fn deploys(&self) {
        for _ in 0..4 {
            self.clock.advance(Span::from_secs(1));
            self.turn(&self.one, &*self.task_deployment(&self.one)).await;
        }
    }
}

fn one_host(
    memory: &MemoryStore,
    clock: &DrivenClock,
    stage: &Arc<Mutex<Stage>>,
    commits: &Arc<AtomicU64>,
    said: &Word,
) -> OneHost {
    let surface: Arc<dyn ComputeSurface> =
        Arc::new(StageSurface { stage: Arc::clone(stage), clock: clock.clone() });
    let mut engine = MockInfrastructureEngine::new();
    engine.expect_up().returning(|_, blueprint| {
        Ok(ProvisionedResources {
            stack_ref: "test".to_owned(),
            compute_targets: blueprint
                .surfaces
                .iter()
                .map(|surface| ComputeTarget { surface: *surface, resource_ids: Vec::new() })
                .collect(),
            network_boundary: NetworkBoundary::default(),
            outputs: BTreeMap::new(),
        })
    });
    let ports = Ports {
        store: Arc::new(CountedStore { memory: memory.clone(), commits: Arc::clone(commits) }),
        records: Records::default(),
        surfaces: [(SurfaceKind::Process, surface)].into(),
        infrastructure: Arc::new(engine),
        tenancy: Default::default(),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: Some(Arc::new(Said(Arc::clone(said)))),
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(clock.clone()),
        ids: Arc::new(UuidV7Generator::default()),
    };
    let host = Host::new(ports, HostOptions::default());
    let services = Services::new(host.clone(), Vec::new()).unwrap();
    OneHost { host, services }
}
