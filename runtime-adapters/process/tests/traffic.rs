//! The data plane, with real requests to real processes.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use hyper::body::Bytes;
use runtime_domain::metric::{MetricName, MetricQuery};
use runtime_domain::surface::{Traffic, TrafficWeights};
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Percent};
use runtime_ports::clock::Clock as _;
use runtime_ports::metric::MetricSource as _;
use runtime_ports::surface::ComputeSurface as _;

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Load, Stage, ask, failed, kill, poll_pause};
use world::{effect, key, revision, spec};

fn split(first: u128, share: u8, second: u128) -> Traffic {
    let share = Percent::new(share).expect("a share");
    Traffic::Weighted(TrafficWeights::split(revision(first), share, revision(second)))
}

/// How many of `answers` are of this revision.
fn of(answers: &[(u16, String)], number: u128) -> usize {
    let text = revision(number).to_string();
    answers.iter().filter(|(_, body)| *body == text).count()
}

/// Lets the load meet what is in force now.
async fn enough(stage: &Stage) {
    for _ in 0..20 {
        stage.ask("/").await;
        poll_pause().await;
    }
}

#[tokio::test]
async fn a_hundred_requests_are_divided_exactly_by_the_weights() {
    let stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    stage.apply(2, "", 1).await;
    stage.ready(2, 1).await;
    let address = stage.address().await;
    for share in [10, 50, 0, 100] {
        stage.shift(split(2, share, 1)).await;
        let mut answers = Vec::new();
        for _ in 0..100 {
            answers.push(ask(&address, "/").await);
        }
        assert_eq!(of(&answers, 2), usize::from(share));
        assert_eq!(of(&answers, 1), usize::from(100 - share));
    }
}

#[tokio::test]
async fn no_request_is_lost_while_traffic_moves_and_the_old_revision_is_scaled_down_and_retired() {
    let stage = Stage::new().await;
    stage.serve(1, "", 3).await;
    let load = Load::start(&stage.address().await, "/");
    stage.apply(2, "", 2).await;
    stage.ready(2, 2).await;
    for share in [10, 50, 90] {
        stage.shift(split(2, share, 1)).await;
        enough(&stage).await;
    }
    stage.scale(1, 1).await;
    enough(&stage).await;
    stage.shift(Traffic::all_to(revision(2))).await;
    stage.retire(1).await;
    stage.gone(1).await;
    stage.scale(2, 1).await;
    enough(&stage).await;
    let answers = load.answers().await;
    assert!(answers.len() > 100, "{}", answers.len());
    assert_eq!(failed(&answers), Vec::<&(u16, String)>::new());
    assert!(of(&answers, 1) > 0 && of(&answers, 2) > 0);
}

#[tokio::test]
async fn once_traffic_was_shifted_no_request_goes_where_it_went_before() {
    let stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    stage.apply(2, "", 2).await;
    stage.ready(2, 2).await;
    let address = stage.address().await;
    for (number, ordinal) in [(2, 1), (1, 2), (2, 3)] {
        let wanted = Traffic::all_to(revision(number));
        stage.surface().shift_traffic(effect(5, ordinal), &key(), &wanted).await.expect("shifted");
        assert_eq!(stage.surface().routed_by(&key()), Some(effect(5, ordinal).effect));
        assert_eq!(stage.observe().await.traffic, Some(wanted));
        for _ in 0..20 {
            assert_eq!(ask(&address, "/").await, (200, revision(number).to_string()));
        }
    }
}

/// A request that the proxy must not send twice, so that one which is cut off is seen to be.
async fn post(address: String) -> (u16, String) {
    match world::send("POST", &address, "/", Bytes::from_static(b"once")).await {
        Ok((status, body)) => (status.as_u16(), String::from_utf8_lossy(&body).into_owned()),
        Err(error) => (0, error.to_string()),
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_its_instance_is_stopped() {
    let stage = Stage::new().await;
    stage.serve(1, "slow", 1).await;
    stage.apply(2, "", 1).await;
    stage.ready(2, 1).await;
    let address = stage.address().await;
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(post(address.clone()))).collect();
    let log = stage.component_folder().join("logs").join("cart-000000000001-1.log");
    let arrived = tokio::time::timeout(world::PATIENCE, async {
        while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 4 {
            poll_pause().await;
        }
    });
    arrived.await.expect("the requests arrive");
    stage.shift(Traffic::all_to(revision(2))).await;
    stage.retire(1).await;
    stage.gone(1).await;
    for client in clients {
        assert_eq!(client.await.expect("the client goes on"), (200, revision(1).to_string()));
    }
}

#[tokio::test]
async fn a_killed_instance_costs_no_safe_request_while_another_is_ready() {
    let stage = Stage::new().await;
    stage.serve(1, "", 3).await;
    let pids = stage.pids(&revision(1)).await;
    let load = Load::start(&stage.address().await, "/");
    enough(&stage).await;
    kill(pids[0].parse().expect("a number"));
    stage.restarted(1, 3).await;
    assert_eq!(failed(&load.answers().await), Vec::<&(u16, String)>::new());
}

#[tokio::test]
async fn without_a_ready_instance_a_request_is_answered_with_503_and_a_reason() {
    let stage = Stage::new().await;
    stage.apply(1, "never-ready", 1).await;
    stage.shift(Traffic::all_to(revision(1))).await;
    let (status, text) = stage.ask("/").await;
    assert_eq!(status, 503);
    assert!(text.contains("no instance"), "{text}");
}

#[tokio::test]
async fn where_a_request_came_from_is_told_by_the_proxy_and_never_by_the_client() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let address = stage.address().await;
    let stream = tokio::net::TcpStream::connect(&address).await.expect("connected");
    let text = raw(
        stream,
        "GET /headers HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n\
         x-forwarded-user: admin\r\nforwarded: for=203.0.113.9\r\nconnection: close, x-hop\r\nx-hop: 1\r\nupgrade: h2c\r\n\
         te: trailers\r\nx-kept: yes\r\n\r\n",
    )
    .await;
    for expected in [
        "x-forwarded-for: \"127.0.0.1\"",
        "x-forwarded-proto: \"http\"",
        "x-forwarded-host: \"shop.example\"",
        "host: \"shop.example\"",
        "x-kept: \"yes\"",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    for absent in ["203.0.113.9", "x-forwarded-user", "x-hop", "h2c", "\nte: "] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

async fn raw(mut stream: tokio::net::TcpStream, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    text
}

#[tokio::test]
async fn a_body_reaches_its_instance_whole_whatever_its_size() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let address = stage.address().await;
    for size in [0, 1, 70_000, 3_000_000] {
        let body: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
        let (status, echoed) = world::send("POST", &address, "/echo", body.clone()).await.expect("answered");
        assert_eq!(status.as_u16(), 200);
        assert!(echoed == body, "{size}");
    }
}

#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_costs_a_504() {
    let stage = Stage::with(|options| options.answer_timeout = Span::from_millis(50)).await;
    stage.serve(1, "slow", 1).await;
    assert_eq!(stage.ask("/").await.0, 504);
}

#[tokio::test]
async fn metrics_are_told_apart_by_revision_and_absent_where_there_is_no_traffic() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    stage.apply(2, "fails", 1).await;
    stage.ready(2, 1).await;
    let since = world::MachineClock.now();
    stage.shift(split(2, 25, 1)).await;
    for _ in 0..40 {
        assert_eq!(stage.ask("/").await.0, 200, "what the new revision fails, the other answers");
    }
    let reading = async |number, metric| {
        let until = world::MachineClock.now();
        let query = MetricQuery { key: key(), revision: revision(number), metric, since, until };
        stage.surface().read(&query).await.expect("a reading")
    };
    // An answer is counted when its last byte was passed on, which the client may notice first.
    let counted = tokio::time::timeout(world::PATIENCE, async {
        while reading(1, MetricName::ErrorRate).await.samples
            + reading(2, MetricName::ErrorRate).await.samples
            < 50
        {
            poll_pause().await;
        }
    });
    counted.await.expect("every request is counted");
    let good = reading(1, MetricName::ErrorRate).await;
    assert_eq!((good.value, good.samples), (Some(Measure::from_units(0)), 40));
    let bad = reading(2, MetricName::ErrorRate).await;
    assert_eq!((bad.value, bad.samples), (Some(Measure::from_units(1)), 10));
    assert!(reading(1, MetricName::LatencyP99).await.value.is_some());
    assert!(reading(1, MetricName::RequestRate).await.newest.is_some_and(|newest| newest >= since));
    assert_eq!(reading(3, MetricName::ErrorRate).await.value, None);
}

#[tokio::test]
async fn a_revision_without_any_ready_instance_shows_its_errors() {
    let stage = Stage::new().await;
    let wanted = spec(1, "never-ready");
    stage.surface().apply(effect(1, 1), &wanted, 1).await.expect("applied");
    stage.shift(Traffic::all_to(revision(1))).await;
    let since = world::MachineClock.now();
    stage.ask("/").await;
    let query = MetricQuery {
        key: key(),
        revision: revision(1),
        metric: MetricName::ErrorRate,
        since,
        until: Span::from_secs(1).after(world::MachineClock.now()),
    };
    let reading = stage.surface().read(&query).await.expect("a reading");
    assert_eq!((reading.value, reading.samples), (Some(Measure::from_units(1)), 1));
}
