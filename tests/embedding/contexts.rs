//! A host runs the contexts that it is told to, with the adapters that those need, and refuses the rest by name.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use factory_runtime::adapters::directory::DirectoryEngine;
use factory_runtime::adapters::http_prober::{AllowList, HttpProber};
use factory_runtime::adapters::memory::MemoryStore;
use factory_runtime::adapters::oci_layout::OciLayout;
use factory_runtime::adapters::process::{ProcessSurface, ProcessSurfaceOptions};
use factory_runtime::adapters::system::{SystemClock, UuidV7Generator};
use factory_runtime::domain::environment::ProvisioningStatus;
use factory_runtime::manifest;
use factory_runtime::ports::PortErrorKind;
use factory_runtime::prelude::*;

const PATIENCE: Span = Span::from_secs(30);

async fn surface(folder: &Path) -> Arc<ProcessSurface> {
    let registry = Arc::new(OciLayout::create(folder.join("images")).unwrap());
    let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
    let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new()));
    let options = ProcessSurfaceOptions::new(folder.join("workloads"), registry, prober, clock, ids);
    Arc::new(ProcessSurface::open(options).await.unwrap())
}

fn scope(runtime: &Runtime) -> TenantScope {
    let tenant = "ten_00000000000000000000000000000001".parse().unwrap();
    runtime.authenticated(tenant, Actor::new("ann").unwrap())
}

fn wanted() -> NewEnvironment {
    let project = "prj_00000000000000000000000000000001".parse().unwrap();
    let (name, region) = ("dev".parse().unwrap(), "local".parse().unwrap());
    NewEnvironment::new(project, name, EnvironmentStage::Dev, region)
}

/// The error with its causes: what an operator reads.
fn told(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// Two hosts on one store, each with one context and the adapters of that.
struct World {
    environments: Runtime,
    deployments: Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, surface) = (MemoryStore::new(), surface(folder.path()).await);
        let engine = DirectoryEngine::open(folder.path().join("environments")).unwrap();
        let environments = Runtime::builder()
            .contexts([Context::Environment])
            .store(Arc::new(store.clone()))
            .surface(surface.clone())
            .infrastructure(Arc::new(engine))
            .build()
            .unwrap();
        let registry = OciLayout::open(folder.path().join("images")).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "nothing that runs").unwrap();
        let image = ImageSource::new("demo/web:1.0.0".parse().unwrap(), ["/file"]).file("/file", file);
        registry.pack(&image).await.unwrap();
        let deployments = Runtime::builder()
            .contexts([Context::Deployment])
            .store(Arc::new(store))
            .surface(surface)
            .registry(Arc::new(registry))
            .build()
            .unwrap();
        Self { environments, deployments, _folder: folder }
    }
}

/// Shows X-5.
#[tokio::test]
async fn a_host_takes_commands_of_its_own_contexts_and_refuses_the_others_by_name() {
    let World { environments, deployments, _folder } = World::open().await;
    let scope = scope(&environments);

    let refused = deployments.environments().provision(&scope, wanted()).await.unwrap_err();
    let CommandError::Port(error) = &refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), PortErrorKind::Unsupported);
    assert!(error.message().contains("does not run the context `environment`"), "{error}");

    let running = environments.start();
    let asked = environments.environments().provision(&scope, wanted()).await.unwrap().aggregate.id();
    let found = environments.environments().until_provisioned(&scope, asked, PATIENCE).await.unwrap();
    assert_eq!(found.provisioning_status(), ProvisioningStatus::Provisioned);
    running.stop().await;

    // What the one has made is known to the other, which asks it, and changes only its own.
    let manifest = manifest::parse(
        "{ release: r-1, strategy: { rolling-health-gated: {} },
           components: { web: { image: 'demo/web:1.0.0', version: 1.0.0 } } }",
    );
    let release = deployments.deployments().resolve(&manifest.unwrap()).await.unwrap();
    let requested = deployments.deployments().request(&scope, asked, release.clone()).await.unwrap();
    let deployment = requested.aggregate.id();
    let refused = environments.deployments().pause(&scope, deployment, "no".to_owned()).await.unwrap_err();
    assert!(told(&refused).contains("does not run the context `deployment`"), "{refused:?}");
    let refused = environments.deployments().request(&scope, asked, release).await;
    assert!(refused.is_err() || !refused.unwrap().changed, "nothing was requested twice");
    assert!(deployments.deployments().pause(&scope, deployment, "yes".to_owned()).await.unwrap().changed);
    let refused = deployments.environments().protect(&scope, asked, true).await.unwrap_err();
    assert!(told(&refused).contains("`environment`"), "{refused:?}");
    assert!(deployments.environments().environment(&scope, asked).await.is_ok(), "reading is for everybody");
}

#[tokio::test]
async fn a_host_of_all_contexts_refuses_none() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path()).await.unwrap();
    let runtime = embedded.runtime();
    assert_eq!(*runtime.contexts(), Context::ALL.into());
    assert!(runtime.environments().provision(&scope(runtime), wanted()).await.unwrap().changed);
    embedded.close().await;
}

#[tokio::test]
async fn what_a_context_cannot_do_without_must_be_chosen_and_the_rest_refuses_and_says_what_to_choose() {
    let folder = tempfile::tempdir().unwrap();
    let surface = surface(folder.path()).await;
    let builder = || Runtime::builder().store(Arc::new(MemoryStore::new())).surface(surface.clone());

    let missing = builder().build().unwrap_err();
    assert!(missing.to_string().contains("`RuntimeBuilder::infrastructure`"), "{missing}");
    assert!(missing.to_string().contains("`RuntimeBuilder::contexts`"), "{missing}");
    let missing = Runtime::builder().surface(surface.clone()).build().unwrap_err();
    assert!(missing.to_string().contains("`RuntimeBuilder::store`"), "{missing}");

    let runtime = builder().contexts([Context::Configuration]).build().unwrap();
    let refused = runtime.environments().preview(&scope(&runtime), wanted()).await.unwrap_err();
    assert!(told(&refused).contains("`RuntimeBuilder::infrastructure`"), "{refused:?}");
    let manifest = "{ release: r-1, strategy: { rolling-health-gated: {} },
           components: { web: { image: 'demo/web:1.0.0', version: 1.0.0 } } }";
    let refused = runtime.deployments().resolve(&manifest::parse(manifest).unwrap()).await.unwrap_err();
    assert!(told(&refused).contains("`RuntimeBuilder::registry`"), "{refused:?}");
    assert!(runtime.readiness().await.is_ready(), "a host without a bus misses none");
}

#[tokio::test]
async fn a_host_that_is_told_to_stop_drains_and_is_live_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let surface = surface(folder.path()).await;
    let builder = Runtime::builder().store(Arc::new(MemoryStore::new())).surface(surface);
    let runtime = builder.contexts([Context::Configuration, Context::Secrets]).build().unwrap();
    let running = runtime.start();
    assert!(runtime.liveness().is_live(), "{:?}", runtime.liveness());
    running.stop().await;
    assert!(runtime.liveness().is_live(), "whoever was told to stop is not missed: {:?}", runtime.liveness());
}
