//! What other environments want to know of one environment's deployments, and who may agree to bring it there.

use std::collections::BTreeMap;

use runtime_domain::deployment::{DeploymentRefusal, DeploymentStatus, RuntimeDeployment};
use runtime_domain::id::{AggregateKind, ConfigurationId, DeploymentId, EnvironmentId};
use runtime_domain::inventory::{RuntimeService, RuntimeStatus};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, Query, Repository};

use super::{DeploymentError, DeploymentService};
use crate::configuration::Versions;
use crate::error::CommandError;

impl DeploymentService {
    /// What serves in an environment: the newest Completed deployment of each component, unless what it brought was retired since, as everything is
    /// that moves elsewhere.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn serving(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<BTreeMap<ModuleId, RuntimeDeployment>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let query = Query::all(AggregateKind::RuntimeDeployment)
            .in_environment(environment)
            .with_status(&[DeploymentStatus::Completed.name()]);
        let mut serving: BTreeMap<ModuleId, RuntimeDeployment> = BTreeMap::new();
        for loaded in Repository::<RuntimeDeployment>::new(&*store).every(query).await? {
            for module in loaded.aggregate.release().components.keys() {
                serving.entry(module.clone()).or_insert_with(|| loaded.aggregate.clone());
            }
        }
        let query = Query::all(AggregateKind::RuntimeService)
            .in_environment(environment)
            .with_status(&[RuntimeStatus::Retired.name()]);
        for retired in Repository::<RuntimeService>::new(&*store).every(query).await? {
            let service = &retired.aggregate;
            let brought_by = service.version().revision.deployment;
            if serving.get(service.module_id()).is_some_and(|newest| newest.id() == brought_by) {
                serving.remove(service.module_id());
            }
        }
        Ok(serving)
    }

    /// The newest configuration that is in force in an environment, where one is.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn configuration_in_force(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Option<ConfigurationId>, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        let in_force = Versions::new(&*store).in_force(environment).await?;
        Ok(in_force.first().map(|version| version.aggregate.id()))
    }

    /// Two people see a promotion: whoever asked for it does not agree to it.
    pub(super) async fn must_be_anothers(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<(), DeploymentError> {
        let first = self.history(scope, deployment, 0, 1).await?;
        match first.first() {
            Some(asked) if asked.actor == *scope.actor() => {
                let actor = scope.actor().clone();
                Err(CommandError::Refused(DeploymentRefusal::OwnPromotion { actor }))
            }
            _ => Ok(()),
        }
    }
}
