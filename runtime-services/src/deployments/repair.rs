//! Deployments that repair drift.

use std::collections::BTreeSet;

use runtime_domain::calendar::Activity;
use runtime_domain::component::RevisionId;
use runtime_domain::deployment::{Release, RequestDeployment, RuntimeDeployment};
use runtime_domain::id::{ConfigurationId, DeploymentId, EnvironmentId};
use runtime_domain::scope::TenantScope;
use runtime_ports::store::{CommitError, Lease, LoadError, Repository, TenantStore};

use super::charging::{Account, in_turn};
use super::secrets::facts_of;
use super::standing::{Standing, retry_or_refuse};
use super::{DeploymentError, DeploymentService, carrying, in_force, not_admitted};
use crate::configuration::Versions;
use crate::existing::TRIES;
use crate::observed::decided;
use crate::tenancy::TenancyService;
use crate::unit::Grounds;

/// Why a deployment that repairs drift was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepairError {
    /// Another host has taken over.
    #[error("another host has taken over")]
    LeaseLost,
    /// It was refused, or a port failed.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
}

impl DeploymentService {
    /// Begins the deployment that repairs drift, under the lease of who found it. Repeating it gives the one that was begun. It brings the
    /// release whether or not it serves by the record already, since what runs is not what the record says.
    ///
    /// # Errors
    /// The lease is lost; else as [`DeploymentService::request`], where the calendar is asked about repairs.
    pub(crate) async fn repair(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        deployment: DeploymentId,
        release: Release,
        lease: &Lease,
    ) -> Result<RuntimeDeployment, RepairError> {
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await;
        let lane = lane.map_err(DeploymentError::from)?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
            let begun = Repository::<RuntimeDeployment>::new(&*store).load(deployment.uuid()).await;
            if let Some(begun) = begun.map_err(DeploymentError::from)? {
                return Ok(begun.aggregate);
            }
            let standing = Standing::of(&self.host, &*store, environment, release.components.keys()).await;
            let standing = standing.map_err(DeploymentError::from)?;
            standing.nothing_in_flight()?;
            let mut release = release.clone();
            if release.configuration_id.is_none() {
                let left = left_as_it_serves(&*store, environment, &standing, &mut release).await;
                release.configuration_id = left.map_err(DeploymentError::from)?;
            }
            let (release, carried) = carrying(&*store, environment, release).await?;
            let given = self.with_secrets(scope, environment, release).await;
            let (release, secret_facts) = given.map_err(DeploymentError::from)?;
            let admission = self.admission(scope, environment).await?;
            let cleared = self.environments.clear(scope, environment, Activity::Remediation, None).await;
            let clearance = cleared.map_err(|error| not_admitted(environment, error))?;
            let request = self.rollout(&*store, release.clone(), admission, clearance, &standing).await?;
            let configuration = in_force(carried)?;
            let request = RequestDeployment { deployment_id: deployment, configuration, ..request };
            let (account, facts) = (Account::of(&request), facts_of(request.evidence(), secret_facts));
            let decided = decided(|| RuntimeDeployment::request(request, self.host.now()));
            let decision = decided.map_err(DeploymentError::Refused)?;
            let charge = self.charge(&*store, account, &decision).await?;
            let grounds = Grounds { lease: Some(lease), ..Grounds::exactly(&facts) };
            match self.attempt(&*store, &decision, grounds, charge).await {
                Ok(begun) => return Ok(begun.aggregate),
                Err(CommitError::LeaseLost { .. }) => return Err(RepairError::LeaseLost),
                Err(error) => retry_or_refuse(error, &release)?,
            }
        }
        Err(DeploymentError::Contended.into())
    }
}

/// Leaves the configuration of components whose release says nothing of it as they serve with it, and says which version the rollout carries
/// for that: the one that they were told of in place last, or rolled out with; the newest of these where they differ. What is not in force any
/// more cannot be carried, and stays as what they serve with.
async fn left_as_it_serves(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    standing: &Standing,
    release: &mut Release,
) -> Result<Option<ConfigurationId>, LoadError> {
    let versions = Versions::new(store);
    let mut left = BTreeSet::new();
    for (module, component) in &mut release.components {
        let Some(serving) = standing.serving.get(module).map(|serving| &serving.aggregate) else { continue };
        let Some(serves) = serving.release().components.get(module) else { continue };
        component.tuple.configuration.clone_from(&serves.tuple.configuration);
        let revision = RevisionId::new(module.clone(), serving.id());
        left.extend(versions.left_alone(environment, &revision, serves).await?);
    }
    if left.is_empty() {
        return Ok(None);
    }
    let in_force = versions.in_force(environment).await?;
    Ok(in_force.iter().map(|version| version.aggregate.id()).find(|id| left.contains(id)))
}
