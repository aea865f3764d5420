//! All services of one host, and what runs by itself behind them.

use std::sync::Arc;

use runtime_ports::subscriber::Subscriber;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditService;
use crate::configuration::ConfigurationService;
use crate::context::Context;
use crate::deployments::DeploymentService;
use crate::drift::DriftService;
use crate::environments::EnvironmentService;
use crate::health::HealthService;
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::promotion::PromotionService;
use crate::reconcile::{
    ConfigurationReconciler, DeploymentReconciler, DriftReconciler, EnvironmentReconciler,
    InventoryReconciler, ScalingReconciler, SecretReconciler, TenancyReconciler,
};
use crate::relay::{RelayService, SubscriberError};
use crate::scaling::{PolicyRestoration, ReplicaOwnership, ScalingService, activation};
use crate::secrets::SecretService;
use crate::tenancy::TenancyService;
use crate::upkeep;
use crate::vitals::{self, Liveness, Readiness};
use crate::worker::{self, Task};

/// All services of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    host: Host,
    offered: Offered,
    environments: EnvironmentService,
    deployments: DeploymentService,
    inventory: InventoryService,
    health: HealthService,
    configuration: ConfigurationService,
    tenancy: TenancyService,
    drift: DriftService,
    scaling: ScalingService,
    secrets: SecretService,
    promotion: PromotionService,
    relay: RelayService,
    audit: AuditService,
}

/// The services as callers get them, who are refused what the host does not run. Beneath, contexts ask one another whatever it runs.
#[derive(Debug, Clone)]
struct Offered {
    environments: EnvironmentService,
    deployments: DeploymentService,
    inventory: InventoryService,
    health: HealthService,
    configuration: ConfigurationService,
    tenancy: TenancyService,
    drift: DriftService,
    scaling: ScalingService,
    secrets: SecretService,
}

impl Services {
    /// The services of a host, whose events also go to these subscribers.
    ///
    /// # Errors
    /// A subscriber's name is not one, or taken: the host's own are.
    pub fn new(host: Host, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Self, SubscriberError> {
        let environments = EnvironmentService::new(host.clone());
        let secrets = SecretService::new(host.clone(), environments.clone());
        let ownership = ReplicaOwnership::new(host.clone());
        let deployments =
            DeploymentService::new(host.clone(), environments.clone(), secrets.clone(), ownership);
        let inventory = InventoryService::new(host.clone(), deployments.clone());
        let health = HealthService::new(host.clone(), inventory.clone());
        let configuration =
            ConfigurationService::new(host.clone(), environments.clone(), deployments.clone());
        let tenancy = TenancyService::new(host.clone());
        let scaling =
            ScalingService::new(host.clone(), environments.clone(), deployments.clone(), health.clone());
        let restoration = PolicyRestoration::new(host.clone(), scaling.clone());
        let contexts: [Arc<dyn Subscriber>; 3] =
            [Arc::new(inventory.clone()), Arc::new(configuration.clone()), Arc::new(restoration)];
        let relay = RelayService::new(host.clone(), contexts.into_iter().chain(subscribers).collect())?;
        let drift =
            DriftService::new(host.clone(), environments.clone(), deployments.clone(), inventory.clone());
        let offered = Offered {
            environments: environments.for_callers(),
            deployments: deployments.for_callers(),
            inventory: inventory.for_callers(),
            health: health.for_callers(),
            configuration: configuration.for_callers(),
            tenancy: tenancy.for_callers(),
            drift: drift.for_callers(),
            scaling: scaling.for_callers(),
            secrets: secrets.for_callers(),
        };
        let promotion =
            PromotionService::new(host.clone(), environments.clone(), offered.deployments.clone());
        let audit = AuditService::new(host.clone());
        Ok(Self {
            host,
            offered,
            audit,
            deployments,
            environments,
            inventory,
            health,
            configuration,
            tenancy,
            scaling,
            drift,
            secrets,
            promotion,
            relay,
        })
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Environments.
    pub fn environments(&self) -> &EnvironmentService {
        &self.offered.environments
    }

    /// Deployments.
    pub fn deployments(&self) -> &DeploymentService {
        &self.offered.deployments
    }

    /// The live inventory.
    pub fn inventory(&self) -> &InventoryService {
        &self.offered.inventory
    }

    /// Health.
    pub fn health(&self) -> &HealthService {
        &self.offered.health
    }

    /// Configuration.
    pub fn configuration(&self) -> &ConfigurationService {
        &self.offered.configuration
    }

    /// Tenant bindings.
    pub fn tenancy(&self) -> &TenancyService {
        &self.offered.tenancy
    }

    /// Promotion from environment to environment.
    pub fn promotion(&self) -> &PromotionService {
        &self.promotion
    }

    /// Proof that the audit trail is what was written.
    pub fn audit(&self) -> &AuditService {
        &self.audit
    }

    /// Secret bindings.
    pub fn secrets(&self) -> &SecretService {
        &self.offered.secrets
    }

    /// Scaling policies.
    pub fn scaling(&self) -> &ScalingService {
        &self.offered.scaling
    }

    /// Drift: what is watched, found and repaired.
    pub fn drift(&self) -> &DriftService {
        &self.offered.drift
    }

    /// The relay: what is parked, and how it goes on.
    pub fn relay(&self) -> &RelayService {
        &self.relay
    }

    /// Whether the store and the bus can be used now. Answers within seconds, whatever they do.
    pub async fn readiness(&self) -> Readiness {
        vitals::readiness(&self.host).await
    }

    /// Whether all that runs by itself goes on. Before it is [run](Self::run), nothing is missed.
    pub fn liveness(&self) -> Liveness {
        vitals::liveness(&self.host)
    }

    /// Reconciles and relays until `stop` is cancelled, then drains what is in flight and returns.
    pub async fn run(&self, stop: CancellationToken) {
        let host = self.host.clone();
        let tasks = self.tasks();
        let scales = host.runs(&[Context::Scaling]);
        let sources = if scales { host.ports().scaling_signals.clone() } else { Vec::new() };
        let mut workers = JoinSet::new();
        for source in sources {
            let listening =
                activation::listen(host.clone(), self.scaling.clone(), source, stop.child_token());
            workers.spawn(listening);
        }
        for task in tasks {
            let name = task.name();
            let work = worker::run(host.clone(), task, stop.child_token());
            workers.spawn(watched(&host, name, &stop, work));
        }
        let work = upkeep::run(host.clone(), stop.child_token());
        workers.spawn(watched(&host, "upkeep", &stop, work));
        if let Some(recorder) = self.health.recorder().cloned() {
            let told = stop.child_token();
            let work = async move { recorder.run(told).await };
            workers.spawn(watched(&host, "health results", &stop, work));
        }
        let relay = self.relay.clone();
        let told = stop.clone();
        let work = async move { relay.run(told).await };
        workers.spawn(watched(&host, "relay", &stop, work));
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker ended in a panic: its leases end by themselves");
            }
        }
    }

    /// What reconciles the contexts that the host runs.
    fn tasks(&self) -> Vec<Arc<dyn Task>> {
        let host = &self.host;
        let mut tasks: Vec<Arc<dyn Task>> = Vec::new();
        let (deployments, tenancy) = (&self.deployments, &self.tenancy);
        if host.runs(&[Context::Environment]) {
            let (host, secrets) = (host.clone(), self.secrets.clone());
            let task = EnvironmentReconciler::new(host, deployments.clone(), tenancy.clone(), secrets);
            tasks.push(Arc::new(task));
        }
        if host.runs(&[Context::Deployment]) {
            tasks.push(Arc::new(DeploymentReconciler::new(host.clone(), self.secrets.clone())));
        }
        if host.runs(&[Context::Inventory, Context::Health]) {
            tasks.push(Arc::new(InventoryReconciler::new(host.clone(), self.health.clone())));
        }
        if host.runs(&[Context::Configuration]) {
            tasks.push(Arc::new(ConfigurationReconciler::new(host.clone(), self.configuration.clone())));
        }
        if host.runs(&[Context::Tenancy]) {
            let inventory = self.inventory.clone();
            let task = TenancyReconciler::new(host.clone(), tenancy.clone(), deployments.clone(), inventory);
            tasks.push(Arc::new(task));
        }
        if host.runs(&[Context::Secrets]) {
            let (secrets, environments) = (self.secrets.clone(), self.environments.clone());
            let task = SecretReconciler::new(host.clone(), secrets, deployments.clone(), environments);
            tasks.push(Arc::new(task));
        }
        if host.runs(&[Context::Drift]) {
            tasks.push(Arc::new(DriftReconciler::new(host.clone(), self.drift.clone())));
        }
        if host.runs(&[Context::Scaling]) && !host.ports().scaling_signals.is_empty() {
            tasks.push(Arc::new(ScalingReconciler::new(host.clone(), self.scaling.clone())));
        }
        tasks
    }
}

/// A worker whose end is noticed.
fn watched(
    host: &Host,
    name: &'static str,
    stop: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let (vitals, stop) = (host.vitals().clone(), stop.clone());
    async move { vitals.watch(name, stop, work).await }
}
