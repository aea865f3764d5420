//! What observers of the in-process bus are shown.

use runtime_domain::id::AggregateKind;
use runtime_memory::{InProcessBus, Observation, Observed};
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_testkit::sample::{self, Draft};

fn events(count: u64) -> Vec<PublishedEvent> {
    let key = sample::key(AggregateKind::RuntimeDeployment, 1);
    Draft::create(1, key).entries(count).publishing().write().outbox
}

async fn next(observation: &mut Observation) -> Option<u64> {
    match observation.next().await {
        Some(Observed::Event(event)) => Some(event.sequence),
        Some(Observed::Lagged { .. }) | None => None,
    }
}

#[tokio::test]
async fn every_observer_is_shown_what_is_published_since_it_began_in_order() {
    let bus = InProcessBus::new();
    let [first, second, third] = &events(3)[..] else { panic!("three events") };
    bus.publish(first).await.unwrap();
    let mut early = bus.observe();
    bus.publish(second).await.unwrap();
    let mut late = bus.observe();
    bus.publish(third).await.unwrap();
    assert_eq!((next(&mut early).await, next(&mut early).await), (Some(2), Some(3)));
    assert_eq!(next(&mut late).await, Some(3));
}

#[tokio::test]
async fn an_observer_that_lags_is_told_how_many_it_missed() {
    let bus = InProcessBus::with_capacity(4);
    let mut slow = bus.observe();
    for event in events(10) {
        bus.publish(&event).await.unwrap();
    }
    assert_eq!(slow.next().await, Some(Observed::Lagged { missed: 6 }));
    assert_eq!(next(&mut slow).await, Some(7));
}

#[tokio::test]
async fn an_observation_ends_with_the_bus_after_what_was_left() {
    let bus = InProcessBus::default();
    let mut observation = bus.observe();
    bus.publish(&events(1)[0]).await.unwrap();
    bus.check().await.unwrap();
    drop(bus);
    assert_eq!(next(&mut observation).await, Some(1));
    assert_eq!(observation.next().await, None);
}

#[tokio::test]
async fn publishing_without_observers_is_no_failure() {
    InProcessBus::new().publish(&events(1)[0]).await.unwrap();
}
