//! A store, a host on it, and how much processor time they take.

use std::collections::BTreeMap;
use std::sync::Arc;

use postgres_server::Server;
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::environment::{
    ComputeTarget, EnvironmentStage, IsolationModel, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{DeploymentId, EnvironmentId, ProjectId};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryHealthResults, MemorySnapshots, MemoryStore};
use runtime_ports::clock::IdGenerator as _;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::manifest::ReleaseManifest;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::Store;
use runtime_ports::surface::ComputeSurface;
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};
use runtime_services::environments::NewEnvironment;
use runtime_services::{Host, HostOptions, Ports, Records, Services};
use runtime_sqlite::SqliteStore;
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::MovableClock;
use crate::surface::Surface;
use crate::template::module;

/// Among how many tenants everything is spread.
pub(crate) const TENANTS: u64 = 20;

/// Microseconds of processor time for each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) host: f64,
    pub(crate) server: f64,
}

/// A store, and the time.
pub(crate) struct Stage {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) records: Records,
    pub(crate) clock: Arc<MovableClock>,
    server: Option<Server>,
    _folder: TempDir,
}

impl Stage {
    /// An empty store.
    pub(crate) async fn open(store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        match store {
            "memory" => {
                let records = Records {
                    health_results: Some(Arc::new(MemoryHealthResults::new())),
                    snapshots: Some(Arc::new(MemorySnapshots::new())),
                    artifacts: None,
                };
                Self::of(Arc::new(MemoryStore::new()), records, None, folder)
            }
            "sqlite" => {
                let store = Arc::new(SqliteStore::open(folder.path().join("store.db")).unwrap());
                let records = Records {
                    health_results: Some(Arc::<SqliteStore>::clone(&store)),
                    snapshots: Some(Arc::<SqliteStore>::clone(&store)),
                    artifacts: None,
                };
                Self::of(store, records, None, folder)
            }
            "postgres" => {
                let server = Server::start_with(&["fsync=on", "shared_buffers=256MB", "max_wal_size=4GB"]);
                let database = server.database(None);
                let owner = PostgresOptions::new(&server.address("owner", &database)).unwrap();
                migrate(&owner, "host").await.unwrap();
                let options = PostgresOptions::new(&server.address("host", &database)).unwrap();
                let store = Arc::new(PostgresStore::open(options).await.unwrap());
                let records = Records {
                    health_results: Some(Arc::<PostgresStore>::clone(&store)),
                    snapshots: Some(Arc::<PostgresStore>::clone(&store)),
                    artifacts: None,
                };
                Self::of(store, records, Some(server), folder)
            }
            other => panic!("`{other}` is no store: choose memory, sqlite or postgres"),
        }
    }

    fn of(store: Arc<dyn Store>, records: Records, server: Option<Server>, folder: TempDir) -> Self {
        Self { store, records, clock: Arc::default(), server, _folder: folder }
    }

    /// A host's services on the store.
    pub(crate) fn services(&self, surface: Arc<Surface>, options: HostOptions) -> Services {
        let mut engine = MockInfrastructureEngine::new();
        engine.expect_refresh().returning(|_| Ok(Vec::new()));
        engine.expect_up().returning(|_, blueprint| {
            let targets = blueprint.surfaces.iter();
            Ok(ProvisionedResources {
                stack_ref: "bench".to_owned(),
                compute_targets: targets
                    .map(|surface| ComputeTarget { surface: *surface, resource_ids: Vec::new() })
                    .collect(),
                network_boundary: NetworkBoundary::default(),
                outputs: BTreeMap::new(),
            })
        });
        let mut registry = MockImageRegistry::new();
        registry.expect_resolve().returning(|reference| Ok(reference.clone().try_into().unwrap()));
        let surface: Arc<dyn ComputeSurface> = surface;
        let ports = Ports {
            store: Arc::clone(&self.store),
            records: self.records.clone(),
            surfaces: [(SurfaceKind::Process, surface)].into(),
            infrastructure: Arc::new(engine),
            tenancy: Default::default(),
            registry: Arc::new(registry),
            desired_state: None,
            prober: Arc::new(MockHealthProber::new()),
            metrics: Arc::new(MockMetricSource::new()),
            scaling_signals: Vec::new(),
            jobs: Arc::new(MockJobRunner::new()),
            secret_stores: BTreeMap::new(),
            publisher: Arc::new(InProcessBus::new()),
            clock: Arc::<MovableClock>::clone(&self.clock),
            ids: Arc::new(UuidV7Generator::default()),
        };
        Services::new(Host::new(ports, options), Vec::new()).unwrap()
    }

    /// Begins to count processor time.
    pub(crate) fn measure(&self) -> Measured<'_> {
        Measured { stage: self, host: own(), server: self.of_server() }
    }

    fn of_server(&self) -> u64 {
        self.server.as_ref().map_or(0, |server| {
            let processes = server.processes().into_iter();
            processes.map(|process| taken(&format!("/proc/{process}/schedstat"))).sum()
        })
    }
}

/// The processor time of a task, in nanoseconds; none where it is gone.
fn taken(path: &str) -> u64 {
    let told = std::fs::read_to_string(path).unwrap_or_default();
    told.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// The processor time of this process, in nanoseconds, with the threads that have ended.
fn own() -> u64 {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(taken.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(taken.tv_nsec).unwrap()
}

/// How much memory this process has.
pub(crate) fn resident_mebibytes() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// Processor time since a moment.
pub(crate) struct Measured<'s> {
    stage: &'s Stage,
    host: u64,
    server: u64,
}

impl Measured<'_> {
    /// What was taken for each of so many.
    #[expect(clippy::cast_precision_loss, reason = "microseconds as people read them")]
    pub(crate) fn each(&self, count: u64) -> Cost {
        let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / 1e3 / count as f64;
        Cost { host: each(own(), self.host), server: each(self.stage.of_server(), self.server) }
    }
}

/// Tenants whose environments take deployments.
pub(crate) struct Tenants {
    environments: Vec<EnvironmentId>,
    requested: Mutex<BTreeMap<u64, DeploymentId>>,
}

impl Tenants {
    pub(crate) async fn admitted(services: &Services) -> Self {
        let stop = CancellationToken::new();
        let (_, environments) = tokio::join!(services.run(stop.clone()), async {
            let mut environments = Vec::new();
            for tenant in 0..TENANTS {
                environments.push(provisioned(services, tenant).await);
            }
            stop.cancel();
            environments
        });
        Self { environments, requested: Mutex::default() }
    }

    /// Requests a release of one component.
    pub(crate) async fn request(&self, services: &Services, number: u64) {
        let tenant = number % TENANTS;
        let manifest: ReleaseManifest = serde_json::from_value(serde_json::json!({
            "release": format!("{}-1", module(number)),
            "strategy": {"rolling-health-gated": {}},
            // All are asked for at once, and wait for one another: that is no fault of theirs.
            "limits": {"progress_deadline": "4h", "rollback_deadline": "4h", "crash_limit": 3},
            "components": {module(number).as_str(): {
                "image": format!("shop/{}@sha256:{:064x}", module(number), 1), "version": "1", "replicas": 2,
            }},
        }))
        .unwrap();
        let release = services.deployments().resolve(&manifest).await.unwrap();
        let environment = self.environments[usize::try_from(tenant).unwrap()];
        let done =
            services.deployments().request(&sample::scope(tenant), environment, release).await.unwrap();
        self.requested.lock().await.insert(number, done.aggregate.id());
    }

    pub(crate) async fn deployment(&self, services: &Services, number: u64) -> RuntimeDeployment {
        let id = self.requested.lock().await[&number];
        services.deployments().deployment(&sample::scope(number % TENANTS), id).await.unwrap()
    }

    pub(crate) async fn until_completed(&self, services: &Services, number: u64) {
        loop {
            let status = self.deployment(services, number).await.status();
            if status == DeploymentStatus::Completed {
                return;
            }
            assert!(!status.is_final(), "the rollout of component {number} came to {status:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

async fn provisioned(services: &Services, tenant: u64) -> EnvironmentId {
    let scope = sample::scope(tenant);
    let wanted = NewEnvironment {
        project_id: ProjectId::from_uuid(UuidV7Generator::default().next()),
        name: Name::new("bench").unwrap(),
        stage: EnvironmentStage::Dev,
        region: Name::new("local").unwrap(),
        isolation_model: IsolationModel::Silo,
        surfaces: [SurfaceKind::Process].into(),
        egress_allow_list: [].into(),
        capacity: ResourceQuota::LARGEST,
    };
    let environment = services.environments().provision(&scope, wanted).await.unwrap().aggregate.id();
    while services.environments().admit(&scope, environment).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    environment
}
