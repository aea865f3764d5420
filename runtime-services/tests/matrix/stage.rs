//! One store, one world, one clock, and hosts that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{DeploymentId, EnvironmentId, ProjectId};
use runtime_domain::scope::TenantScope;
use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_memory::{MemoryHealthResults, MemorySnapshots, MemoryStore};
use runtime_ports::publisher::EventPublisher;
use runtime_ports::subscriber::Subscriber;
use runtime_services::environments::NewEnvironment;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_testkit::faults::Faults;
use runtime_testkit::sample;
use runtime_testkit::world::{
    Counting, MemoryEngine, MemorySurface, MemoryVault, Met, RecordingBus, Said, TokioClock,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) scope: TenantScope,
    /// What callers ask.
    caller: Services,
    environments: Mutex<BTreeMap<&'static str, EnvironmentId>>,
}

/// What hosts share.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) surface: MemorySurface,
    pub(crate) vault: MemoryVault,
    pub(crate) engine: MemoryEngine,
    pub(crate) said: Said,
    pub(crate) bus: RecordingBus,
    pub(crate) subscriber: RecordingBus,
    health_results: MemoryHealthResults,
    snapshots: MemorySnapshots,
    clock: Arc<TokioClock>,
    ids: Counting,
}

/// A host at work.
pub(crate) struct RunningHost {
    pub(crate) faults: Faults,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl RunningHost {
    /// As `kill -9`: nothing of it goes on.
    pub(crate) async fn kill(self) {
        self.work.abort();
        drop(self.work.await);
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.work.await.unwrap();
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let world = World::new(Arc::new(TokioClock::at(sample::at(1_800_000_000))));
        let caller = world.services(&Faults::none());
        Self { world, scope: sample::scope(1), caller, environments: Mutex::default() }
    }

    /// A host at work that meets these faults.
    pub(crate) fn host(&self, faults: Faults) -> RunningHost {
        let services = self.world.services(&faults);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let work = tokio::spawn(async move { services.run(stopped).await });
        RunningHost { faults, stop, work }
    }

    /// What callers ask; it does nothing by itself.
    pub(crate) fn caller(&self) -> &Services {
        &self.caller
    }

    /// Waits until something is so; false where it takes too long.
    pub(crate) async fn until(&self, patience: Duration, is_so: impl AsyncFn() -> bool) -> bool {
        let looking = async {
            while !is_so().await {
                self.rest(Duration::from_millis(250)).await;
            }
        };
        tokio::time::timeout(patience, looking).await.is_ok()
    }

    /// Lets time pass.
    pub(crate) async fn rest(&self, span: Duration) {
        tokio::time::sleep_until(tokio::time::Instant::now() + span).await;
    }

    /// A host without faults works until something is so, and a little longer.
    pub(crate) async fn work_until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let host = self.host(Faults::none());
        assert!(self.until(Duration::from_secs(600), is_so).await, "not in time: {what}");
        assert!(self.until(Duration::from_secs(600), async || self.is_quiet().await).await, "no end: {what}");
        self.rest(Duration::from_secs(3)).await;
        host.stop().await;
    }

    /// Everything that is to be published was.
    pub(crate) async fn is_quiet(&self) -> bool {
        let published = crate::end::to_be_published(self).await;
        [&self.world.bus, &self.world.subscriber].iter().all(|to| {
            let got: BTreeSet<_> = to.events().into_iter().map(|event| event.id).collect();
            got.is_superset(&published)
        })
    }

    pub(crate) fn environment(&self, name: &'static str) -> EnvironmentId {
        self.environments.lock().unwrap()[name]
    }

    /// Asks for an environment.
    pub(crate) async fn ask_for_environment(&self, name: &'static str, isolation_model: IsolationModel) {
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(sample::host(1).uuid()),
            name: Name::new(name).unwrap(),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").unwrap(),
            isolation_model,
            surfaces: BTreeSet::from([SurfaceKind::Process]),
            egress_allow_list: BTreeSet::new(),
            capacity: ResourceQuota::LARGEST,
        };
        let asked = self.caller.environments().provision(&self.scope, wanted).await.unwrap();
        self.environments.lock().unwrap().insert(name, asked.aggregate.id());
    }

    pub(crate) async fn is_provisioned(&self, name: &'static str) -> bool {
        self.caller.environments().admit(&self.scope, self.environment(name)).await.is_ok()
    }

    /// Provisions an environment.
    pub(crate) async fn provision(&self, name: &'static str, isolation_model: IsolationModel) {
        self.ask_for_environment(name, isolation_model).await;
        self.work_until("it is provisioned", async || self.is_provisioned(name).await).await;
    }

    pub(crate) async fn request(&self, environment: &'static str, release: Release) -> DeploymentId {
        let deployments = self.caller.deployments();
        let asked = deployments.request(&self.scope, self.environment(environment), release).await;
        asked.unwrap().aggregate.id()
    }

    pub(crate) async fn status(&self, deployment: DeploymentId) -> DeploymentStatus {
        self.caller.deployments().deployment(&self.scope, deployment).await.unwrap().status()
    }

    /// Provisions a silo `shop`, and rolls a release out there.
    pub(crate) async fn serving(&self, release: Release) -> DeploymentId {
        self.provision("shop", IsolationModel::Silo).await;
        self.rolled_out(release).await
    }

    /// Rolls a release out in `shop`.
    pub(crate) async fn rolled_out(&self, release: Release) -> DeploymentId {
        let asked = self.request("shop", release).await;
        self.work_until("it serves", async || {
            let status = self.status(asked).await;
            assert!(!status.is_final() || status == DeploymentStatus::Completed, "{status:?}");
            status == DeploymentStatus::Completed
        })
        .await;
        asked
    }

    pub(crate) fn key(&self, environment: &'static str, module: &str) -> ComponentKey {
        ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.environment(environment),
            module: Name::new(module).unwrap(),
        }
    }

    /// The revisions that there are of a component, each with its replicas and its image.
    pub(crate) fn running(&self, key: &ComponentKey) -> BTreeMap<RevisionId, (u16, ImageDigest)> {
        let seen = self.world.surface.everything().into_iter().find(|seen| seen.key == *key);
        let revisions = seen.into_iter().flat_map(|seen| seen.revisions);
        revisions.map(|(id, seen)| (id, (seen.wanted, seen.image))).collect()
    }

    /// Everything that the world was asked to do.
    pub(crate) fn effects(&self) -> Vec<Met> {
        [self.world.surface.effects(), self.world.vault.effects(), self.world.engine.effects()].concat()
    }

    pub(crate) fn disorder(&self) -> Option<String> {
        self.world.bus.disorder().or_else(|| self.world.subscriber.disorder())
    }
}

impl World {
    fn new(clock: Arc<TokioClock>) -> Self {
        Self {
            store: MemoryStore::new(),
            surface: MemorySurface::new(clock.clone()),
            vault: MemoryVault::new(VaultKind::Local),
            engine: MemoryEngine::new(),
            said: Said::new(clock.clone()),
            bus: RecordingBus::new("bus"),
            subscriber: RecordingBus::new("follower"),
            health_results: MemoryHealthResults::new(),
            snapshots: MemorySnapshots::new(),
            clock,
            ids: Counting::default(),
        }
    }

    fn services(&self, faults: &Faults) -> Services {
        let surface: Arc<MemorySurface> = Arc::new(self.surface.clone());
        let said = Arc::new(self.said.clone());
        let publisher: Arc<dyn EventPublisher> = Arc::new(self.bus.clone());
        let subscriber: Arc<dyn Subscriber> = Arc::new(self.subscriber.clone());
        let handover = faults.handover(surface.clone());
        let ports = Ports {
            store: faults.store(Arc::new(self.store.clone())),
            records: Records {
                health_results: Some(faults.health_results(Arc::new(self.health_results.clone()))),
                snapshots: Some(faults.snapshots(Arc::new(self.snapshots.clone()))),
                artifacts: None,
            },
            surfaces: BTreeMap::from([(SurfaceKind::Process, faults.surface(surface.clone()))]),
            infrastructure: faults.infrastructure(Arc::new(self.engine.clone())),
            tenancy: TenancyPorts {
                handover: BTreeMap::from([(SurfaceKind::Process, handover)]),
                ..TenancyPorts::default()
            },
            registry: faults.registry(said.clone()),
            desired_state: Some(faults.desired_state(said.clone())),
            prober: faults.prober(said.clone()),
            metrics: faults.metrics(said.clone()),
            scaling_signals: vec![faults.scaling_signals(said)],
            jobs: faults.jobs(surface),
            secret_stores: BTreeMap::from([(
                VaultKind::Local,
                faults.secret_store(Arc::new(self.vault.clone())),
            )]),
            publisher: faults.publisher(publisher),
            clock: faults.clock(self.clock.clone()),
            ids: Arc::new(self.ids.clone()),
        };
        let mut options = HostOptions::default();
        options.lease = Span::from_secs(5);
        options.inventory_poll = Span::from_secs(2);
        Services::new(Host::new(ports, options), vec![faults.subscriber(subscriber)]).unwrap()
    }
}
