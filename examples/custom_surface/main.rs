//! A compute surface of one's own, written against the public API only: `surface.rs` runs replicas as tasks of this process, behind an endpoint
//! that divides traffic. The library rolls a release out on it, brings the next as a canary, and takes a third back whose readiness fails.
//! `tests/embedding` runs the port's conformance suite on it.
//!
//! ```text
//! cargo run --example custom_surface
//! ```
//!
//! It exits with 0 only if each release ended as it should, and the canary was given the share that was asked for.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

mod endpoint;
mod instance;
mod surface;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use factory_runtime::adapters::directory::DirectoryEngine;
use factory_runtime::adapters::http_prober::{AllowList, HttpProber};
use factory_runtime::adapters::memory::MemoryStore;
use factory_runtime::adapters::oci_layout::OciLayout;
use factory_runtime::adapters::system::SystemClock;
use factory_runtime::domain::surface::ComponentKey;
use factory_runtime::manifest;
use factory_runtime::ports::surface::ComputeSurface;
use factory_runtime::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::surface::TaskSurface;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PATIENCE: Span = Span::from_secs(30);
/// What the canary waits at for somebody to let it go on, so that its share can be counted.
const CANARY: &str = "canary: { steps: [{ weight: 20, hold: until-resumed }] }";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("something did not hold");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Failure> {
    let folder = tempfile::tempdir()?;
    let registry = Arc::new(OciLayout::create(folder.path().join("images"))?);
    for (version, greeting) in [("1.0.0", "one"), ("2.0.0", "two"), ("3.0.0", instance::BROKEN)] {
        pack(&registry, folder.path(), version, greeting).await?;
    }
    let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
    let surface = Arc::new(TaskSurface::new(registry.clone(), prober.clone(), Arc::new(SystemClock::new())));
    let runtime = Runtime::builder()
        .store(Arc::new(MemoryStore::new()))
        .surface(surface.clone())
        .infrastructure(Arc::new(DirectoryEngine::open(folder.path().join("environments"))?))
        .registry(registry)
        .prober(prober)
        .build()?;
    let running = runtime.start();
    let scope = runtime.authenticated("ten_00000000000000000000000000000001".parse()?, Actor::new("ann")?);
    let project = "prj_00000000000000000000000000000001".parse()?;
    let wanted = NewEnvironment::new(project, "dev".parse()?, EnvironmentStage::Dev, "local".parse()?);
    let environment = runtime.environments().provision(&scope, wanted).await?.aggregate.id();
    runtime.environments().until_provisioned(&scope, environment, PATIENCE).await?;

    let story = Story { runtime: &runtime, scope: &scope, environment, surface: &surface };
    let held = story.tell().await?;
    running.stop().await;
    Ok(held)
}

/// An image of one file: what its replicas say.
async fn pack(registry: &OciLayout, folder: &Path, version: &str, greeting: &str) -> Result<(), Failure> {
    let file = folder.join(format!("greeting-{version}"));
    std::fs::write(&file, greeting)?;
    let image = ImageSource::new(format!("demo/greeter:{version}").parse()?, ["/greeting"]);
    registry.pack(&image.file("/greeting", file)).await?;
    Ok(())
}

struct Story<'s> {
    runtime: &'s Runtime,
    scope: &'s TenantScope,
    environment: EnvironmentId,
    surface: &'s TaskSurface,
}

impl Story<'_> {
    async fn tell(&self) -> Result<bool, Failure> {
        let deployments = self.runtime.deployments();
        let first = self.request("1.0.0", "rolling-health-gated: {}").await?;
        let first = deployments.until_ended(self.scope, first, PATIENCE).await?.status();
        println!("1.0.0 is {}; of 100 requests {:?}", first.name(), self.count(100).await?);

        let canary = self.request("2.0.0", CANARY).await?;
        let shares = self.wait_for_share().await?;
        println!("2.0.0 is a canary of 20%; of 100 requests {shares:?}");
        deployments.resume(self.scope, canary).await?;
        let second = deployments.until_ended(self.scope, canary, PATIENCE).await?.status();
        println!("2.0.0 is {}; of 100 requests {:?}", second.name(), self.count(100).await?);

        let broken = self.request("3.0.0", "rolling-health-gated: {}").await?;
        let third = deployments.until_ended(self.scope, broken, PATIENCE).await?;
        let after = self.count(100).await?;
        println!("3.0.0, whose readiness fails, is {}; of 100 requests {after:?}", third.status().name());
        let ended = [first, second, third.status()];
        use DeploymentStatus::{Completed, RolledBack};
        let shared = shares == [("one".to_owned(), 80), ("two".to_owned(), 20)].into();
        Ok(ended == [Completed, Completed, RolledBack] && shared && after == [("two".to_owned(), 100)].into())
    }

    async fn request(&self, version: &str, strategy: &str) -> Result<DeploymentId, Failure> {
        let manifest = manifest::parse(&format!(
            "release: greeter-{version}
strategy: {{ {strategy} }}
limits: {{ deadline: 60s, progress_deadline: 2s, rollback_deadline: 10s, crash_limit: 3 }}
components:
  greeter:
    image: demo/greeter:{version}
    version: {version}
    replicas: 2
    readiness: {{ path: /ready, period: 100ms }}
"
        ))?;
        let release = self.runtime.deployments().resolve(&manifest).await?;
        let requested = self.runtime.deployments().request(self.scope, self.environment, release).await?;
        Ok(requested.aggregate.id())
    }

    /// Waits until the newest revision answers anything, and counts a hundred answers then.
    async fn wait_for_share(&self) -> Result<BTreeMap<String, u32>, Failure> {
        for _ in 0..2_000 {
            if self.count(10).await?.contains_key("two") {
                return self.count(100).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Err("the canary was not given any traffic".into())
    }

    async fn count(&self, requests: u32) -> Result<BTreeMap<String, u32>, Failure> {
        let key = ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.environment,
            module: "greeter".parse()?,
        };
        let endpoint = self.surface.observe(&key).await?.endpoint.ok_or("there is no endpoint")?;
        let mut answers = BTreeMap::new();
        for _ in 0..requests {
            let mut client = tokio::net::TcpStream::connect(endpoint.trim_start_matches("http://")).await?;
            client.write_all(b"GET / HTTP/1.1\r\nhost: greeter\r\nconnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await?;
            let greeting = answer.lines().last().unwrap_or_default().to_owned();
            *answers.entry(greeting).or_insert(0) += 1;
        }
        Ok(answers)
    }
}
