//! The scaling signals' suite, as a surface of processes and as an event-driven one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::scaling::ScalingMetric;
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Measure;
use runtime_ports::PortResult;
use runtime_ports::clock::Clock as _;
use runtime_ports::surface::ComputeSurface as _;
use runtime_process::ProcessSurface;
use runtime_testkit::conformance::{
    AdapterFactory, BudgetCapabilities, Persistence, Report, SignalCapabilities, SignalFactory,
    scaling_signals,
};
use tokio::task::JoinHandle;

use crate::{Driven, Folders, answer, serve, stage, world};

/// Over how many seconds a rate is measured.
const WINDOW: u64 = 2;
/// How many requests make a component busy.
const REQUESTS: u32 = 20;

struct Sources {
    folders: Folders,
    clock: Arc<Driven>,
    kind: SurfaceKind,
    /// Requests that wait for a component.
    waiting: Mutex<BTreeMap<ComponentKey, JoinHandle<(u16, String)>>>,
}

#[async_trait]
impl AdapterFactory for Sources {
    type Adapter = ProcessSurface;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<ProcessSurface> {
        Ok(self.folders.fresh().await)
    }

    async fn reopen(&self, surface: ProcessSurface) -> PortResult<ProcessSurface> {
        Ok(surface)
    }
}

#[async_trait]
impl SignalFactory for Sources {
    fn target(&self) -> SurfaceKind {
        self.kind
    }

    fn patience(&self) -> Duration {
        world::PATIENCE
    }

    fn window(&self) -> Duration {
        Duration::from_secs(WINDOW)
    }

    fn now(&self, _: &ProcessSurface) -> Timestamp {
        self.clock.now()
    }

    async fn pass(&self, _: &ProcessSurface, span: Span) {
        self.clock.pass(span);
    }

    async fn idle(
        &self,
        surface: &ProcessSurface,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        serve(surface, key, revision, "", 0).await.map(drop)
    }

    async fn busy(
        &self,
        surface: &ProcessSurface,
        key: &ComponentKey,
        revision: &RevisionId,
        metric: ScalingMetric,
    ) -> PortResult<RangeInclusive<Measure>> {
        let units = |least, most| Measure::from_units(least)..=Measure::from_units(most);
        let mode = if metric.is_utilization() { "busy" } else { "" };
        let address = serve(surface, key, revision, mode, 1).await?;
        Ok(match metric {
            // One thread is no more than one processor; it may get little of it.
            ScalingMetric::CpuUtilization => units(3, 130),
            // 64 MiB and little else, of 128.
            ScalingMetric::MemoryUtilization => units(50, 75),
            ScalingMetric::RequestRate | ScalingMetric::QueueLength => {
                for _ in 0..REQUESTS {
                    assert_eq!(stage::ask(&address, "/").await.0, 200);
                }
                // On a slow machine some of them are forgotten by the time that the last is answered.
                units(1, i64::from(REQUESTS))
            }
        })
    }

    async fn answer(
        &self,
        surface: &ProcessSurface,
        key: &ComponentKey,
        revision: &RevisionId,
        well: u32,
        failed: u32,
    ) -> PortResult<()> {
        answer(surface, (key, revision), (well, failed), Span::ZERO, self.clock.now()).await
    }

    async fn wait(&self, surface: &ProcessSurface, key: &ComponentKey, waits: bool) -> PortResult<()> {
        if waits {
            let address =
                surface.observe(key).await?.endpoint.unwrap().trim_start_matches("http://").to_owned();
            let request = tokio::spawn(async move { stage::ask(&address, "/").await });
            self.waiting.lock().unwrap().insert(key.clone(), request);
        } else if let Some(request) = self.waiting.lock().unwrap().remove(key) {
            request.abort();
        }
        Ok(())
    }
}

async fn of(kind: SurfaceKind, objective: Option<Measure>) -> Report {
    let clock = Arc::new(Driven(Mutex::new(runtime_testkit::sample::at(1_000_000))));
    let shared = Arc::clone(&clock);
    let folders = Folders::with(move |options| {
        options.clock = shared.clone();
        options.kind = kind;
        options.rate_window = Span::from_secs(WINDOW);
        options.requested_memory = 128 * 1024 * 1024;
        options.objective = objective;
    });
    let known = [ScalingMetric::CpuUtilization, ScalingMetric::MemoryUtilization, ScalingMetric::RequestRate];
    let budget = objective.map(|objective| BudgetCapabilities {
        left: Measure::from_micros(1_000_000 - objective.micros()),
        longest: Span::from_secs(900),
    });
    let waits = kind == SurfaceKind::Functions;
    let capabilities = SignalCapabilities { metrics: BTreeSet::from(known), budget, waits };
    scaling_signals(Sources { folders, clock, kind, waiting: Mutex::default() }, capabilities).await
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_scaling_signals_port() {
    of(SurfaceKind::Process, None).await.assert_passed();
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_scaling_signals_port_where_requests_wait_and_budgets_burn() {
    of(SurfaceKind::Functions, Some(Measure::from_micros(900_000))).await.assert_passed();
}
