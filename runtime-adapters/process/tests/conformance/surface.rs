//! The compute surface's suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::ComponentSpec;
use runtime_domain::surface::ComponentKey;
use runtime_ports::PortResult;
use runtime_process::ProcessSurface;
use runtime_testkit::conformance::{AdapterFactory, Persistence, SurfaceFactory, Verdict, surface};

use crate::{Folders, stage, world};

struct Surfaces(Folders);

#[async_trait]
impl AdapterFactory for Surfaces {
    type Adapter = ProcessSurface;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<ProcessSurface> {
        Ok(self.0.fresh().await)
    }

    async fn reopen(&self, surface: ProcessSurface) -> PortResult<ProcessSurface> {
        Ok(self.0.reopen(surface).await)
    }
}

#[async_trait]
impl SurfaceFactory for Surfaces {
    fn component(&self, release: u8) -> ComponentSpec {
        let mut component = world::spec(1, "").component;
        let image = world::image(if release == 1 { 'a' } else { 'b' });
        component.tuple.image =
            image.parse::<runtime_domain::component::ImageReference>().unwrap().try_into().unwrap();
        component
    }

    fn patience(&self) -> Duration {
        world::PATIENCE
    }

    async fn kill(&self, _: &ProcessSurface, _: &ComponentKey, instance: &str) -> PortResult<bool> {
        let name = format!("FACTORY_INSTANCE={instance}");
        let processes = self.0.processes();
        let found: Vec<u32> = processes
            .into_iter()
            .filter(|(_, _, variables)| variables.split('\0').any(|pair| pair == name))
            .map(|(pid, _, _)| pid)
            .collect();
        found.iter().copied().for_each(stage::kill);
        Ok(!found.is_empty())
    }

    async fn end(&self, surface: Arc<ProcessSurface>) {
        surface.destroy_all().await.expect("destroyed");
        surface.shutdown().await;
    }
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_surfaces_port() {
    let report = surface(Surfaces(Folders::with(|_| {}))).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}
