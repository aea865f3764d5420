//! Who owns the replicas of a component: what other contexts ask scaling.

use runtime_domain::component::ComponentSpec;
use runtime_domain::deployment::Release;
use runtime_domain::id::EnvironmentId;
use runtime_domain::scaling::PolicySpec;
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, ScalingPolicyRepository};

use super::Owners;
use crate::host::Host;

/// Tells which components scale by a policy, so that a rollout keeps as many replicas as they have, and drift is none of them.
#[derive(Debug, Clone)]
pub struct ReplicaOwnership {
    host: Host,
}

impl ReplicaOwnership {
    /// What is known of a host's store.
    pub fn new(host: Host) -> Self {
        Self { host }
    }

    /// The policies that own the replicas of these components, whether they scale now or are suspended.
    ///
    /// # Errors
    /// The store failed.
    pub async fn of(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        modules: impl Iterator<Item = &ModuleId>,
    ) -> Result<Owners, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let policies = ScalingPolicyRepository::new(&*store);
        let mut owners = Owners::new();
        for module in modules {
            if let Some(found) = policies.current(environment, module).await? {
                owners.insert(module.clone(), found.aggregate.id());
            }
        }
        Ok(owners)
    }

    /// The release as it scales now: where it declares how a component scales, by the terms that are in force; and saying nothing of it where the
    /// policy was retired. Who brings something else to what serves brings these, and so leaves every policy as it is.
    pub(crate) async fn in_force(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        mut release: Release,
    ) -> Result<Release, LoadError> {
        let declared = release.components.values_mut().filter(|component| component.tuple.scaling.is_some());
        for component in declared {
            component.tuple.scaling = self.terms(scope, environment, component).await?;
        }
        Ok(release)
    }

    /// The release as it scales here, whoever said so. What a release declares stands where no policy has come of it yet.
    pub(crate) async fn as_it_scales(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        mut release: Release,
    ) -> Result<Release, LoadError> {
        for component in release.components.values_mut() {
            if let Some(terms) = self.terms(scope, environment, component).await? {
                component.tuple.scaling = Some(terms);
            }
        }
        Ok(release)
    }

    async fn terms(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        component: &ComponentSpec,
    ) -> Result<Option<PolicySpec>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let found = ScalingPolicyRepository::new(&*store).current(environment, &component.module).await?;
        let terms = found.map(|found| found.aggregate.spec().clone());
        Ok(terms.filter(|terms| terms.bounds().target() == component.surface))
    }
}
