//! What the story plays on: an embedded runtime, a tenant, environments, and the demo images.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use factory_runtime::domain::id::AggregateKind;
use factory_runtime::domain::surface::{ComponentKey, ComponentObservation};
use factory_runtime::embedded::{
    DesiredStateDirectory, Embedded, EmbeddedOptions, LocalVault, ProcessSurface, Tenants,
};
use factory_runtime::ports::store::Query;
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::prelude::*;
use runtime_oci_layout::ImageSource;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Failure;

/// How long anything may take that the story waits for outside a rollout.
const PATIENCE: Duration = Duration::from_secs(60);

/// The component that all of it is about.
pub const WEB: &str = "web";

/// An embedded runtime at work.
pub struct Stage {
    embedded: Embedded,
    scope: TenantScope,
    dev: EnvironmentId,
    desired: PathBuf,
    stop: CancellationToken,
    host: JoinHandle<()>,
}

impl Stage {
    /// Opens the runtime, packs the demo images and provisions the environment.
    pub async fn open(folder: &Path) -> Result<Self, Failure> {
        // A host's authentication would say who calls. Here it is always the same tenant, so that a kept folder is found again.
        let tenant: TenantId = "ten_00000000000000000000000000000001".parse()?;
        let desired = folder.join("desired");
        std::fs::create_dir_all(&desired)?;
        let source = DesiredStateDirectory::plain(&desired, Tenants::Only(tenant)).await?;
        let options = EmbeddedOptions::new(folder).desired_state(Arc::new(source));
        let embedded = Embedded::open_with(options).await?;
        let runtime = embedded.runtime().clone();
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
        let mut stage =
            Self { embedded, scope, dev: EnvironmentId::from_uuid(tenant.uuid()), desired, stop, host };
        stage.dev = stage.provision("quickstart", EnvironmentStage::Dev, IsolationModel::Silo).await?;
        Ok(stage)
    }

    /// Another environment of this machine.
    pub async fn provision(
        &self,
        name: &str,
        stage: EnvironmentStage,
        isolation_model: IsolationModel,
    ) -> Result<EnvironmentId, Failure> {
        println!("provisioning the environment `{name}`");
        let wanted = NewEnvironment {
            project_id: "prj_00000000000000000000000000000001".parse()?,
            name: Name::new(name)?,
            stage,
            region: Name::new("local")?,
            isolation_model,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environments = self.runtime().environments();
        let environment = environments.provision(&self.scope, wanted).await?.aggregate.id();
        let is_provisioned = async || Ok(environments.admit(&self.scope, environment).await.is_ok());
        self.wait("the environment was not provisioned", is_provisioned).await?;
        Ok(environment)
    }

    pub fn runtime(&self) -> &Runtime {
        self.embedded.runtime()
    }

    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// The environment in which it begins.
    pub fn dev(&self) -> EnvironmentId {
        self.dev
    }

    /// Where it is written what should run.
    pub fn desired(&self) -> &Path {
        &self.desired
    }

    pub fn vault(&self) -> &LocalVault {
        self.embedded.vault()
    }

    pub fn surface(&self) -> &ProcessSurface {
        self.embedded.surface()
    }

    /// The same tenant, as somebody else calls.
    pub fn scope_of(&self, actor: &str) -> Result<TenantScope, Failure> {
        let correlation = self.runtime().host().new_correlation();
        Ok(TenantScope::authenticated(self.scope.tenant(), Actor::new(actor)?, correlation))
    }

    pub fn key(&self, environment: EnvironmentId, module: &str) -> Result<ComponentKey, Failure> {
        Ok(ComponentKey { tenant: self.scope.tenant(), environment, module: Name::new(module)? })
    }

    /// Looks again and again until it is so; how long it took.
    pub async fn wait(
        &self,
        otherwise: &str,
        look: impl AsyncFn() -> Result<bool, Failure>,
    ) -> Result<Duration, Failure> {
        let begun = Instant::now();
        while !look().await? {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{otherwise} in time").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(begun.elapsed())
    }

    /// What the surface sees of a component.
    pub async fn observe(
        &self,
        environment: EnvironmentId,
        module: &str,
    ) -> Result<ComponentObservation, Failure> {
        Ok(self.surface().observe(&self.key(environment, module)?).await?)
    }

    /// Where clients reach a component.
    pub async fn endpoint(&self, environment: EnvironmentId, module: &str) -> Result<String, Failure> {
        Ok(self.observe(environment, module).await?.endpoint.ok_or("the component has no endpoint")?)
    }

    /// How many replicas of a component are ready.
    pub async fn ready(&self, environment: EnvironmentId, module: &str) -> Result<u16, Failure> {
        let seen = self.observe(environment, module).await?;
        Ok(seen.revisions.keys().map(|revision| seen.ready(revision)).sum())
    }

    /// Ends the host and leaves the workloads.
    pub async fn leave(self) {
        self.stop.cancel();
        drop(self.host.await);
        self.embedded.close().await;
    }

    /// Takes every environment down and ends the host.
    pub async fn remove(self) -> Result<(), Failure> {
        println!("decommissioning the environments");
        let environments = self.runtime().environments();
        let all = Query::all(AggregateKind::RuntimeEnvironment).limited_to(100);
        for found in environments.environments(&self.scope, all).await?.items {
            let (environment, reason) = (found.aggregate.id(), "the quickstart has ended".to_owned());
            let gone = async || {
                let found = environments.environment(&self.scope, environment).await?;
                Ok(found.decommissioned_at().is_some())
            };
            environments.decommission(&self.scope, environment, reason).await?;
            if let Err(error) = self.wait("the environment was not decommissioned", gone).await {
                self.surface().destroy_all().await?;
                return Err(format!("{error}; its processes were ended").into());
            }
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
