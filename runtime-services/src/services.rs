//! All services of one host, and what runs by itself behind them.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::deployments::DeploymentService;
use crate::environments::EnvironmentService;
use crate::health::HealthService;
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::reconcile::{DeploymentReconciler, EnvironmentReconciler, InventoryReconciler, TenancyReconciler};
use crate::relay::Relay;
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
    tenancy: TenancyService,
}

impl Services {
    /// The services of a host.
    pub fn new(host: Host) -> Self {
        let environments = EnvironmentService::new(host.clone());
        let deployments = DeploymentService::new(host.clone(), environments.clone());
        let inventory = InventoryService::new(host.clone(), deployments.clone());
        let health = HealthService::new(host.clone(), inventory.clone());
        let tenancy = TenancyService::new(host.clone());
        Self { host, environments, deployments, inventory, health, tenancy }
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

    /// Tenant bindings.
    pub fn tenancy(&self) -> &TenancyService {
        &self.tenancy
    }

    /// Reconciles and relays until `stop` is cancelled, then drains what is in flight and returns.
    pub async fn run(&self, stop: CancellationToken) {
        let host = self.host.clone();
        let tasks: [Arc<dyn Task>; 5] = [
            Arc::new(EnvironmentReconciler::new(host.clone(), self.deployments.clone())),
            Arc::new(DeploymentReconciler::new(host.clone())),
            Arc::new(InventoryReconciler::new(host.clone())),
            Arc::new(TenancyReconciler::new(host.clone(), self.tenancy.clone())),
            Arc::new(Relay::new(
                host.clone(),
                vec![Arc::new(self.inventory.clone()), Arc::new(self.health.clone())],
            )),
        ];
        let mut workers = JoinSet::new();
        for task in tasks {
            workers.spawn(worker::run(host.clone(), task, stop.child_token()));
        }
        workers.spawn(upkeep::run(host.clone(), stop.child_token()));
        if let Some(recorder) = self.health.recorder().cloned() {
            let stop = stop.child_token();
            workers.spawn(async move { recorder.run(stop).await });
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker ended in a panic: its leases end by themselves");
            }
        }
    }
}
