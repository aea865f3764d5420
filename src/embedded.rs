//! The whole on one machine, with nothing installed but Rust.
//!
//! A folder holds everything: the SQLite store, an encrypted vault, artifacts, an OCI layout as registry, unpacked images, workloads' logs, environments.
//! Workloads are operating-system processes behind a traffic-splitting proxy; they outlive the host and are adopted by the next
//! [`Embedded::open`]. Those of the surface `functions` may run no replica, and are started by requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use runtime_artifact_directory::ArtifactDirectory;
use runtime_directory::DirectoryEngine;
use runtime_domain::id::EnvironmentId;
use runtime_domain::metric::{MetricQuery, MetricReading};
use runtime_domain::scope::TenantScope;
use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::value::ModuleId;
use runtime_http_prober::HttpProber;
use runtime_local_vault::LocalVaultOptions;
use runtime_memory::InProcessBus;
use runtime_oci_layout::OciLayout;
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::desired_state::DesiredStateSource;
use runtime_ports::metric::MetricSource;
use runtime_ports::scaling_signals::ScalingSignals;
use runtime_ports::subscriber::Subscriber;
use runtime_ports::surface::ComputeSurface as _;
use runtime_ports::telemetry::Telemetry;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_process::ProcessSurfaceOptions;
use runtime_services::HostOptions;
use runtime_system::{SystemClock, UuidV7Generator};

use crate::runtime::{BuildError, Runtime, RuntimeBuilder};

pub use runtime_desired_state_directory::{DesiredStateDirectory, Tenants};
pub use runtime_http_prober::AllowList;
pub use runtime_local_vault::{LocalVault, SecretRotator};
pub use runtime_process::ProcessSurface;
pub use runtime_sqlite::{Durability, SqliteOptions, SqliteStore};

/// A runtime on the embedded adapters, and the adapters themselves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    runtime: Runtime,
    store: SqliteStore,
    registry: OciLayout,
    surface: Arc<ProcessSurface>,
    vault: LocalVault,
    functions: Arc<ProcessSurface>,
    bus: InProcessBus,
}

/// Why the embedded runtime could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An adapter could not be opened.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The runtime could not be put together.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Where things are and how the host behaves, before it is opened.
#[derive(Clone)]
pub struct EmbeddedOptions {
    folder: PathBuf,
    host: HostOptions,
    egress: AllowList,
    store: SqliteOptions,
    endpoint_ports: BTreeMap<ComponentKey, u16>,
    compute_group: Option<PathBuf>,
    subscribers: Vec<Arc<dyn Subscriber>>,
    vault_key: Option<PathBuf>,
    rotator: Option<Arc<dyn SecretRotator>>,
    desired_state: Option<Arc<dyn DesiredStateSource>>,
    scaling_signals: Vec<Arc<dyn ScalingSignals>>,
    telemetry: Telemetry,
}

impl std::fmt::Debug for EmbeddedOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subscribers: Vec<_> = self.subscribers.iter().map(|subscriber| subscriber.name()).collect();
        formatter
            .debug_struct("EmbeddedOptions")
            .field("folder", &self.folder)
            .field("host", &self.host)
            .field("egress", &self.egress)
            .field("store", &self.store)
            .field("endpoint_ports", &self.endpoint_ports)
            .field("compute_group", &self.compute_group)
            .field("subscribers", &subscribers)
            .field("vault_key", &self.vault_key)
            .field("rotator", &self.rotator.is_some())
            .field("desired_state", &self.desired_state.is_some())
            .finish()
    }
}

impl EmbeddedOptions {
    /// The usual options for a folder, which is created where it is missing. Probes reach this machine's loopback addresses and nothing
    /// else.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let egress = AllowList::builder().allow_loopback().build();
        Self {
            folder: folder.into(),
            host: HostOptions::default(),
            egress,
            store: SqliteOptions::default(),
            endpoint_ports: BTreeMap::new(),
            compute_group: None,
            subscribers: Vec::new(),
            vault_key: None,
            rotator: None,
            desired_state: None,
            scaling_signals: Vec::new(),
            telemetry: Telemetry::default(),
        }
    }

    /// What the host tells of itself with. Without it what is measured is kept within the process, and nothing is traced.
    #[must_use]
    pub fn telemetry(self, telemetry: Telemetry) -> Self {
        Self { telemetry, ..self }
    }

    /// How the host behaves.
    #[must_use]
    pub fn host(self, host: HostOptions) -> Self {
        Self { host, ..self }
    }

    /// Where probes may go. It must include loopback, where workloads listen.
    #[must_use]
    pub fn egress(self, egress: AllowList) -> Self {
        Self { egress, ..self }
    }

    /// How the store keeps what it is given: what a commit survives, how large it may grow.
    #[must_use]
    pub fn store(self, store: SqliteOptions) -> Self {
        Self { store, ..self }
    }

    /// Who handles events, durably: as [`RuntimeBuilder::subscriber`](crate::RuntimeBuilder::subscriber).
    #[must_use]
    pub fn subscriber(mut self, subscriber: Arc<dyn Subscriber>) -> Self {
        self.subscribers.push(subscriber);
        self
    }

    /// Where the vault's key lies, with its anchor beside it; `vault/key` in the folder without one. On another medium than the folder, a stolen
    /// folder's secrets are unreadable, and a vault that is put back to an earlier state is noticed.
    #[must_use]
    pub fn vault_key(self, key: impl Into<PathBuf>) -> Self {
        Self { vault_key: Some(key.into()), ..self }
    }

    /// What makes the next values of secrets that others must know too, such as a database's passwords. Without it the vault makes random ones.
    #[must_use]
    pub fn secret_rotator(self, rotator: Arc<dyn SecretRotator>) -> Self {
        Self { rotator: Some(rotator), ..self }
    }

    /// A source of what the surfaces cannot tell and services are scaled by, such as the length of a queue. The surfaces are asked first.
    #[must_use]
    pub fn scaling_signals(mut self, source: Arc<dyn ScalingSignals>) -> Self {
        self.scaling_signals.push(source);
        self
    }

    /// What should run, such as a [`DesiredStateDirectory`]: environments can be watched for drift from it.
    #[must_use]
    pub fn desired_state(self, source: Arc<dyn DesiredStateSource>) -> Self {
        Self { desired_state: Some(source), ..self }
    }

    /// The loopback port on which a component must be reachable. Without one a component gets a free port at first, and keeps it. Where
    /// another program has the port, deployments of the component wait for it and roll back at their progress deadline.
    #[must_use]
    pub fn endpoint_port(mut self, component: ComponentKey, port: u16) -> Self {
        self.endpoint_ports.insert(component, port);
        self
    }

    /// A control group that was delegated to the host: no instance gets more compute than its component says that it needs. As
    /// [`IsolationOptions::compute_group`](runtime_process::IsolationOptions::compute_group).
    #[must_use]
    pub fn compute_group(self, folder: impl Into<PathBuf>) -> Self {
        Self { compute_group: Some(folder.into()), ..self }
    }
}

/// The metrics of two surfaces: a component runs on one of them.
struct WhicheverHas(Arc<ProcessSurface>, Arc<ProcessSurface>);

#[async_trait]
impl MetricSource for WhicheverHas {
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading> {
        let Self(one, other) = self;
        let chosen = if other.has(&query.key) { other } else { one };
        MetricSource::read(&**chosen, query).await
    }
}

impl Embedded {
    /// Opens the runtime in a folder with the usual options, and adopts the workloads that an earlier host left.
    ///
    /// # Errors
    /// The folder is open in another process, damaged, or written by a newer version.
    pub async fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(EmbeddedOptions::new(folder.as_ref())).await
    }

    /// Opens the runtime.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub async fn open_with(options: EmbeddedOptions) -> Result<Self, OpenError> {
        let EmbeddedOptions {
            folder,
            host,
            egress,
            store,
            endpoint_ports,
            compute_group,
            subscribers,
            scaling_signals,
            desired_state,
            vault_key,
            rotator,
            telemetry,
        } = options;
        std::fs::create_dir_all(&folder).map_err(|error| {
            let message =
                format!("the folder {} cannot be created: choose one that can be written", folder.display());
            PortError::new(PortErrorKind::Invalid, "embedded.open", message).caused_by(error)
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ids: Arc<dyn IdGenerator> = Arc::new(UuidV7Generator::new());
        let store = SqliteStore::open_with(folder.join("store.db"), store)?;
        let artifacts = ArtifactDirectory::open(folder.join("artifacts"))?;
        let registry = OciLayout::create(folder.join("images"))?;
        let prober = Arc::new(HttpProber::new(egress));
        let mut vault = LocalVaultOptions::new(folder.join("vault"), clock.clone());
        vault.rotator = rotator;
        if let Some(key) = vault_key {
            vault.key = key;
        }
        let vault = LocalVault::open(vault)?;
        let mut workloads = ProcessSurfaceOptions::new(
            folder.join("workloads"),
            Arc::new(registry.clone()),
            prober.clone(),
            clock.clone(),
            ids.clone(),
        );
        workloads.endpoint_ports = endpoint_ports;
        workloads.isolation.compute_group = compute_group;
        workloads.secret_stores = BTreeMap::from([(VaultKind::Local, Arc::new(vault.clone()) as _)]);
        let mut events = workloads.clone();
        events.root = folder.join("functions");
        events.kind = SurfaceKind::Functions;
        let surface = Arc::new(ProcessSurface::open(workloads).await?);
        let functions = Arc::new(ProcessSurface::open(events).await?);
        let engine = DirectoryEngine::open(folder.join("environments"))?;
        let bus = InProcessBus::new();
        let builder = subscribers.into_iter().fold(Runtime::builder(), RuntimeBuilder::subscriber);
        let builder = scaling_signals.into_iter().fold(
            builder.scaling_signals(surface.clone()).scaling_signals(functions.clone()),
            RuntimeBuilder::scaling_signals,
        );
        let builder = desired_state.into_iter().fold(builder, RuntimeBuilder::desired_state);
        let runtime = builder
            .store(Arc::new(store.clone()))
            .health_results(Arc::new(store.clone()))
            .snapshots(Arc::new(store.clone()))
            .artifacts(Arc::new(artifacts))
            .surface(surface.clone())
            .surface(functions.clone())
            .metrics(Arc::new(WhicheverHas(surface.clone(), functions.clone())))
            .jobs(surface.clone())
            .workload_isolation(SurfaceKind::Process, surface.clone())
            .workload_isolation(SurfaceKind::Functions, functions.clone())
            .endpoint_handover(SurfaceKind::Process, surface.clone())
            .endpoint_handover(SurfaceKind::Functions, functions.clone())
            .infrastructure(Arc::new(engine.with_surfaces([SurfaceKind::Process, SurfaceKind::Functions])))
            .registry(Arc::new(registry.clone()))
            .prober(prober)
            .secret_store(Arc::new(vault.clone()))
            .publisher(Arc::new(bus.clone()))
            .clock(clock)
            .ids(ids)
            .telemetry(telemetry)
            .options(host)
            .build()?;
        Ok(Self { runtime, store, registry, surface, functions, vault, bus })
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The store, to back up and to look whether it is whole.
    pub fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// The registry, to pack images into.
    pub fn registry(&self) -> &OciLayout {
        &self.registry
    }

    /// The surface, to look at or to tear down.
    pub fn surface(&self) -> &ProcessSurface {
        &self.surface
    }

    /// The vault, for operators to put values into; secrets are bound through [`Runtime::secrets`].
    pub fn vault(&self) -> &LocalVault {
        &self.vault
    }

    /// The event-driven surface, which plays [`SurfaceKind::Functions`] with processes that requests start: its components may have no
    /// replica (SCL-2).
    pub fn functions(&self) -> &ProcessSurface {
        &self.functions
    }

    /// Where clients reach a component now, on either surface: `http://127.0.0.1:40123`; `None` where it has no endpoint.
    ///
    /// # Errors
    /// The surface could not look.
    pub async fn endpoint(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> PortResult<Option<String>> {
        let key = ComponentKey { tenant: scope.tenant(), environment, module: module.clone() };
        let surface = if self.functions.has(&key) { &self.functions } else { &self.surface };
        Ok(surface.observe(&key).await?.endpoint)
    }

    /// The bus, to observe. What must not be lost is handled by a [subscriber](EmbeddedOptions::subscriber).
    pub fn bus(&self) -> &InProcessBus {
        &self.bus
    }

    /// Ends the host's part: proxies and supervision stop, the store is closed. Workloads keep running, to be adopted by the next
    /// [`Embedded::open`]. Stop [`Runtime::run`] first.
    pub async fn close(&self) {
        tokio::join!(self.surface.shutdown(), self.functions.shutdown());
        self.vault.close().await;
        self.store.close().await;
    }
}
