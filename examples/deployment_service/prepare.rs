//! What is others' work: an operator's, a build's, and the environment service's.

use std::sync::Arc;

use factory_runtime::adapters::directory::DirectoryEngine;
use factory_runtime::adapters::http_prober::{AllowList, HttpProber};
use factory_runtime::adapters::postgres::{PostgresOptions, migrate};
use factory_runtime::adapters::process::{ProcessSurface, ProcessSurfaceOptions};
use factory_runtime::adapters::system::{SystemClock, UuidV7Generator};
use factory_runtime::domain::environment::ProvisioningStatus;
use factory_runtime::prelude::*;

use crate::{Failure, Settings};

/// Migrates as the schema's owner, packs this program as the image `demo/hello:1.0.0`, and provisions an environment by a host that runs that
/// one context.
pub async fn prepare(settings: Settings, name: &str, owner: &str, login: &str) -> Result<(), Failure> {
    migrate(&PostgresOptions::new(owner)?, login).await?;

    let registry = Arc::new(settings.registry()?);
    let image = ImageSource::new("demo/hello:1.0.0".parse()?, ["/hello", "workload"]);
    registry.pack(&image.executable("/hello", std::env::current_exe()?)).await?;

    let store = settings.store().await?;
    let folder = settings.folder.join("environment-service");
    let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
    let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new()));
    let surface = ProcessSurfaceOptions::new(folder.join("workloads"), registry, prober, clock, ids);
    let surface = Arc::new(ProcessSurface::open(surface).await?);
    let engine = DirectoryEngine::open(folder.join("environments"))?.with_surfaces([SurfaceKind::Process]);
    let runtime = Runtime::builder()
        .contexts([Context::Environment])
        .store(Arc::new(store.clone()))
        .surface(surface.clone())
        .infrastructure(Arc::new(engine))
        .build()?;
    let running = runtime.start();
    let scope = runtime.authenticated(settings.tenant, Actor::new("environment-service")?);
    let project = "prj_00000000000000000000000000000001".parse()?;
    let wanted = NewEnvironment::new(project, Name::new(name)?, EnvironmentStage::Dev, Name::new("local")?);
    let environments = runtime.environments();
    let asked = environments.provision(&scope, wanted).await?.aggregate.id();
    let found = environments.until_provisioned(&scope, asked, Span::from_secs(30)).await?;
    running.stop().await;
    surface.shutdown().await;
    store.close().await;
    match found.provisioning_status() {
        ProvisioningStatus::Provisioned => println!("{asked}"),
        status => return Err(format!("the environment is {} after 30 seconds", status.name()).into()),
    }
    Ok(())
}
