//! What a product is made of: what runs, and what should and was not seen yet.

use std::collections::BTreeMap;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::health::ServiceHealth;
use runtime_domain::id::{AggregateKind, EnvironmentId, ServiceId};
use runtime_domain::inventory::{RuntimeService, RuntimeStatus};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, Query, Repository};

use crate::health::HealthService;

/// How many of the last deployments are looked through for components that have no record yet. Older ones have theirs.
const RECENT: u32 = 100;

impl HealthService {
    /// Every component of an environment, and how it is. One that was deployed, or is being, and has no record yet is Unknown: what is
    /// missing is not well.
    pub(super) async fn children(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<BTreeMap<ModuleId, ServiceHealth>, LoadError> {
        // Deployments are looked at first: whatever completes after that look has its service, or the look found it in flight.
        let counts = |status: &DeploymentStatus| *status == DeploymentStatus::Completed || !status.is_final();
        let names: Vec<&str> =
            DeploymentStatus::ALL.into_iter().filter(counts).map(|status| status.name()).collect();
        let query = Query::all(AggregateKind::RuntimeDeployment)
            .in_environment(environment)
            .with_status(&names)
            .limited_to(RECENT);
        let recent = self.inventory.deployments().deployments(scope, query).await?;
        let mut children = BTreeMap::new();
        for service in self.inventory.services(scope, environment).await? {
            children.insert(service.module_id().clone(), self.known(scope, &service).await?);
        }
        let store = self.host.ports().store.for_tenant(scope);
        let services = Repository::<RuntimeService>::new(&*store);
        for deployment in recent.items {
            let why = if deployment.aggregate.status().is_final() {
                "it was deployed, and has not been seen yet"
            } else {
                "it is being deployed, and has not been seen yet"
            };
            for module in RuntimeDeployment::modules(&deployment.aggregate) {
                if children.contains_key(&module) {
                    continue;
                }
                let service = services.load(ServiceId::of(environment, &module).uuid()).await?;
                let health = match service.map(|loaded| loaded.aggregate) {
                    None => ServiceHealth::Unknown { why: why.to_owned() },
                    Some(service) if service.status() == RuntimeStatus::Retired => continue,
                    // Its record came after the look at what runs.
                    Some(service) => self.known(scope, &service).await?,
                };
                children.insert(module, health);
            }
        }
        Ok(children)
    }
}
