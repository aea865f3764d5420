//! Who owns what of an environment at the moment, from what the other contexts keep.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::component::ImageDigest;
use runtime_domain::configuration::{ConfigurationStatus, RuntimeConfiguration};
use runtime_domain::deployment::{DeploymentState, DeploymentStatus, RuntimeDeployment};
use runtime_domain::drift::{ActualState, DesiredState, Owner, Ownership};
use runtime_domain::id::{DeploymentId, EnvironmentId};
use runtime_domain::scaling::{PolicyStatus, ScalingPolicy};
use runtime_domain::secrets::{SecretBinding, SecretStatus};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{
    LoadError, PageRequest, Query, Repository, RuntimeDeploymentRepository, TenantStore,
};

/// How many of a component's deployments are looked at for what was rolled back.
const LOOKED_BACK: u32 = 50;

/// Who owns what, and what is out.
pub(super) struct Owners {
    pub(super) ownership: Ownership,
    pub(super) quarantined: BTreeMap<ModuleId, BTreeSet<ImageDigest>>,
}

/// A rollout, with its components.
pub(super) type Rollout = (DeploymentId, BTreeSet<ModuleId>);

/// The rollouts of an environment that are in flight.
pub(super) async fn rollouts(
    store: &dyn TenantStore,
    environment: EnvironmentId,
) -> Result<Vec<Rollout>, LoadError> {
    let going_on: Vec<&str> = DeploymentStatus::ALL
        .into_iter()
        .filter(|status| !status.is_final())
        .map(DeploymentStatus::name)
        .collect();
    let query = Query::all(RuntimeDeployment::KIND).in_environment(environment).with_status(&going_on);
    let found = Repository::<RuntimeDeployment>::new(store).every(query).await?;
    Ok(found.iter().map(|loaded| (loaded.aggregate.id(), loaded.aggregate.modules())).collect())
}

/// The newest rollouts that ended since `then`: what was seen of their components may be what they were in the middle of.
pub(super) async fn ended_since(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    then: Timestamp,
) -> Result<Vec<Rollout>, LoadError> {
    let query = Query::all(RuntimeDeployment::KIND).in_environment(environment).limited_to(20);
    let newest = Repository::<RuntimeDeployment>::new(store).query(query).await?;
    let ended = newest
        .items
        .into_iter()
        .filter(|loaded| loaded.aggregate.completed_at().is_some_and(|ended| ended >= then));
    Ok(ended.map(|loaded| (loaded.aggregate.id(), loaded.aggregate.modules())).collect())
}

/// Who owns what. Rollbacks are looked for only where another image runs than is desired, which is where they matter.
pub(super) async fn of(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    rollouts: Vec<Rollout>,
    policies: &[ScalingPolicy],
    desired: &DesiredState,
    actual: &ActualState,
) -> Result<Owners, LoadError> {
    let mut ownership = Ownership::nobody();
    let mut rolled_out = BTreeSet::new();
    for (deployment, modules) in rollouts {
        for module in modules {
            if rolled_out.insert((deployment, module.clone())) {
                ownership = ownership.with(module, Owner::Rollout { deployment });
            }
        }
    }
    for policy in policies {
        let owner = Owner::Scaling {
            policy: policy.id(),
            fewest: if policy.scale_to_zero() { 0 } else { policy.min_replicas() },
            most: policy.max_replicas(),
        };
        ownership = ownership.with(policy.module_id().clone(), owner);
    }
    for (module, owner) in deliveries(store, environment, desired).await? {
        ownership = ownership.with(module, owner);
    }
    let mut quarantined: BTreeMap<ModuleId, BTreeSet<ImageDigest>> = BTreeMap::new();
    for (module, wanted) in &desired.components {
        let differs = actual.components.get(module).is_none_or(|found| found.image != wanted.image);
        if !differs {
            continue;
        }
        let out = out(store, environment, module).await?;
        if let (true, Some(stable)) = (out.digests.contains(&wanted.image), out.stable) {
            let owner = Owner::Rollback { quarantined: wanted.image.clone(), stable: Box::new(stable) };
            ownership = ownership.with(module.clone(), owner);
        }
        if !out.digests.is_empty() {
            quarantined.insert(module.clone(), out.digests);
        }
    }
    Ok(Owners { ownership, quarantined })
}

/// The policies of an environment that own their components' replicas.
pub(super) async fn scaling(
    store: &dyn TenantStore,
    environment: EnvironmentId,
) -> Result<Vec<ScalingPolicy>, LoadError> {
    let live: Vec<&str> = PolicyStatus::ALL
        .into_iter()
        .filter(|status| *status != PolicyStatus::Retired)
        .map(PolicyStatus::name)
        .collect();
    let query = Query::all(ScalingPolicy::KIND).in_environment(environment).with_status(&live);
    let found = Repository::<ScalingPolicy>::new(store).every(query).await?;
    let policies = found.into_iter().map(|loaded| loaded.aggregate);
    Ok(policies.filter(ScalingPolicy::owns_replicas).collect())
}

/// Configurations and secrets that are on their way to their workloads.
async fn deliveries(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    desired: &DesiredState,
) -> Result<Vec<(ModuleId, Owner)>, LoadError> {
    let mut owners = Vec::new();
    let query = Query::all(RuntimeConfiguration::KIND)
        .in_environment(environment)
        .with_status(&[ConfigurationStatus::Published.name()]);
    if let Some(published) = Repository::<RuntimeConfiguration>::new(store).one(query).await? {
        let configuration = published.aggregate.id();
        let modules = desired.components.keys().cloned();
        owners.extend(modules.map(|module| (module, Owner::ConfigurationSync { configuration })));
    }
    let moving = [
        SecretStatus::Requested,
        SecretStatus::Distributing,
        SecretStatus::RotationFailed,
        SecretStatus::Grace,
        SecretStatus::Retiring,
    ];
    let query = Query::all(SecretBinding::KIND)
        .in_environment(environment)
        .with_status(&moving.map(SecretStatus::name));
    for binding in Repository::<SecretBinding>::new(store).every(query).await? {
        let binding = binding.aggregate;
        owners.push((binding.module().clone(), Owner::Rotation { binding: binding.id() }));
    }
    Ok(owners)
}

/// What of a component is out, and what serves instead.
struct Out {
    digests: BTreeSet<ImageDigest>,
    stable: Option<runtime_domain::component::ReleaseTuple>,
}

/// The digests that stay out: those that a gate or a person went back from, until they are released or brought again on purpose.
async fn out(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    module: &ModuleId,
) -> Result<Out, LoadError> {
    let deployments = RuntimeDeploymentRepository::new(store);
    let page = deployments.of_component(environment, module, PageRequest::first(LOOKED_BACK)).await?;
    let mut digests = BTreeSet::new();
    let mut stable = None;
    for loaded in page.items {
        let deployment = &loaded.aggregate;
        match deployment.state() {
            DeploymentState::RolledBack(state) => digests.extend(state.quarantined.get(module).cloned()),
            DeploymentState::Failed(state) => digests.extend(state.quarantined.get(module).cloned()),
            // The newest that was completed serves; where it was a rollback, what it went back from stays out.
            DeploymentState::Completed(_) if stable.is_none() => {
                stable = deployment.release().components.get(module).map(|serves| serves.tuple.clone());
                if let Ok(point) = deployment.rollback_point(loaded.revision) {
                    digests.extend(point.left().get(module).cloned());
                }
            }
            _ => {}
        }
    }
    Ok(Out { digests, stable })
}
