//! All services of one host, and what runs by itself behind them.

use std::sync::Arc;

use runtime_ports::subscriber::Subscriber;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditService;
use crate::configuration::ConfigurationService;
use crate::deployments::DeploymentService;
use crate::environments::EnvironmentService;
use crate::health::HealthService;
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::reconcile::{
    ConfigurationReconciler, DeploymentReconciler, EnvironmentReconciler, InventoryReconciler,
    SecretReconciler, TenancyReconciler,
};
use crate::relay::{RelayService, SubscriberError};
use crate::secrets::SecretService;
use crate::tenancy::TenancyService;
use crate::upkeep;
use crate::worker::{self, Task};

/// All services of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    host: Host,
    environments: EnvironmentService,
    deployments: DeploymentService,
    inventory: InventoryService,
    health: HealthService,
    configuration: ConfigurationService,
    tenancy: TenancyService,
    secrets: SecretService,
    relay: RelayService,
    audit: AuditService,
}

impl Services {
    /// The services of a host, whose events also go to these subscribers.
    ///
    /// # Errors
    /// A subscriber's name is not one, or taken: `bus`, `inventory`, `health` and `configuration` are.
    pub fn new(host: Host, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Self, SubscriberError> {
        let environments = EnvironmentService::new(host.clone());
        let secrets = SecretService::new(host.clone(), environments.clone());
        let deployments = DeploymentService::new(host.clone(), environments.clone(), secrets.clone());
        let inventory = InventoryService::new(host.clone(), deployments.clone());
        let health = HealthService::new(host.clone(), inventory.clone());
        let configuration =
            ConfigurationService::new(host.clone(), environments.clone(), deployments.clone());
        let tenancy = TenancyService::new(host.clone());
        let contexts: [Arc<dyn Subscriber>; 3] =
            [Arc::new(inventory.clone()), Arc::new(health.clone()), Arc::new(configuration.clone())];
        let relay = RelayService::new(host.clone(), contexts.into_iter().chain(subscribers).collect())?;
        let audit = AuditService::new(host.clone());
        Ok(Self {
            host,
            audit,
            environments,
            deployments,
            inventory,
            health,
            configuration,
            tenancy,
            secrets,
            relay,
        })
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Environments.
    pub fn environments(&self) -> &EnvironmentService {
        &self.environments
    }

    /// Deployments.
    pub fn deployments(&self) -> &DeploymentService {
        &self.deployments
    }

    /// The live inventory.
    pub fn inventory(&self) -> &InventoryService {
        &self.inventory
    }

    /// Health.
    pub fn health(&self) -> &HealthService {
        &self.health
    }

    /// Configuration.
    pub fn configuration(&self) -> &ConfigurationService {
        &self.configuration
    }

    /// Tenant bindings.
    pub fn tenancy(&self) -> &TenancyService {
        &self.tenancy
    }

    /// Proof that the audit trail is what was written.
    pub fn audit(&self) -> &AuditService {
        &self.audit
    }

    /// Secret bindings.
    pub fn secrets(&self) -> &SecretService {
        &self.secrets
    }

    /// The relay: what is parked, and how it goes on.
    pub fn relay(&self) -> &RelayService {
        &self.relay
    }

    /// Reconciles and relays until `stop` is cancelled, then drains what is in flight and returns.
    pub async fn run(&self, stop: CancellationToken) {
        let host = self.host.clone();
        let tasks: [Arc<dyn Task>; 6] = [
            Arc::new(EnvironmentReconciler::new(host.clone(), self.deployments.clone())),
            Arc::new(DeploymentReconciler::new(host.clone(), self.secrets.clone())),
            Arc::new(InventoryReconciler::new(host.clone())),
            Arc::new(ConfigurationReconciler::new(host.clone(), self.configuration.clone())),
            Arc::new(TenancyReconciler::new(host.clone(), self.tenancy.clone())),
            Arc::new(SecretReconciler::new(
                host.clone(),
                self.secrets.clone(),
                self.deployments.clone(),
                self.environments.clone(),
            )),
        ];
        let mut workers = JoinSet::new();
        for task in tasks {
            workers.spawn(worker::run(host.clone(), task, host.options().concurrency, stop.child_token()));
        }
        workers.spawn(upkeep::run(host.clone(), stop.child_token()));
        if let Some(recorder) = self.health.recorder().cloned() {
            let stop = stop.child_token();
            workers.spawn(async move { recorder.run(stop).await });
        }
        let relay = self.relay.clone();
        workers.spawn(async move { relay.run(stop).await });
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker ended in a panic: its leases end by themselves");
            }
        }
    }
}
