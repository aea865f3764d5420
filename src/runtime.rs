//! The runtime of one host: its services, and what runs by itself behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use runtime_domain::id::TenantId;
use runtime_domain::scope::{Actor, TenantScope};
use runtime_domain::surface::SurfaceKind;
use runtime_ports::artifacts::ArtifactStore;
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::desired_state::DesiredStateSource;
use runtime_ports::handover::EndpointHandover;
use runtime_ports::health_results::HealthResultStore;
use runtime_ports::infrastructure::InfrastructureEngine;
use runtime_ports::isolation::WorkloadIsolation;
use runtime_ports::job::JobRunner;
use runtime_ports::metric::MetricSource;
use runtime_ports::prober::HealthProber;
use runtime_ports::publisher::EventPublisher;
use runtime_ports::registry::ImageRegistry;
use runtime_ports::scaling_signals::ScalingSignals;
use runtime_ports::secret_store::SecretStore;
use runtime_ports::snapshots::SnapshotStore;
use runtime_ports::store::Store;
use runtime_ports::subscriber::Subscriber;
use runtime_ports::surface::ComputeSurface;
use runtime_ports::telemetry::Telemetry;
use runtime_services::audit::AuditService;
use runtime_services::configuration::ConfigurationService;
use runtime_services::deployments::DeploymentService;
use runtime_services::drift::DriftService;
use runtime_services::environments::EnvironmentService;
use runtime_services::health::HealthService;
use runtime_services::inventory::InventoryService;
use runtime_services::promotion::PromotionService;
use runtime_services::relay::{RelayService, SubscriberError};
use runtime_services::scaling::ScalingService;
use runtime_services::secrets::SecretService;
use runtime_services::tenancy::TenancyService;
use runtime_services::{
    Context, Host, HostOptions, Liveness, Ports, Readiness, Records, Services, TenancyPorts,
};
use runtime_system::{SystemClock, UuidV7Generator};
use tokio_util::sync::CancellationToken;

use crate::absent::Absent;
use crate::running::Running;

/// The runtime of one host. Cheap to clone; every clone is the same host.
#[derive(Debug, Clone)]
pub struct Runtime {
    services: Arc<Services>,
}

impl Runtime {
    /// Chooses adapters.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// Environments: provision, preview, decommission.
    pub fn environments(&self) -> &EnvironmentService {
        self.services.environments()
    }

    /// Deployments: request, approve, pause, promote, abort, roll back.
    pub fn deployments(&self) -> &DeploymentService {
        self.services.deployments()
    }

    /// The live inventory.
    pub fn inventory(&self) -> &InventoryService {
        self.services.inventory()
    }

    /// Health of what runs.
    pub fn health(&self) -> &HealthService {
        self.services.health()
    }

    /// Configuration: publish, synchronise, who runs which.
    pub fn configuration(&self) -> &ConfigurationService {
        self.services.configuration()
    }

    /// Promotion: what serves in one environment comes to the next, as it is.
    pub fn promotion(&self) -> &PromotionService {
        self.services.promotion()
    }

    /// Tenant bindings: bind, cordon, move to a silo, release.
    pub fn tenancy(&self) -> &TenancyService {
        self.services.tenancy()
    }

    /// Audits: whether the trail of who changed what is as it was written.
    pub fn audit(&self) -> &AuditService {
        self.services.audit()
    }

    /// Secret bindings: bind, rotate, abort, unbind.
    pub fn secrets(&self) -> &SecretService {
        self.services.secrets()
    }

    /// Scaling policies: apply, preview, suspend, explain.
    pub fn scaling(&self) -> &ScalingService {
        self.services.scaling()
    }

    /// Drift: watch environments, findings, exceptions, comparisons.
    pub fn drift(&self) -> &DriftService {
        self.services.drift()
    }

    /// The relay: which streams of events are parked and why, and how they go on.
    pub fn relay(&self) -> &RelayService {
        self.services.relay()
    }

    /// All of it as one value, for what serves it over a wire.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The host: its identity, ports and options.
    pub fn host(&self) -> &Host {
        self.services.host()
    }

    /// The scope of a caller whom this host has authenticated as `actor` of `tenant`, at the beginning of a chain of work of its own. Call it
    /// where credentials were verified and nowhere else; [`TenantScope::authenticated`] continues a chain that came with the request.
    pub fn authenticated(&self, tenant: TenantId, actor: Actor) -> TenantScope {
        TenantScope::authenticated(tenant, actor, self.host().new_correlation())
    }

    /// The contexts that this host runs; what is commanded of the others is refused.
    pub fn contexts(&self) -> &BTreeSet<Context> {
        self.host().contexts()
    }

    /// Reconciles and relays in the background, as [`Runtime::run`] does, until it is [stopped](Running::stop) or dropped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime, as everything that spawns.
    pub fn start(&self) -> Running {
        Running::begin(self.clone())
    }

    /// Reconciles and relays until `shutdown` is ready, then drains: work in flight ends, and what cannot end within
    /// [`HostOptions::drain`] is handed back for another host. Workloads keep running.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let stop = CancellationToken::new();
        let workers = self.services.run(stop.clone());
        tokio::pin!(workers);
        tokio::pin!(shutdown);
        tokio::select! {
            () = &mut workers => {}
            () = &mut shutdown => {
                stop.cancel();
                workers.await;
            }
        }
    }

    /// Whether the store and the bus can be used now: whether the host should be sent requests. Answers within seconds, whatever
    /// they do.
    pub async fn readiness(&self) -> Readiness {
        self.services.readiness().await
    }

    /// Whether all that runs by itself goes on: where it does not, the host should be started again. Before it is
    /// [run](Self::run), nothing is missed.
    pub fn liveness(&self) -> Liveness {
        self.services.liveness()
    }
}

/// Chooses the adapters of a host, and which [contexts](Context) it runs: all nine unless it is said otherwise. What the contexts cannot do
/// without must be chosen, as [`RuntimeBuilder::build`] says; what else is left out refuses what is asked of it, by name. Clock and identifiers are the
/// system's unless they are set.
#[derive(Default)]
pub struct RuntimeBuilder {
    contexts: Option<BTreeSet<Context>>,
    store: Option<Arc<dyn Store>>,
    records: Records,
    surfaces: Vec<Arc<dyn ComputeSurface>>,
    infrastructure: Option<Arc<dyn InfrastructureEngine>>,
    tenancy: TenancyPorts,
    registry: Option<Arc<dyn ImageRegistry>>,
    desired_state: Option<Arc<dyn DesiredStateSource>>,
    prober: Option<Arc<dyn HealthProber>>,
    metrics: Option<Arc<dyn MetricSource>>,
    scaling_signals: Vec<Arc<dyn ScalingSignals>>,
    jobs: Option<Arc<dyn JobRunner>>,
    secret_stores: Vec<Arc<dyn SecretStore>>,
    publisher: Option<Arc<dyn EventPublisher>>,
    clock: Option<Arc<dyn Clock>>,
    ids: Option<Arc<dyn IdGenerator>>,
    subscribers: Vec<Arc<dyn Subscriber>>,
    telemetry: Telemetry,
    options: HostOptions,
}

impl std::fmt::Debug for RuntimeBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RuntimeBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Why a runtime could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A port has no adapter.
    #[error("no adapter was chosen for {port}: call `RuntimeBuilder::{method}`{}", instead(*needed_by))]
    Missing {
        /// The context that cannot do without it; `None` where no host can.
        needed_by: Option<Context>,
        /// The port, in words.
        port: &'static str,
        /// The builder's method.
        method: &'static str,
    },
    /// Two surfaces are of one kind.
    #[error("two surfaces are of kind `{kind}`: give one of each")]
    TwoSurfaces {
        /// The kind.
        kind: SurfaceKind,
    },
    /// Two vaults are of one kind.
    #[error("two vaults are of kind {kind:?}: give one of each")]
    TwoVaults {
        /// The kind.
        kind: runtime_domain::secrets::VaultKind,
    },
    /// A subscriber was refused.
    #[error(transparent)]
    Subscriber(#[from] SubscriberError),
}

fn instead(needed_by: Option<Context>) -> String {
    needed_by
        .map(|context| {
            format!(", or let another host run the context `{context}` (`RuntimeBuilder::contexts`)")
        })
        .unwrap_or_default()
}

impl RuntimeBuilder {
    /// Which contexts this host runs. It reconciles what they decide and takes commands for them; what is commanded of the others is refused, for
    /// hosts of the same store that run them.
    #[must_use]
    pub fn contexts(mut self, contexts: impl IntoIterator<Item = Context>) -> Self {
        self.contexts = Some(contexts.into_iter().collect());
        self
    }

    /// Where state is kept.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where every health evaluation is kept for a time, for those who look back. Without it none is.
    #[must_use]
    pub fn health_results(mut self, store: Arc<dyn HealthResultStore>) -> Self {
        self.records.health_results = Some(store);
        self
    }

    /// Where what surfaces show is kept for a time. Without it only the inventory's present record is.
    #[must_use]
    pub fn snapshots(mut self, store: Arc<dyn SnapshotStore>) -> Self {
        self.records.snapshots = Some(store);
        self
    }

    /// Where step logs, plans and evidence are kept for a time. Without it none are.
    #[must_use]
    pub fn artifacts(mut self, store: Arc<dyn ArtifactStore>) -> Self {
        self.records.artifacts = Some(store);
        self
    }

    /// Where workloads run; one of each kind.
    #[must_use]
    pub fn surface(mut self, surface: Arc<dyn ComputeSurface>) -> Self {
        self.surfaces.push(surface);
        self
    }

    /// What creates environments. Only a host that runs [`Context::Environment`] needs it.
    #[must_use]
    pub fn infrastructure(mut self, engine: Arc<dyn InfrastructureEngine>) -> Self {
        self.infrastructure = Some(engine);
        self
    }

    /// What hands endpoints of a surface's components over, so that tenants can be moved. Without it none of them can be.
    #[must_use]
    pub fn endpoint_handover(mut self, surface: SurfaceKind, handover: Arc<dyn EndpointHandover>) -> Self {
        self.tenancy.handover.insert(surface, handover);
        self
    }

    /// What tells how tenants are kept apart on a surface. Without it nothing is said of that.
    #[must_use]
    pub fn workload_isolation(mut self, surface: SurfaceKind, isolation: Arc<dyn WorkloadIsolation>) -> Self {
        self.tenancy.isolation.insert(surface, isolation);
        self
    }

    /// Where images come from. Only a host that runs [`Context::Deployment`] or [`Context::Drift`] needs it.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn ImageRegistry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// What should run, by the word of an authority. Without it nothing is watched for drift.
    #[must_use]
    pub fn desired_state(mut self, source: Arc<dyn DesiredStateSource>) -> Self {
        self.desired_state = Some(source);
        self
    }

    /// What asks workloads over HTTP. Only a host that runs [`Context::Inventory`] or [`Context::Health`] needs it; probes that rollouts wait for fail without it.
    #[must_use]
    pub fn prober(mut self, prober: Arc<dyn HealthProber>) -> Self {
        self.prober = Some(prober);
        self
    }

    /// What the traffic shows. Without it gates that judge by metrics measure nothing, and fail.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<dyn MetricSource>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// What services are scaled by. Each question goes to the first source that can answer it, in the order given; without a source no
    /// policy is applied on this host.
    #[must_use]
    pub fn scaling_signals(mut self, source: Arc<dyn ScalingSignals>) -> Self {
        self.scaling_signals.push(source);
        self
    }

    /// What runs jobs. Without it gates that wait for a job fail.
    #[must_use]
    pub fn jobs(mut self, jobs: Arc<dyn JobRunner>) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// A vault; one of each kind. Without any, no secret can be bound. The surfaces must be given the same, to deliver from it.
    #[must_use]
    pub fn secret_store(mut self, vault: Arc<dyn SecretStore>) -> Self {
        self.secret_stores.push(vault);
        self
    }

    /// Where events go. Without it they go to subscribers only.
    #[must_use]
    pub fn publisher(mut self, publisher: Arc<dyn EventPublisher>) -> Self {
        self.publisher = Some(publisher);
        self
    }

    /// Who handles events within this host, durably: each receives every event that is committed from now on, over restarts. See
    /// [`runtime_services::relay`].
    #[must_use]
    pub fn subscriber(mut self, subscriber: Arc<dyn Subscriber>) -> Self {
        self.subscribers.push(subscriber);
        self
    }

    /// What tells the time, for tests and simulation.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// What makes identifiers, for tests and simulation.
    #[must_use]
    pub fn ids(mut self, ids: Arc<dyn IdGenerator>) -> Self {
        self.ids = Some(ids);
        self
    }

    /// What the host tells of itself with. Without it what is measured is kept within the process (`host().telemetry()`), and nothing is
    /// traced.
    #[must_use]
    pub fn telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// How the host behaves.
    #[must_use]
    pub fn options(mut self, options: HostOptions) -> Self {
        self.options = options;
        self
    }

    /// The runtime.
    ///
    /// # Errors
    /// A port without an adapter, by name: the store or a surface, the infrastructure engine, the registry or the prober where a context needs it;
    /// two surfaces or vaults of one kind; a subscriber whose name is not one or taken.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let contexts = self.contexts.unwrap_or_else(|| Context::ALL.into());
        let needs = |these: &[Context]| these.iter().copied().find(|context| contexts.contains(context));
        let mut surfaces: BTreeMap<_, Arc<dyn ComputeSurface>> = BTreeMap::new();
        for surface in self.surfaces {
            let kind = surface.capabilities().kind;
            if surfaces.insert(kind, surface).is_some() {
                return Err(BuildError::TwoSurfaces { kind });
            }
        }
        if surfaces.is_empty() {
            return Err(BuildError::Missing {
                needed_by: None,
                port: "a compute surface",
                method: "surface",
            });
        }
        let mut secret_stores: BTreeMap<_, Arc<dyn SecretStore>> = BTreeMap::new();
        for vault in self.secret_stores {
            let kind = vault.kind();
            if secret_stores.insert(kind, vault).is_some() {
                return Err(BuildError::TwoVaults { kind });
            }
        }
        let ports = Ports {
            store: self.store.ok_or(BuildError::Missing {
                needed_by: None,
                port: "the store",
                method: "store",
            })?,
            records: self.records,
            surfaces,
            infrastructure: chosen(self.infrastructure, needs(&[Context::Environment]), || {
                ("the infrastructure engine", "infrastructure", Arc::new(Absent))
            })?,
            tenancy: self.tenancy,
            registry: chosen(self.registry, needs(&[Context::Deployment, Context::Drift]), || {
                ("the image registry", "registry", Arc::new(Absent))
            })?,
            desired_state: self.desired_state,
            prober: chosen(self.prober, needs(&[Context::Inventory, Context::Health]), || {
                ("the health prober", "prober", Arc::new(Absent))
            })?,
            metrics: self.metrics.unwrap_or_else(|| Arc::new(Absent)),
            scaling_signals: self.scaling_signals,
            jobs: self.jobs.unwrap_or_else(|| Arc::new(Absent)),
            secret_stores,
            publisher: self.publisher.unwrap_or_else(|| Arc::new(Absent)),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            ids: self.ids.unwrap_or_else(|| Arc::new(UuidV7Generator::new())),
        };
        let host = Host::observed(ports, self.options, contexts, self.telemetry);
        let services = Services::new(host, self.subscribers)?;
        Ok(Runtime { services: Arc::new(services) })
    }
}

/// What was chosen, or else what refuses, unless a context needs more than that.
fn chosen<P>(
    port: Option<P>,
    needed_by: Option<Context>,
    absent: impl FnOnce() -> (&'static str, &'static str, P),
) -> Result<P, BuildError> {
    match (port, needed_by) {
        (Some(port), _) => Ok(port),
        (None, None) => Ok(absent().2),
        (None, Some(_)) => {
            let (port, method, _) = absent();
            Err(BuildError::Missing { needed_by, port, method })
        }
    }
}
