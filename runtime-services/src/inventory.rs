//! The live inventory: what callers may ask, and how it follows the deployments.

use async_trait::async_trait;
use runtime_domain::aggregate::{Aggregate, Decision};
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::id::{AggregateKind, DeploymentId, EnvironmentId, ServiceId};
use runtime_domain::inventory::{
    InventoryCommand, InventoryEvent, InventoryRefusal, RegisterService, RuntimeService,
};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{
    CommitError, HistoryEntry, LoadError, Loaded, Page, Query, Repository, RuntimeServiceRepository,
};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

use crate::context::Context;
use crate::deployments::DeploymentService;
use crate::error::{CommandError, Refused, sort};
use crate::events::{not_handled, opened, scope_of};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::observed::decided;
use crate::unit::{Grounds, commit};

/// What goes wrong with an inventory command.
pub type InventoryError = CommandError<InventoryRefusal>;

/// Tells what runs, and keeps the record of it.
#[derive(Debug, Clone)]
pub struct InventoryService {
    host: Host,
    deployments: DeploymentService,
}

impl InventoryService {
    /// The service of a host. `deployments` proves which versions were brought (SVC-1).
    pub fn new(host: Host, deployments: DeploymentService) -> Self {
        Self { host, deployments }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Inventory), ..self.clone() }
    }

    /// One service of the inventory.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn service(
        &self,
        scope: &TenantScope,
        service: ServiceId,
    ) -> Result<RuntimeService, InventoryError> {
        let store = self.host.ports().store.for_tenant(scope);
        let found = Repository::<RuntimeService>::new(&*store).load(service.uuid()).await?;
        let found = found.ok_or_else(|| CommandError::NotFound { what: format!("service {service}") })?;
        Ok(found.aggregate)
    }

    /// One service of the inventory, and where it stands in the store.
    ///
    /// # Errors
    /// As [`InventoryService::service`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        service: ServiceId,
    ) -> Result<Loaded<RuntimeService>, InventoryError> {
        let store = self.host.ports().store.for_tenant(scope);
        existing::find(&*store, service.uuid(), &format!("service {service}")).await
    }

    /// A page of the tenant's services, retired or not; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn listed(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeService>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<RuntimeService>::new(&*store).query(query).await
    }

    /// What happened to a service's record after entry `after`, oldest first, at most `limit` entries: who, when and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        service: ServiceId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(store.history(&Repository::<RuntimeService>::key(service.uuid()), after, limit).await?)
    }

    /// Every service of an environment that is not retired.
    ///
    /// # Errors
    /// The store failed.
    pub async fn services(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Vec<RuntimeService>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let live = RuntimeServiceRepository::new(&*store).live(environment).await?;
        Ok(live.into_iter().map(|loaded| loaded.aggregate).collect())
    }

    /// Proof of the version that serves, for those who need what the component was declared with.
    pub(crate) fn deployments(&self) -> &DeploymentService {
        &self.deployments
    }

    /// Brings the record of a component in line with the deployment that serves it. A component that nothing was ever completed for has
    /// no record.
    async fn follow(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<(), InventoryError> {
        for _ in 0..TRIES {
            let Some(version) = self.deployments.serving_version(scope, environment, module).await? else {
                return Ok(());
            };
            let store = self.host.ports().store.for_tenant(scope);
            let id = ServiceId::of(environment, module);
            let recorded = Repository::<RuntimeService>::new(&*store).load(id.uuid()).await?;
            let now = self.host.now();
            let (before, decision, facts) = match recorded {
                None => {
                    let command = RegisterService { version };
                    let facts = command.evidence();
                    (None, RuntimeService::register(command), facts)
                }
                Some(loaded) => {
                    let command = InventoryCommand::RecordDeployedVersion { version };
                    let Some(facts) = command.evidence() else { return Ok(()) };
                    let decision =
                        decided(|| loaded.aggregate.decide(command, now)).map_err(CommandError::Refused)?;
                    (Some(loaded), decision, facts)
                }
            };
            let grounds = Grounds::at_least(&[facts]);
            match commit::<RuntimeService>(&self.host, &*store, before, &decision, grounds, now).await {
                Ok(_) => return Ok(()),
                Err(error) => retry(error)?,
            }
        }
        Err(CommandError::Contended)
    }

    /// A component is gone on purpose. One that has no record, or is retired, stays so.
    ///
    /// # Errors
    /// The store failed, or others kept changing the record.
    pub(crate) async fn retire(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
        reason: &str,
    ) -> Result<(), InventoryError> {
        let store = self.host.ports().store.for_tenant(scope);
        let id = ServiceId::of(environment, module);
        for _ in 0..TRIES {
            let recorded = Repository::<RuntimeService>::new(&*store).load(id.uuid()).await?;
            let Some(loaded) = recorded else { return Ok(()) };
            let now = self.host.now();
            let command = InventoryCommand::RetireService { reason: reason.to_owned() };
            let decision =
                decided(|| loaded.aggregate.decide(command, now)).map_err(CommandError::Refused)?;
            match commit(&self.host, &*store, Some(loaded), &decision, Grounds::default(), now).await {
                Ok(_) => return Ok(()),
                Err(error) => retry(error)?,
            }
        }
        Err(CommandError::Contended)
    }

    /// Nothing of the tenant runs in the environment any more.
    pub(crate) async fn retire_all(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<(), InventoryError> {
        let store = self.host.ports().store.for_tenant(scope);
        for service in self.services(scope, environment).await? {
            for _ in 0..TRIES {
                let loaded = Repository::<RuntimeService>::new(&*store).load(service.uuid()).await?;
                let Some(loaded) = loaded else { break };
                let now = self.host.now();
                let reason = reason.to_owned();
                let decision: Decision<InventoryEvent> = loaded
                    .aggregate
                    .decide(InventoryCommand::RetireService { reason }, now)
                    .map_err(CommandError::Refused)?;
                match commit(&self.host, &*store, Some(loaded), &decision, Grounds::default(), now).await {
                    Ok(_) => break,
                    Err(error) => retry(error)?,
                }
            }
        }
        Ok(())
    }

    async fn deployment_ended(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        environment: EnvironmentId,
    ) -> Result<(), NotHandled> {
        let ended = self.deployments.deployment(scope, deployment).await.map_err(not_handled)?;
        for module in RuntimeDeployment::modules(&ended) {
            self.follow(scope, environment, &module).await.map_err(not_handled)?;
        }
        Ok(())
    }
}

fn retry(error: CommitError) -> Result<(), InventoryError> {
    match sort(error) {
        // A taken claim means that the component was registered in between: the next try finds it.
        Refused::Again | Refused::Claim(_) => Ok(()),
        Refused::Stop(error) => Err(CommandError::Port(error)),
    }
}

#[async_trait]
impl Subscriber for InventoryService {
    fn name(&self) -> &str {
        "inventory"
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let event = delivery.event;
        if !matches!(
            event.aggregate_kind,
            AggregateKind::RuntimeDeployment | AggregateKind::RuntimeEnvironment
        ) {
            return Ok(());
        }
        let envelope = opened(event)?;
        let scope = scope_of(&self.host, "inventory", &envelope);
        match (event.aggregate_kind, envelope.event_type.name()) {
            (
                AggregateKind::RuntimeDeployment,
                "RuntimeDeploymentCompleted" | "RuntimeDeploymentRolledBack",
            ) => {
                let deployment = DeploymentId::from_uuid(event.aggregate_id);
                self.deployment_ended(&scope, deployment, envelope.environment).await
            }
            (AggregateKind::RuntimeEnvironment, "RuntimeEnvironmentDecommissioned") => self
                .retire_all(&scope, envelope.environment, "its environment was decommissioned")
                .await
                .map_err(not_handled),
            _ => Ok(()),
        }
    }
}
