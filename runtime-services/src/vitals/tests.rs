//! A store and a bus that fail, workers that end and hang.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use runtime_ports::publisher::MockEventPublisher;
use runtime_ports::store::MockStore;
use runtime_testkit::sample;

use super::*;
use crate::host::{HostOptions, Ports};
use crate::records::Records;
use crate::testing::{self, DrivenClock, until};

fn host(clock: &DrivenClock, change: impl FnOnce(&mut Ports)) -> Host {
    let mut ports = testing::host(clock, Records::default()).ports().clone();
    change(&mut ports);
    Host::new(ports, HostOptions::default())
}

fn away(operation: &'static str) -> PortResult<()> {
    Err(PortError::new(PortErrorKind::Unavailable, operation, "connection refused"))
}

#[tokio::test]
async fn a_host_whose_store_and_bus_answer_is_ready() {
    let clock = DrivenClock::at(sample::at(0));
    let readiness = readiness(&host(&clock, |_| {})).await;
    assert!(readiness.is_ready(), "{readiness:?}");
}

/// Shows X-13.
#[tokio::test]
async fn readiness_names_the_store_that_fails_and_liveness_does_not_follow_it() {
    let clock = DrivenClock::at(sample::at(0));
    let mut store = MockStore::new();
    store.expect_check().returning(|| away("store.check"));
    let host = host(&clock, |ports| ports.store = Arc::new(store));
    let readiness = readiness(&host).await;
    assert!(!readiness.is_ready());
    assert_eq!(readiness.missing.len(), 1, "{readiness:?}");
    assert!(readiness.missing[0].starts_with("the store: "), "{readiness:?}");
    assert!(readiness.missing[0].contains("connection refused"), "{readiness:?}");
    assert!(liveness(&host).is_live());
}

/// Shows X-13.
#[tokio::test]
async fn readiness_names_the_bus_that_fails() {
    let clock = DrivenClock::at(sample::at(0));
    let mut bus = MockEventPublisher::new();
    bus.expect_check().returning(|| away("publisher.check"));
    let readiness = readiness(&host(&clock, |ports| ports.publisher = Arc::new(bus))).await;
    assert_eq!(readiness.missing.len(), 1, "{readiness:?}");
    assert!(readiness.missing[0].starts_with("the event bus: "), "{readiness:?}");
}

/// A store that never answers.
struct Hanging;

#[async_trait::async_trait]
impl runtime_ports::publisher::EventPublisher for Hanging {
    async fn publish(&self, _: &runtime_ports::publisher::PublishedEvent) -> PortResult<()> {
        std::future::pending().await
    }

    async fn check(&self) -> PortResult<()> {
        std::future::pending().await
    }
}

/// Shows X-13.
#[tokio::test]
async fn a_bus_that_does_not_answer_is_missing_after_five_seconds() {
    let clock = DrivenClock::at(sample::at(0));
    let host = host(&clock, |ports| ports.publisher = Arc::new(Hanging));
    let asked = tokio::spawn(async move { readiness(&host).await });
    until("readiness is answered", || {
        clock.advance(Span::from_secs(1));
        asked.is_finished()
    })
    .await;
    let missing = asked.await.unwrap().missing;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].contains("no answer within"), "{missing:?}");
}

/// Shows X-13.
#[tokio::test]
async fn a_worker_that_ends_unasked_makes_the_host_not_live() {
    let clock = DrivenClock::at(sample::at(0));
    let host = host(&clock, |_| {});
    let stop = CancellationToken::new();
    host.vitals().watch("quits", stop.clone(), async {}).await;
    let panics = host.vitals().watch("panics", stop.clone(), async { panic!("as the test wants it") });
    assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
    let ailing = liveness(&host).ailing;
    assert_eq!(ailing, ["panics: it ended without being told to", "quits: it ended without being told to"]);
    // Begun again, it lives.
    let runs = host.clone();
    let again = stop.clone();
    let work = tokio::spawn(async move {
        let until_told = again.clone().cancelled_owned();
        runs.vitals().watch("quits", again, until_told).await;
    });
    until("it runs again", || liveness(&host).ailing.len() == 1).await;
    stop.cancel();
    work.await.unwrap();
    assert_eq!(liveness(&host).ailing.len(), 1, "what was told to stop is not missed");
}

/// Shows X-13.
#[tokio::test]
async fn a_worker_that_does_not_come_round_makes_the_host_not_live_until_it_does() {
    let clock = DrivenClock::at(sample::at(0));
    let host = host(&clock, |_| {});
    let (runs, stop) = (host.clone(), CancellationToken::new());
    let told = stop.clone();
    let work = tokio::spawn(async move {
        let until_told = told.clone().cancelled_owned();
        runs.vitals().watch("hangs", told, until_told).await;
    });
    until("it runs", || host.vitals().workers().contains_key("hangs")).await;
    host.vitals().beat("hangs", host.now());
    clock.advance(host.options().worker_silence);
    assert!(liveness(&host).is_live());
    clock.advance(Span::from_millis(1));
    let ailing = liveness(&host).ailing;
    assert_eq!(ailing.len(), 1, "{ailing:?}");
    assert!(ailing[0].starts_with("hangs: it has not come round for "), "{ailing:?}");
    host.vitals().beat("hangs", host.now());
    assert!(liveness(&host).is_live());
    stop.cancel();
    work.await.unwrap();
}
