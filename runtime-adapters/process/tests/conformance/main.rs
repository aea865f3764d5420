//! The suites of the ports that the surface implements, with real processes.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so"
)]

mod handover;
mod jobs;
mod metrics;
mod signals;
#[path = "../fixtures/stage.rs"]
mod stage;
mod surface;
#[path = "../fixtures/world.rs"]
mod world;

use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::metric::{MetricName, MetricQuery};
use runtime_domain::surface::{ComponentKey, EffectId, FencingToken, RevisionSpec, Traffic};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortResult;
use runtime_ports::clock::Clock;
use runtime_ports::metric::MetricSource as _;
use runtime_ports::surface::{ComputeSurface as _, EffectContext};
use runtime_process::{ProcessSurface, ProcessSurfaceOptions};
use stage::Stage;

/// A clock that the suite drives.
struct Driven(Mutex<Timestamp>);

impl Driven {
    fn pass(&self, span: Span) {
        let mut now = self.0.lock().unwrap();
        *now = span.after(*now);
    }
}

#[async_trait]
impl Clock for Driven {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, _: Timestamp) {
        panic!("the surface waits by the system's steady clock");
    }
}

/// The folder of the surface of the trial that runs. No process is left when this is dropped.
struct Folders {
    stage: Mutex<Option<Stage>>,
    change: Box<dyn Fn(&mut ProcessSurfaceOptions) + Send + Sync>,
}

impl Folders {
    fn with(change: impl Fn(&mut ProcessSurfaceOptions) + Send + Sync + 'static) -> Self {
        Self { stage: Mutex::default(), change: Box::new(change) }
    }

    fn root(&self) -> PathBuf {
        self.stage.lock().unwrap().as_ref().unwrap().root().to_path_buf()
    }

    fn options(&self) -> ProcessSurfaceOptions {
        let mut options = self.stage.lock().unwrap().as_mut().unwrap().options();
        (self.change)(&mut options);
        options
    }

    /// A surface in a folder of its own. Nothing is left of the one before, which is closed.
    async fn fresh(&self) -> ProcessSurface {
        // Its tasks see first that it was, so that none starts anything again.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        *self.stage.lock().unwrap() = Some(Stage::empty(|_| {}));
        stage::opened(self.options()).await
    }

    /// The next host on the same folder.
    async fn reopen(&self, surface: ProcessSurface) -> ProcessSurface {
        surface.shutdown().await;
        drop(surface);
        stage::opened(self.options()).await
    }

    /// The processes of the trial that runs, with the text of their command lines and environments.
    fn processes(&self) -> Vec<(u32, String, String)> {
        let read = |pid: u32, what: &str| {
            String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default())
                .into_owned()
        };
        let pids = self.stage.lock().unwrap().as_ref().unwrap().processes();
        pids.into_iter().map(|pid| (pid, read(pid, "cmdline"), read(pid, "environ"))).collect()
    }
}

/// Brings a revision about with so many replicas in this mode, and sends it everything once they are ready. Tells where it is reached.
async fn serve(
    surface: &ProcessSurface,
    key: &ComponentKey,
    revision: &RevisionId,
    mode: &str,
    replicas: u16,
) -> PortResult<String> {
    let effect = |ordinal| EffectContext {
        effect: EffectId::of(revision.deployment, ordinal),
        fence: FencingToken(1),
    };
    let mut component = world::spec(1, mode).component;
    component.module = key.module.clone();
    component.surface = surface.capabilities().kind;
    let spec = RevisionSpec {
        key: key.clone(),
        revision: revision.clone(),
        component,
        configuration: None,
        secrets: Default::default(),
    };
    surface.apply(effect(1), &spec, replicas).await?;
    let seen = async {
        loop {
            let seen = surface.observe(key).await?;
            let is_ready = seen.ready(revision) == replicas;
            if let Some(endpoint) = seen.endpoint.filter(|_| is_ready) {
                return Ok(endpoint.trim_start_matches("http://").to_owned());
            }
            stage::poll_pause().await;
        }
    };
    let address = tokio::time::timeout(world::PATIENCE, seen).await.expect("it is ready")?;
    surface.shift_traffic(effect(2), key, &Traffic::all_to(revision.clone())).await?;
    Ok(address)
}

/// Lets a revision answer so many requests well and so many not, each in so long, and waits until they are counted at this time.
async fn answer(
    surface: &ProcessSurface,
    (key, revision): (&ComponentKey, &RevisionId),
    (well, failed): (u32, u32),
    takes: Span,
    now: Timestamp,
) -> PortResult<()> {
    let address = serve(surface, key, revision, "", 1).await?;
    let samples = async || {
        let query = MetricQuery {
            key: key.clone(),
            revision: revision.clone(),
            metric: MetricName::ErrorRate,
            since: Timestamp::UNIX_EPOCH,
            until: now,
        };
        surface.read(&query).await.map(|reading| reading.samples)
    };
    let before = samples().await?;
    for (status, count) in [(200, well), (500, failed)] {
        for _ in 0..count {
            let path = format!("/answer?status={status}&millis={}", takes.as_millis());
            assert_eq!(stage::ask(&address, &path).await.0, status);
        }
    }
    // A request is counted when its answer has ended, which its client may see a moment before.
    let counted = async {
        while samples().await? < before + u64::from(well + failed) {
            stage::poll_pause().await;
        }
        Ok(())
    };
    tokio::time::timeout(world::PATIENCE, counted).await.expect("every request is counted")
}
