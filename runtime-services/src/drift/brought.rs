//! What revisions were started with, by the word of the deployments that brought them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use runtime_domain::component::ComponentSpec;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::ActualComponent;
use runtime_domain::id::{DeploymentId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentObservation, SurfaceKind};
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, Repository, TenantStore};

/// The most components that are remembered.
const MOST: usize = 50_000;

type Key = (TenantId, DeploymentId);
type Components = Arc<BTreeMap<ModuleId, ComponentSpec>>;

/// Remembers what deployments bring, which never changes once they are requested: forgetting it costs time and nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brought {
    known: Arc<Mutex<BTreeMap<Key, Components>>>,
}

impl Brought {
    /// Loads what is not known of these deployments. One that the tenant does not have brought nothing.
    pub(crate) async fn learn(
        &self,
        store: &dyn TenantStore,
        wanted: BTreeSet<DeploymentId>,
    ) -> Result<(), LoadError> {
        let tenant = store.scope().tenant();
        let unknown: Vec<DeploymentId> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.into_iter().filter(|deployment| !known.contains_key(&(tenant, *deployment))).collect()
        };
        let deployments = Repository::<RuntimeDeployment>::new(store);
        for deployment in unknown {
            if let Some(loaded) = deployments.load(deployment.uuid()).await? {
                let components = Arc::new(loaded.aggregate.release().components.clone());
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let remembered: usize = known.values().map(|components| components.len()).sum();
                if remembered > MOST {
                    known.clear();
                }
                known.insert((tenant, deployment), components);
            }
        }
        Ok(())
    }

    /// A component as a surface shows it, with what its revision was started with where that is known.
    pub(crate) fn seen(
        &self,
        scope: &TenantScope,
        observation: &ComponentObservation,
        surface: SurfaceKind,
    ) -> Option<ActualComponent> {
        let components: BTreeMap<DeploymentId, Components> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let of = |deployment: DeploymentId| {
                Some((deployment, Arc::clone(known.get(&(scope.tenant(), deployment))?)))
            };
            observation.revisions.keys().filter_map(|revision| of(revision.deployment)).collect()
        };
        ActualComponent::seen(observation, surface, |revision| {
            components.get(&revision.deployment)?.get(&revision.module)
        })
    }
}
