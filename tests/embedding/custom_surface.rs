//! The example's surface keeps what its port promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use factory_runtime::adapters::http_prober::{AllowList, HttpProber};
use factory_runtime::adapters::oci_layout::OciLayout;
use factory_runtime::adapters::system::SystemClock;
use factory_runtime::domain::component::{ComponentSpec, ComponentType, PinnedImage, ReleaseTuple};
use factory_runtime::domain::surface::ComponentKey;
use factory_runtime::domain::value::Replicas;
use factory_runtime::ports::PortResult;
use factory_runtime::prelude::*;
use runtime_testkit::conformance::surface::SurfaceFactory;
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};

use crate::surface::TaskSurface;

struct Tasks {
    registry: Arc<OciLayout>,
    images: [PinnedImage; 2],
}

#[async_trait]
impl AdapterFactory for Tasks {
    type Adapter = TaskSurface;

    fn persistence(&self) -> Persistence {
        // Tasks end with their process.
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<TaskSurface> {
        let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
        Ok(TaskSurface::new(self.registry.clone(), prober, Arc::new(SystemClock::new())))
    }

    async fn reopen(&self, surface: TaskSurface) -> PortResult<TaskSurface> {
        Ok(surface)
    }
}

#[async_trait]
impl SurfaceFactory for Tasks {
    fn component(&self, release: u8) -> ComponentSpec {
        let image = self.images[usize::from(release != 1)].clone();
        let tuple = ReleaseTuple {
            image,
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
            scaling: None,
        };
        ComponentSpec {
            module: "greeter".parse().unwrap(),
            component_type: ComponentType::Microservice,
            version: format!("{release}.0.0").parse().unwrap(),
            tuple,
            surface: SurfaceKind::Process,
            replicas: Replicas::ONE,
            resources: None,
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            configuration: Default::default(),
            readiness: None,
            liveness: None,
            termination_grace: Span::from_secs(1),
            depends_on: BTreeSet::new(),
            dependencies: Default::default(),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn kill(&self, _: &TaskSurface, _: &ComponentKey, _: &str) -> PortResult<bool> {
        // Nobody but the surface can end a task.
        Ok(false)
    }

    async fn end(&self, surface: Arc<TaskSurface>) {
        drop(surface);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surface_of_ones_own_keeps_every_promise_of_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Arc::new(OciLayout::create(folder.path().join("images")).unwrap());
    let mut images = Vec::new();
    for release in ["one", "two"] {
        let file = folder.path().join(release);
        std::fs::write(&file, release).unwrap();
        let image = ImageSource::new(format!("demo/greeter:{release}").parse().unwrap(), ["/greeting"]);
        images.push(registry.pack(&image.file("/greeting", file)).await.unwrap());
    }
    let images = images.try_into().unwrap();
    conformance::surface(Tasks { registry, images }).await.assert_passed();
}
