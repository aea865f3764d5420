//! Services that scale: real processes behind their proxies, under requests. The host's clock goes thirty times as fast as the machine's.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

mod outage;
mod rollout;
mod stage;

use std::time::Duration;

use factory_runtime::domain::scaling::ScalingMetric::RequestRate;
use factory_runtime::domain::surface::SurfaceKind;
use stage::{Load, Stage, get, terms, until};

const MULTI: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_grows_with_its_load_and_shrinks_after_it_and_no_request_fails() {
    let stage = Stage::new().await;
    stage.deploy("web", "1.0.0", "").await;
    let mut terms = terms(SurfaceKind::Process, 1, 3, RequestRate, 10);
    terms.tolerance = factory_runtime::domain::value::Percent::new(20).expect("a percentage");
    stage.apply("web", terms).await;
    let load = Load::begin(&stage.endpoint("web").await, 15);
    stage.until_replicas("web", 3).await;
    load.slow_down(300);
    stage.until_replicas("web", 1).await;
    // What was decided was seen, and only then told.
    let (sent, failed) = load.end().await;
    assert_eq!(failed, 0, "of {sent}");
    let applied = until("what was seen is told", async || {
        let applied = stage.policy("web").await.applied().to_vec();
        applied.last().is_some_and(|action| action.to == 1).then_some(applied)
    })
    .await;
    let (first, last) = (applied.first().expect("actions"), applied.last().expect("actions"));
    assert_eq!((first.from, last.to), (1, 1), "{applied:?}");
    assert!(applied.iter().any(|action| action.to == 3), "{applied:?}");
    assert!(stage.explanation("web").await.contains("request-rate"));
}

/// Shows SCL-2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_nobody_calls_runs_nothing_and_loses_no_request_when_it_is_called() {
    let stage = Stage::new().await;
    stage.deploy("fun", "1.0.0", "    surface: functions\n").await;
    let endpoint = stage.endpoint("fun").await;
    stage.apply("fun", terms(SurfaceKind::Functions, 0, 2, RequestRate, 100)).await;
    for round in 0..2 {
        stage.until_replicas("fun", 0).await;
        let before = activations(&stage).await;
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let endpoint = endpoint.clone();
                tokio::spawn(async move { get(&endpoint, "/pid").await })
            })
            .collect();
        let mut pids = std::collections::BTreeSet::new();
        for call in calls {
            let answered = tokio::time::timeout(MULTI, call).await.expect("in time").expect("no panic");
            let (status, pid) = answered.expect("an answer");
            assert_eq!(status, 200, "{pid}");
            pids.insert(pid);
        }
        assert_eq!(pids.len(), 1, "they woke one process");
        assert_eq!(activations(&stage).await, before + 1, "in round {round}: it was woken once");
    }
}

async fn activations(stage: &Stage) -> usize {
    stage.events("fun").await.iter().filter(|event| *event == "ScalingActivated").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_scaled_into_a_dependency_that_answers_badly() {
    let stage = Stage::new().await;
    let stock = "    depends_on: [stock]
  stock:
    image: test/web:1.0.0
    version: 1.0.0
    readiness: { path: /ready, period: 50ms }
";
    stage.deploy("web", "1.0.0", stock).await;
    assert_eq!(get(&stage.endpoint("stock").await, "/fail").await.expect("an answer").0, 200);
    let ids = async |module: &str| {
        let services = stage.runtime.inventory().services(&stage.scope, stage.environment).await;
        let services = services.expect("listed");
        services.iter().find(|it| it.module_id().as_str() == module).map(|it| it.service_id())
    };
    until("stock is known to be ill", async || {
        let health = stage.runtime.health().health(&stage.scope, ids("stock").await?).await.ok()?;
        (health.status() == Some(factory_runtime::domain::health::HealthStatus::Unhealthy)).then_some(())
    })
    .await;
    let load = Load::begin(&stage.endpoint("web").await, 20);
    stage.apply("web", terms(SurfaceKind::Process, 1, 3, RequestRate, 5)).await;
    until("it is explained", async || {
        let why = stage.explanation("web").await;
        (why.contains("proposes") && why.contains("the circuit to stock is open: none is added"))
            .then_some(())
    })
    .await;
    stage.evaluated("web", 2).await;
    assert_eq!(stage.replicas("web").await, (1, 1));
    assert_eq!(load.end().await.1, 0);
}
