//! What the story plays on: an embedded runtime, a tenant, an environment, and the demo images.

use std::path::Path;
use std::time::{Duration, Instant};

use factory_runtime::domain::surface::{ComponentKey, ComponentObservation};
use factory_runtime::embedded::Embedded;
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::prelude::*;
use runtime_oci_layout::ImageSource;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Failure;

/// How long anything may take that the story waits for outside a rollout.
const PATIENCE: Duration = Duration::from_secs(60);

/// An embedded runtime at work.
pub struct Stage {
    embedded: Embedded,
    scope: TenantScope,
    environment: EnvironmentId,
    stop: CancellationToken,
    host: JoinHandle<()>,
}

impl Stage {
    /// Opens the runtime, packs the demo images and provisions the environment.
    pub async fn open(folder: &Path) -> Result<Self, Failure> {
        let embedded = Embedded::open(folder).await?;
        let runtime = embedded.runtime().clone();
        // A host's authentication would say who calls. Here it is always the same tenant, so that a kept folder is found again.
        let tenant: TenantId = "ten_00000000000000000000000000000001".parse()?;
        let project: ProjectId = "prj_00000000000000000000000000000001".parse()?;
        let scope =
            TenantScope::authenticated(tenant, Actor::new("quickstart")?, runtime.host().new_correlation());

        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let running = runtime.clone();
        let host = tokio::spawn(async move { running.run(stopped).await });

        println!("packing this program as the images demo/web:1.0.0 to 4.0.0");
        for version in 1..=4 {
            pack(&embedded, version).await?;
        }
        println!("provisioning the environment `quickstart`");
        let wanted = NewEnvironment {
            project_id: project,
            name: Name::new("quickstart")?,
            stage: EnvironmentStage::Dev,
            region: Name::new("local")?,
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environment = runtime.environments().provision(&scope, wanted).await?.aggregate.id();
        let stage = Self { embedded, scope, environment, stop, host };
        stage.until_provisioned().await?;
        Ok(stage)
    }

    pub fn runtime(&self) -> &Runtime {
        self.embedded.runtime()
    }

    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    async fn until_provisioned(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        while self.runtime().environments().admit(&self.scope, self.environment).await.is_err() {
            if begun.elapsed() > PATIENCE {
                return Err("the environment was not provisioned in time".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What the surface sees of a component.
    pub async fn observe(&self, module: &str) -> Result<ComponentObservation, Failure> {
        let key = ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.environment,
            module: Name::new(module)?,
        };
        Ok(self.embedded.surface().observe(&key).await?)
    }

    /// Waits until what the surface sees is as wanted.
    pub async fn until(
        &self,
        module: &str,
        wanted: impl Fn(&ComponentObservation) -> bool,
    ) -> Result<Option<Duration>, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if wanted(&self.observe(module).await?) {
                return Ok(Some(begun.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(None)
    }

    /// Ends the host and leaves the workloads.
    pub async fn leave(self) {
        self.stop.cancel();
        drop(self.host.await);
        self.embedded.close().await;
    }

    /// Takes the environment down and ends the host.
    pub async fn remove(self) -> Result<(), Failure> {
        println!("decommissioning the environment");
        let reason = "the quickstart has ended".to_owned();
        self.runtime().environments().decommission(&self.scope, self.environment, reason).await?;
        let begun = Instant::now();
        loop {
            let environment =
                self.runtime().environments().environment(&self.scope, self.environment).await?;
            if environment.decommissioned_at().is_some() {
                break;
            }
            if begun.elapsed() > PATIENCE {
                self.embedded.surface().destroy_all().await?;
                return Err("the environment was not decommissioned in time; its processes were ended".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.leave().await;
        Ok(())
    }
}

async fn pack(embedded: &Embedded, version: u8) -> Result<(), Failure> {
    let reference = ImageReference::new(&format!("demo/web:{version}.0.0"))?;
    let image = ImageSource::new(reference, ["/quickstart", "--workload"])
        .executable("/quickstart", std::env::current_exe()?)
        .variable("VERSION", format!("{version}.0.0"))
        .variable("BROKEN", if version == 3 { "yes" } else { "no" });
    embedded.registry().pack(&image).await?;
    Ok(())
}
