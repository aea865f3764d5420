//! What is known about components before a deployment of them is decided, and what a refused commit means for it.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::claim::Claim;
use runtime_domain::component::ComponentSpec;
use runtime_domain::deployment::{
    DeploymentRefusal, DeploymentStatus, Release, RollbackPoint, RuntimeDeployment, SeenRevisions,
};
use runtime_domain::id::EnvironmentId;
use runtime_domain::surface::ComponentKey;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{CommitError, LoadError, Loaded, RuntimeDeploymentRepository, TenantStore};

use crate::deployments::DeploymentError;
use crate::error::{CommandError, Refused, sort};
use crate::host::Host;

/// The newest deployments of a set of components.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) newest: BTreeMap<ModuleId, Loaded<RuntimeDeployment>>,
    pub(super) serving: BTreeMap<ModuleId, Loaded<RuntimeDeployment>>,
    pub(super) seen: BTreeMap<ModuleId, SeenRevisions>,
}

impl Standing {
    /// What is known about the components now.
    pub(super) async fn of(
        host: &Host,
        store: &dyn TenantStore,
        environment: EnvironmentId,
        modules: impl Iterator<Item = &ModuleId>,
    ) -> Result<Self, LoadError> {
        let mut standing = Self::default();
        let deployments = RuntimeDeploymentRepository::new(store);
        for module in modules {
            if let Some(newest) = deployments.newest_of(environment, module, &[]).await? {
                standing.newest.insert(module.clone(), newest);
            }
            let completed =
                deployments.newest_of(environment, module, &[DeploymentStatus::Completed]).await?;
            if let Some(completed) = completed {
                standing.serving.insert(module.clone(), completed);
            }
            if let Some(seen) = seen(host, store, environment, module).await {
                standing.seen.insert(module.clone(), seen);
            }
        }
        Ok(standing)
    }

    /// DEP-3, before anything else: where a deployment is in flight, what serves when it has ended is not known yet, so nothing can be
    /// planned against it. The store's claim refuses what begins after this look.
    pub(super) fn nothing_in_flight(&self) -> Result<(), DeploymentError> {
        let in_flight = self.newest.iter().find(|(_, newest)| !newest.aggregate.status().is_final());
        match in_flight {
            Some((module, _)) => {
                Err(CommandError::Refused(DeploymentRefusal::InFlight { module: module.clone() }))
            }
            None => Ok(()),
        }
    }

    pub(super) fn numbers(&self) -> BTreeMap<ModuleId, u32> {
        let numbers = self.newest.iter().map(|(module, newest)| {
            let number = newest.aggregate.numbers().get(module).copied().unwrap_or(0);
            (module.clone(), number + 1)
        });
        numbers.collect()
    }

    pub(super) fn points(&self) -> Result<Vec<RollbackPoint>, DeploymentError> {
        let mut seen = BTreeSet::new();
        let completed = self.serving.values().filter(|loaded| seen.insert(loaded.aggregate.id()));
        let points = completed.map(|loaded| loaded.aggregate.rollback_point(loaded.revision));
        points.collect::<Result<_, _>>().map_err(CommandError::Refused)
    }

    /// The deployment that brings exactly this release to every one of its components, in flight or serving.
    pub(super) fn brings(&self, release: &Release) -> Option<Loaded<RuntimeDeployment>> {
        let first = self.newest.values().next()?;
        let is_alive =
            !first.aggregate.status().is_final() || first.aggregate.status() == DeploymentStatus::Completed;
        let is_same = first.aggregate.brings(release)
            && self.newest.len() == release.components.len()
            && self.newest.values().all(|other| other.aggregate.id() == first.aggregate.id());
        (is_alive && is_same).then(|| first.clone())
    }
}

/// Proof of what an environment's components were last completed with, each deployment once.
pub(super) async fn completed(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    modules: impl Iterator<Item = &ModuleId>,
) -> Result<Vec<RollbackPoint>, DeploymentError> {
    let mut serving = Standing::default();
    let deployments = RuntimeDeploymentRepository::new(store);
    for module in modules {
        if let Some(found) =
            deployments.newest_of(environment, module, &[DeploymentStatus::Completed]).await?
        {
            serving.serving.insert(module.clone(), found);
        }
    }
    serving.points()
}

/// What the surfaces show of a component. `None` where one cannot be looked at: then nothing is known to be gone, and the release's own
/// numbers stand.
async fn seen(
    host: &Host,
    store: &dyn TenantStore,
    environment: EnvironmentId,
    module: &ModuleId,
) -> Option<SeenRevisions> {
    let key = ComponentKey { tenant: store.scope().tenant(), environment, module: module.clone() };
    let mut seen = SeenRevisions::new();
    for surface in host.ports().surfaces.values() {
        match host.bounded("surface.observe", surface.observe(&key)).await {
            Ok(shown) => {
                seen.extend(shown.revisions.into_iter().map(|(revision, shown)| (revision, shown.wanted)));
            }
            Err(error) => {
                tracing::warn!(%key, %error, "a component could not be looked at");
                return None;
            }
        }
    }
    Some(seen)
}

/// A held claim tells which rule refuses the request; what was merely changed by others is tried again.
pub(super) fn retry_or_refuse(error: CommitError, release: &Release) -> Result<(), DeploymentError> {
    match sort(error) {
        Refused::Again => Ok(()),
        Refused::Stop(error) => Err(CommandError::Port(error)),
        Refused::Claim(claim) => {
            let refusal = release.components.values().find_map(|component| refusal_of(&claim, component));
            match refusal {
                Some(refusal) => Err(CommandError::Refused(refusal)),
                // Another deployment was requested and ended in between: its number is taken.
                None => Ok(()),
            }
        }
    }
}

fn refusal_of(claim: &Claim, component: &ComponentSpec) -> Option<DeploymentRefusal> {
    let module = component.module.clone();
    let digest = component.tuple.image.digest().clone();
    if claim.key.starts_with("in-flight/") && claim.key.ends_with(&format!("/{module}")) {
        Some(DeploymentRefusal::InFlight { module })
    } else if claim.key.starts_with("quarantine/") && claim.key.ends_with(&format!("/{module}/{digest}")) {
        Some(DeploymentRefusal::Quarantined { module, digest })
    } else {
        None
    }
}
