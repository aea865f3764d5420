//! The engine.

mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use runtime_domain::environment::{EnvironmentBlueprint, ProvisionedResources};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::SurfaceKind;
use runtime_ports::infrastructure::{InfrastructureEngine, ResourceFinding, ResourcePreview};
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};

use crate::disk::Disk;
use crate::engine::work::Work;
use crate::fault::{Fault, Outcome};
use crate::place::Place;

/// Provisions environments as directories below one root. Cheap to clone; any number may work on one root, in any number of processes.
///
/// The crate's documentation lists layout, guarantees and limits.
#[derive(Debug, Clone)]
pub struct DirectoryEngine {
    root: PathBuf,
    surfaces: BTreeSet<SurfaceKind>,
}

impl DirectoryEngine {
    /// An engine on the directory `root`, which is created where it does not exist. It supports [`SurfaceKind::Process`] alone.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid) for a root that is not a folder or whose path is not UTF-8,
    /// [`Denied`](PortErrorKind::Denied) where it cannot be created, [`Exhausted`](PortErrorKind::Exhausted) where the disk is full.
    pub fn open(root: impl AsRef<Path>) -> PortResult<Self> {
        open(root.as_ref())
            .map(|root| Self { root, surfaces: BTreeSet::from([SurfaceKind::Process]) })
            .map_err(|fault| fault.at("infrastructure.open"))
    }

    /// The same engine for other surfaces: those whose adapter needs no more than folders.
    #[must_use]
    pub fn with_surfaces(self, surfaces: impl IntoIterator<Item = SurfaceKind>) -> Self {
        Self { surfaces: surfaces.into_iter().collect(), ..self }
    }

    fn check(&self, blueprint: &EnvironmentBlueprint) -> Outcome<()> {
        if blueprint.surfaces.is_empty() {
            return Err(Fault::new(
                PortErrorKind::Invalid,
                "the blueprint has no surface to run workloads on: name at least one",
            ));
        }
        match blueprint.surfaces.difference(&self.surfaces).next() {
            None => Ok(()),
            Some(surface) => {
                let supported: Vec<_> = self.surfaces.iter().map(|surface| surface.name()).collect();
                Err(Fault::new(
                    PortErrorKind::Unsupported,
                    format!(
                        "the directory engine does not provision {surface}: use one of [{}], or another engine",
                        supported.join(", ")
                    ),
                ))
            }
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        place: Place,
        work: impl FnOnce(Work) -> Outcome<T> + Send + 'static,
    ) -> PortResult<T> {
        let work = tokio::task::spawn_blocking(move || work(Work::new(place, Disk::default())));
        match work.await {
            Ok(outcome) => outcome.map_err(|fault| fault.at(operation)),
            Err(error) => Err(PortError::new(
                PortErrorKind::Internal,
                operation,
                "the work was cut off: the executor is stopping, or a bug made it panic",
            )
            .with_retry(Retry::OutcomeUnknown)
            .caused_by(error)),
        }
    }

    fn place(&self, tenant: TenantId, environment: EnvironmentId) -> Place {
        Place::new(&self.root, tenant, environment)
    }
}

fn open(root: &Path) -> Outcome<PathBuf> {
    let create = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Fault::foreign(root, "is not a folder"),
        _ => Fault::io("create the folder", root, error),
    };
    fs::create_dir_all(root).map_err(create)?;
    let root = fs::canonicalize(root).map_err(|error| Fault::io("open the folder", root, error))?;
    if root.to_str().is_none() {
        return Err(Fault::new(
            PortErrorKind::Invalid,
            format!("the path {} is not UTF-8: choose another folder", root.display()),
        ));
    }
    Ok(root)
}

#[async_trait]
impl InfrastructureEngine for DirectoryEngine {
    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>> {
        const OPERATION: &str = "infrastructure.preview";
        self.check(blueprint).map_err(|fault| fault.at(OPERATION))?;
        let place = self.place(blueprint.tenant, blueprint.environment);
        let blueprint = blueprint.clone();
        self.run(OPERATION, place, move |work| work.preview(&blueprint)).await
    }

    async fn up(
        &self,
        context: EffectContext,
        blueprint: &EnvironmentBlueprint,
    ) -> PortResult<ProvisionedResources> {
        const OPERATION: &str = "infrastructure.up";
        self.check(blueprint).map_err(|fault| fault.at(OPERATION))?;
        let place = self.place(blueprint.tenant, blueprint.environment);
        let blueprint = blueprint.clone();
        self.run(OPERATION, place, move |work| work.up(context.fence, &blueprint)).await
    }

    async fn refresh(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourceFinding>> {
        let place = self.place(blueprint.tenant, blueprint.environment);
        let blueprint = blueprint.clone();
        self.run("infrastructure.refresh", place, move |work| work.refresh(&blueprint)).await
    }

    async fn outputs(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Option<BTreeMap<String, String>>> {
        let place = self.place(tenant, environment);
        self.run("infrastructure.outputs", place, |work| work.outputs()).await
    }

    async fn destroy(
        &self,
        context: EffectContext,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<()> {
        let place = self.place(tenant, environment);
        self.run("infrastructure.destroy", place, move |work| work.destroy(context.fence)).await
    }
}

#[cfg(test)]
mod tests;
