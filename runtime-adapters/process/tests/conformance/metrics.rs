//! The metric source's suite.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::metric::MetricName;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortResult;
use runtime_ports::clock::Clock as _;
use runtime_process::ProcessSurface;
use runtime_testkit::conformance::metrics::Requests;
use runtime_testkit::conformance::{
    AdapterFactory, MetricCapabilities, MetricFactory, Persistence, Verdict, metrics,
};

use crate::{Driven, Folders, answer};

struct Sources {
    folders: Folders,
    clock: Arc<Driven>,
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
impl MetricFactory for Sources {
    async fn answer(&self, surface: &ProcessSurface, requests: &Requests) -> PortResult<()> {
        let Requests { key, revision, well, failed, takes } = requests;
        answer(surface, (key, revision), (*well, *failed), *takes, self.clock.now()).await
    }

    fn now(&self, _: &ProcessSurface) -> Timestamp {
        self.clock.now()
    }

    async fn pass(&self, _: &ProcessSurface, span: Span) {
        self.clock.pass(span);
    }
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_metric_sources_port() {
    let clock = Arc::new(Driven(Mutex::new(runtime_testkit::sample::at(1_000_000))));
    let shared = Arc::clone(&clock);
    let folders = Folders::with(move |options| options.clock = shared.clone());
    let known =
        [MetricName::ErrorRate, MetricName::LatencyP50, MetricName::LatencyP99, MetricName::RequestRate];
    let report =
        metrics(Sources { folders, clock }, MetricCapabilities { metrics: BTreeSet::from(known) }).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}
