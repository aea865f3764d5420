//! What services are scaled by, and requests that wait for a first replica, with real processes.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use runtime_domain::scaling::{Reading, ScalingMetric};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::PortErrorKind;
use runtime_ports::clock::Clock as _;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals as _, SignalQuery};
use tokio::task::JoinHandle;

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Load, Stage, ask, failed, poll_pause};
use world::{PATIENCE, key, revision};

fn query(target: SurfaceKind, metric: ScalingMetric) -> SignalQuery {
    SignalQuery { key: key(), target, revision: revision(1), metric, at: world::MachineClock.now() }
}

async fn asleep(stage: &Stage) -> String {
    stage.serve(1, "", 1).await;
    stage.scale(1, 0).await;
    stage.until("no replica", |seen| seen.revisions.values().all(|it| it.instances.is_empty())).await;
    stage.address().await
}

fn call(address: &str) -> JoinHandle<(u16, String)> {
    let address = address.to_owned();
    tokio::spawn(async move { ask(&address, "/").await })
}

async fn waited_for(stage: &Stage) {
    let waiting = tokio::time::timeout(PATIENCE, stage.surface().waiting()).await.expect("something waits");
    assert_eq!(waiting, [key()]);
}

/// Shows SCL-2.
#[tokio::test]
async fn requests_that_meet_no_replica_wait_for_the_first_and_those_that_are_too_many_do_not() {
    let stage = Stage::with(|options| {
        options.kind = SurfaceKind::Functions;
        options.activation_limit = 3;
    })
    .await;
    let address = asleep(&stage).await;
    let mut calls: Vec<_> = (0..5).map(|_| call(&address)).collect();
    waited_for(&stage).await;
    let mut refused = 0;
    while refused < 2 {
        let (ended, left): (Vec<_>, Vec<_>) = calls.into_iter().partition(JoinHandle::is_finished);
        calls = left;
        for call in ended {
            let (status, said) = call.await.expect("it goes on");
            assert_eq!(status, 503, "{said}");
            refused += 1;
        }
        poll_pause().await;
    }
    stage.scale(1, 1).await;
    for call in calls {
        assert_eq!(call.await.expect("it goes on").0, 200);
    }
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(50), stage.surface().waiting()).await;
    assert!(quiet.is_err(), "nothing waits any more");
}

#[tokio::test]
async fn a_request_waits_for_so_long_and_gives_its_place_back_when_its_client_leaves() {
    let stage = Stage::with(|options| {
        options.kind = SurfaceKind::Functions;
        options.activation_limit = 1;
        options.activation_timeout = Span::from_millis(300);
    })
    .await;
    let address = asleep(&stage).await;
    let leaving = call(&address);
    waited_for(&stage).await;
    leaving.abort();
    // Whoever comes next has the place, and is told that nobody came.
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(10) {
        let asked = tokio::time::Instant::now();
        assert_eq!(ask(&address, "/").await.0, 503);
        if asked.elapsed() >= std::time::Duration::from_millis(300) {
            return;
        }
    }
    panic!("the place was not given back");
}

#[tokio::test]
async fn a_service_that_goes_to_none_and_comes_back_under_load_loses_no_request() {
    let stage = Stage::with(|options| options.kind = SurfaceKind::Functions).await;
    stage.serve(1, "", 1).await;
    let address = stage.address().await;
    let load = Load::start(&address, "/");
    for _ in 0..5 {
        stage.scale(1, 0).await;
        waited_for(&stage).await;
        stage.scale(1, 1).await;
        stage.ready(1, 1).await;
    }
    let answers = load.answers().await;
    assert!(answers.len() > 20, "{}", answers.len());
    assert_eq!(failed(&answers), Vec::<&(u16, String)>::new());
}

#[tokio::test]
async fn what_sleeps_is_woken_after_another_host_took_over() {
    let mut stage = Stage::with(|options| options.kind = SurfaceKind::Functions).await;
    let address = asleep(&stage).await;
    stage.shutdown().await;
    stage.open().await;
    stage.until("the endpoint", |seen| seen.endpoint.is_some()).await;
    let waiting = call(&address);
    waited_for(&stage).await;
    stage.scale(1, 1).await;
    assert_eq!(waiting.await.expect("it goes on").0, 200);
}

#[tokio::test]
async fn a_surface_of_processes_does_not_hold_a_request_for_nobody() {
    let stage = Stage::new().await;
    let address = asleep(&stage).await;
    assert_eq!(ask(&address, "/").await.0, 503);
}

#[tokio::test]
async fn what_a_busy_process_uses_is_measured_over_time_and_its_memory_at_once() {
    let stage = Stage::with(|options| options.requested_memory = 128 * 1024 * 1024).await;
    stage.serve(1, "busy", 2).await;
    let process = SurfaceKind::Process;
    let read = async |metric| stage.surface().signal(&query(process, metric)).await.expect("read");
    let Reading::Missing { why } = read(ScalingMetric::CpuUtilization).await else {
        panic!("nothing can be known at the first look")
    };
    assert!(why.contains("first time"), "{why}");
    let cpu = tokio::time::timeout(PATIENCE, async {
        loop {
            poll_pause().await;
            if let Reading::Measured { value, samples: 2, .. } = read(ScalingMetric::CpuUtilization).await
                && value > Measure::from_units(5)
            {
                return value;
            }
        }
    });
    let cpu = cpu.await.expect("it is measured");
    assert!(cpu <= Measure::from_units(130), "one thread is no more than one processor: {cpu}");
    let Reading::Measured { value: memory, samples: 2, .. } = read(ScalingMetric::MemoryUtilization).await
    else {
        panic!("memory is known at once")
    };
    let held = Measure::from_units(50)..=Measure::from_units(75);
    assert!(held.contains(&memory), "64 MiB and little else, of 128: {memory}");
}

#[tokio::test]
async fn what_the_surface_cannot_know_is_unsupported_and_never_a_value() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let surface = stage.surface();
    let process = SurfaceKind::Process;
    let burn = BurnQuery {
        key: key(),
        target: process,
        revision: revision(1),
        short: Span::from_secs(60),
        long: Span::from_secs(600),
        at: world::MachineClock.now(),
    };
    for (what, kind) in [
        ("a queue", surface.signal(&query(process, ScalingMetric::QueueLength)).await.err()),
        (
            "another target",
            surface.signal(&query(SurfaceKind::Functions, ScalingMetric::RequestRate)).await.err(),
        ),
        ("a budget without an objective", surface.burn(&burn).await.err()),
    ]
    .map(|(what, error)| (what, error.map(|error| error.kind())))
    {
        assert_eq!(kind, Some(PortErrorKind::Unsupported), "{what}");
    }
    let absent = SignalQuery {
        key: runtime_domain::surface::ComponentKey { module: "other".parse().expect("a name"), ..key() },
        ..query(process, ScalingMetric::RequestRate)
    };
    assert!(matches!(surface.signal(&absent).await, Ok(Reading::Missing { .. })));
}

#[tokio::test]
async fn an_error_budget_burns_as_fast_as_requests_fail_against_what_the_objective_leaves() {
    let stage = Stage::with(|options| options.objective = Some("0.9".parse().expect("a share"))).await;
    stage.serve(1, "fails", 1).await;
    for _ in 0..5 {
        assert_eq!(stage.ask("/").await.0, 500);
    }
    let burn = BurnQuery {
        key: key(),
        target: SurfaceKind::Process,
        revision: revision(1),
        short: Span::from_secs(60),
        long: Span::from_secs(600),
        at: Span::from_secs(1).after(world::MachineClock.now()),
    };
    let read = stage.surface().burn(&burn).await.expect("read");
    let Reading::Measured { value, samples: 5, .. } = read.short else { panic!("{read:?}") };
    assert_eq!(value, Measure::from_units(10), "all of it fails, and a tenth may");
    assert_eq!(read.long, read.short);
}
