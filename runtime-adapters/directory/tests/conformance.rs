//! The engine's suite, on directories.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_directory::DirectoryEngine;
use runtime_domain::surface::SurfaceKind;
use runtime_ports::PortResult;
use runtime_ports::infrastructure::InfrastructureEngine as _;
use runtime_testkit::conformance::infrastructure::blueprint;
use runtime_testkit::conformance::{AdapterFactory, EngineFactory, Persistence, infrastructure};
use tempfile::TempDir;

#[derive(Default)]
struct Directories {
    roots: Mutex<Vec<TempDir>>,
}

#[async_trait]
impl AdapterFactory for Directories {
    type Adapter = DirectoryEngine;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<DirectoryEngine> {
        let root = tempfile::tempdir().unwrap();
        let engine = DirectoryEngine::open(root.path());
        self.roots.lock().unwrap().push(root);
        engine
    }

    async fn reopen(&self, engine: DirectoryEngine) -> PortResult<DirectoryEngine> {
        drop(engine);
        let roots = self.roots.lock().unwrap();
        DirectoryEngine::open(roots.last().unwrap().path())
    }
}

#[async_trait]
impl EngineFactory for Directories {
    fn surface(&self) -> SurfaceKind {
        SurfaceKind::Process
    }

    async fn remove(&self, engine: &DirectoryEngine, resource: &str) -> PortResult<bool> {
        let blueprint = blueprint(self.surface());
        let outputs = engine.outputs(blueprint.tenant, blueprint.environment).await?.unwrap();
        let root = PathBuf::from(&outputs["root"]);
        let below = resource.split('/').skip(2).collect::<Vec<_>>();
        let path = match below.as_slice() {
            [] => root,
            parts => root.join("targets").join(parts.join("/")),
        };
        std::fs::remove_dir_all(path).unwrap();
        Ok(true)
    }
}

#[tokio::test]
async fn the_directory_engine_keeps_every_promise_of_the_port() {
    infrastructure(Directories::default()).await.assert_passed();
}
