//! What there is to read of deployments.

use runtime_domain::component::RevisionId;
use runtime_domain::deployment::{DeployedVersion, DeploymentStatus, RuntimeDeployment};
use runtime_domain::id::{ConfigurationId, DeploymentId, EnvironmentId};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{
    HistoryEntry, LoadError, Loaded, Page, PageRequest, Query, Repository, RuntimeDeploymentRepository,
};

use super::{DeploymentError, DeploymentService, find};

impl DeploymentService {
    /// One deployment.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn deployment(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<RuntimeDeployment, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(find(&*store, deployment).await?.aggregate)
    }

    /// One deployment, and where it stands in the store.
    ///
    /// # Errors
    /// As [`DeploymentService::deployment`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<Loaded<RuntimeDeployment>, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        find(&*store, deployment).await
    }

    /// A page of the tenant's deployments; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn deployments(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeDeployment>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<RuntimeDeployment>::new(&*store).query(query).await
    }

    /// What happened to a deployment after entry `after`, oldest first, at most `limit` entries: who, when and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let key = Repository::<RuntimeDeployment>::key(deployment.uuid());
        Ok(store.history(&key, after, limit).await?)
    }

    /// Proof of the version of a component that serves now; `None` where nothing was ever completed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn serving_version(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<DeployedVersion>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let completed = RuntimeDeploymentRepository::new(&*store)
            .newest_of(environment, module, &[DeploymentStatus::Completed])
            .await?;
        Ok(completed.and_then(|loaded| loaded.aggregate.deployed_version(module, loaded.revision)))
    }

    /// Proof of what the deployment of a revision brought; `None` where this tenant has no such deployment, or it has not touched the
    /// component.
    ///
    /// # Errors
    /// The store failed.
    pub async fn version_of(
        &self,
        scope: &TenantScope,
        revision: &RevisionId,
    ) -> Result<Option<DeployedVersion>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let id = revision.deployment.uuid();
        let found = RuntimeDeploymentRepository::new(&*store).load(id).await?;
        Ok(found.and_then(|loaded| loaded.aggregate.deployed_version(&revision.module, loaded.revision)))
    }

    /// The deployment of a component that is in flight, if one is (DEP-3).
    ///
    /// # Errors
    /// The store failed.
    pub async fn in_flight_of(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<RuntimeDeployment>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let newest = RuntimeDeploymentRepository::new(&*store).newest_of(environment, module, &[]).await?;
        Ok(newest.map(|loaded| loaded.aggregate).filter(|deployment| !deployment.status().is_final()))
    }

    /// Whether a deployment that carries this configuration version is in flight.
    pub(crate) async fn is_carried(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        configuration: ConfigurationId,
    ) -> Result<bool, LoadError> {
        let in_flight = self.in_flight(scope, environment, 1_000).await?;
        Ok(in_flight.iter().any(|it| it.aggregate.configuration_id() == Some(configuration)))
    }

    /// Whether any deployment of the environment is in flight.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_busy(&self, scope: &TenantScope, environment: EnvironmentId) -> Result<bool, LoadError> {
        Ok(!self.in_flight(scope, environment, 1).await?.is_empty())
    }

    pub(super) async fn in_flight(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        limit: u32,
    ) -> Result<Vec<Loaded<RuntimeDeployment>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let deployments = RuntimeDeploymentRepository::new(&*store);
        Ok(deployments.in_flight(environment, PageRequest::first(limit)).await?.items)
    }
}
