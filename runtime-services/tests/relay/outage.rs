//! What cannot be reached: a bus, a subscriber, for long.

use std::sync::Arc;

use runtime_domain::time::Span;
use runtime_ports::store::ParkedUntil;

use crate::world::{Site, key};

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_down_for_hours_is_asked_seldom_and_loses_nothing() {
    let site = Site::new();
    for number in 1..=300 {
        site.raise(1 + number % 3, number, 4).await;
    }
    *site.bus.is_away.lock().unwrap() = true;
    let relay = site.relay();
    let hours = Span::from_secs(2 * 3_600);
    site.run_for(&relay, hours).await;
    // One event after the other, at most every 15 to 30 seconds, after the 64 that were under way together.
    assert!(site.bus.calls() < 64 + 2 * 3_600 / 15, "the bus was asked {} times", site.bus.calls());
    assert!(site.bus.calls() > 100, "the bus was asked {} times only", site.bus.calls());
    assert_eq!(site.parked(&relay).await, [], "an outage parks nothing");
    *site.bus.is_away.lock().unwrap() = false;
    site.run_for(&relay, Span::from_secs(90)).await;
    assert_eq!(site.bus.count(), 1_200);
    for number in 1..=300 {
        assert_eq!(site.bus.taken_of(key(number)), [1, 2, 3, 4]);
        assert_eq!(site.first.taken_of(key(number)), [1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_away_delays_nobody_and_catches_up_by_itself() {
    let site = Site::new();
    *site.first.is_away.lock().unwrap() = true;
    for number in 1..=300 {
        site.raise(1 + number % 3, number, 2).await;
    }
    let relay = site.relay();
    site.run_for(&relay, Span::from_secs(5)).await;
    assert_eq!((site.bus.count(), site.second.count(), site.first.count()), (600, 600, 0));
    assert!(site.parked(&relay).await.iter().all(|parked| parked.until == ParkedUntil::Reachable));
    site.run_for(&relay, Span::from_secs(3_600)).await;
    assert!(site.first.calls() < 64 + 3_600 / 15, "it was asked {} times", site.first.calls());
    for number in 1..=300 {
        site.raise(1 + number % 3, number, 1).await;
    }
    *site.first.is_away.lock().unwrap() = false;
    site.run_for(&relay, Span::from_secs(120)).await;
    for number in 1..=300 {
        assert_eq!(site.first.taken_of(key(number)), [1, 2, 3]);
        assert_eq!(site.second.taken_of(key(number)), [1, 2, 3], "others get nothing twice");
    }
    assert_eq!(site.parked(&relay).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_host_has_parked_for_an_absent_subscriber_the_next_host_resumes() {
    let site = Site::new();
    *site.first.is_away.lock().unwrap() = true;
    site.raise(1, 1, 3).await;
    site.run_for(&site.relay(), Span::from_millis(4_500)).await;
    *site.first.is_away.lock().unwrap() = false;
    assert_eq!(site.parked(&site.relay()).await.len(), 1);
    site.run_for(&site.relay(), Span::from_secs(5)).await;
    assert_eq!(site.first.taken_of(key(1)), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_never_answers_is_given_up_for_a_while() {
    struct Mute;
    #[async_trait::async_trait]
    impl runtime_ports::subscriber::Subscriber for Mute {
        fn name(&self) -> &str {
            "mute"
        }
        async fn handle(
            &self,
            _delivery: runtime_ports::subscriber::Delivery<'_>,
        ) -> Result<(), runtime_ports::subscriber::NotHandled> {
            std::future::pending().await
        }
    }
    let mut site = Site::new();
    site.options.call_timeout = Span::from_secs(60);
    site.raise(1, 1, 2).await;
    let relay = site.relay_to(vec![Arc::new(Mute)]);
    site.run_for(&relay, Span::from_millis(60_500)).await;
    assert_eq!(site.bus.taken_of(key(1)), [1, 2]);
    let parked = site.parked(&relay).await;
    assert!(parked[0].reason.contains("no answer within"), "{}", parked[0].reason);
}
