//! Poison events: they hold one destination's part of one stream, are seen, and go on when they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime_domain::time::Span;
use runtime_ports::store::{ParkedUntil, Unpark};
use runtime_services::relay::{Deduplicated, SubscriberError};
use runtime_testkit::faults::{Fault, Faults};
use runtime_testkit::sample;

use crate::world::{Log, Noting, Site, key};

const SHORT: Span = Span::from_secs(10);

/// Buried: taskiq-aio-pika#35. Theirs: a poison message was delivered again for ever. Ours: it is parked: one destination of one stream waits for a
/// person, and everything else goes on.
/// Shows X-4.
#[tokio::test(start_paused = true)]
async fn a_poison_event_holds_its_own_stream_and_destination_until_it_is_unparked() {
    let site = Site::new();
    site.raise(1, 1, 5).await;
    site.raise(1, 2, 5).await;
    site.bus.refuses.lock().unwrap().insert((key(1), 3));
    let relay = site.relay();
    site.run_for(&relay, SHORT).await;
    let all = vec![1, 2, 3, 4, 5];
    assert_eq!(site.bus.taken_of(key(1)), [1, 2]);
    assert_eq!(site.bus.taken_of(key(2)), all, "another stream waits");
    assert_eq!(site.first.taken_of(key(1)), all, "another destination waits");

    let parked = site.parked(&relay).await;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!((parked[0].stream.key, parked[0].stream.destination.as_str()), (key(1), "bus"));
    assert_eq!((parked[0].sequence, parked[0].until), (3, ParkedUntil::Unparked));
    assert!(parked[0].reason.contains("the test wants it so"), "{}", parked[0].reason);

    // Unparked too early it is parked again, at the same event.
    let one = Unpark::One(parked[0].stream.clone());
    assert_eq!(relay.unpark(&sample::operator(), &one).await.unwrap(), 1);
    site.raise(1, 1, 1).await;
    site.run_for(&relay, SHORT).await;
    assert_eq!(site.parked(&relay).await[0].sequence, 3);
    assert_eq!(site.bus.taken_of(key(1)), [1, 2]);

    site.bus.refuses.lock().unwrap().clear();
    assert_eq!(relay.unpark(&sample::operator(), &one).await.unwrap(), 1);
    site.run_for(&relay, SHORT).await;
    assert_eq!(site.bus.taken_of(key(1)), [1, 2, 3, 4, 5, 6], "what was missed comes in order");
    assert_eq!(site.first.taken_of(key(1)), [1, 2, 3, 4, 5, 6], "nobody else gets it twice");
    assert_eq!(site.parked(&relay).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_keeps_failing_is_parked_after_as_many_tries_as_the_options_say() {
    let mut site = Site::new();
    site.options.delivery_attempts = 3;
    site.raise(1, 1, 2).await;
    *site.first.fails.lock().unwrap() = 2;
    let relay = site.relay();
    site.run_for(&relay, SHORT).await;
    assert_eq!(site.first.taken_of(key(1)), [1, 2], "two failures of three are forgiven");

    *site.first.fails.lock().unwrap() = 3;
    site.raise(1, 1, 2).await;
    site.run_for(&relay, SHORT).await;
    assert_eq!(site.first.taken_of(key(1)), [1, 2]);
    assert_eq!(site.second.taken_of(key(1)), [1, 2, 3, 4]);
    let parked = site.parked(&relay).await;
    assert!(parked[0].reason.starts_with("failed 3 times"), "{}", parked[0].reason);
    relay.unpark(&sample::operator(), &Unpark::All { destination: None }).await.unwrap();
    site.run_for(&relay, SHORT).await;
    assert_eq!(site.first.taken_of(key(1)), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_long_backlog_of_one_destination_is_caught_up_in_order_while_new_events_come() {
    let site = Site::new();
    site.raise(1, 1, 1).await;
    site.second.refuses.lock().unwrap().insert((key(1), 1));
    let relay = site.relay();
    site.run_for(&relay, SHORT).await;
    site.raise(1, 1, 500).await;
    site.run_for(&relay, SHORT).await;
    assert_eq!((site.first.count(), site.second.count()), (501, 0));
    site.second.refuses.lock().unwrap().clear();
    relay.unpark(&sample::operator(), &Unpark::All { destination: None }).await.unwrap();
    site.raise(1, 1, 500).await;
    site.run_for(&relay, SHORT).await;
    let all: Vec<u64> = (1..=1_001).collect();
    assert_eq!(site.first.taken_of(key(1)), all);
    assert_eq!(site.second.taken_of(key(1)), all);
}

/// An old answer tells that a destination is behind which has caught up since, and so is passed over.
#[tokio::test(start_paused = true)]
async fn who_is_passed_over_because_of_an_old_answer_loses_nothing() {
    let site = Site::new();
    site.raise(1, 1, 1).await;
    site.second.refuses.lock().unwrap().insert((key(1), 1));
    site.run_for(&site.relay(), SHORT).await;
    site.second.refuses.lock().unwrap().clear();
    site.raise(1, 1, 1).await;

    let looked = AtomicU64::new(0);
    let faults = Faults::new(move |call| {
        let is_second = call.method == "store.outbox" && looked.fetch_add(1, Ordering::Relaxed) == 1;
        is_second.then_some(Fault::Stale)
    });
    let site = Site { store: faults.store(Arc::clone(&site.store)), ..site };
    let relay = site.relay();
    relay.unpark(&sample::operator(), &Unpark::All { destination: None }).await.unwrap();
    site.run_for(&relay, SHORT).await;
    assert_eq!(site.second.taken_of(key(1)), [1, 2]);
    assert_eq!(site.first.taken_of(key(1)), [1, 2, 2], "what is not marked is sent once more");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_parked_for_a_subscriber_which_is_gone_says_so_and_keeps_its_events() {
    let site = Site::new();
    site.raise(1, 1, 2).await;
    site.second.refuses.lock().unwrap().insert((key(1), 1));
    site.run_for(&site.relay(), SHORT).await;
    let first = Noting { name: "first", log: Arc::clone(&site.first) };
    let without = site.relay_to(vec![Arc::new(first)]);
    without.unpark(&sample::operator(), &Unpark::All { destination: None }).await.unwrap();
    site.run_for(&without, SHORT).await;
    let parked = site.parked(&without).await;
    assert!(parked[0].reason.contains("no subscriber `second`"), "{}", parked[0].reason);

    site.second.refuses.lock().unwrap().clear();
    let with = site.relay();
    with.unpark(&sample::operator(), &Unpark::All { destination: None }).await.unwrap();
    site.run_for(&with, SHORT).await;
    assert_eq!(site.second.taken_of(key(1)), [1, 2]);
}

/// Shows X-2.
#[tokio::test(start_paused = true)]
async fn what_a_deduplicated_subscriber_has_handled_it_is_not_given_again() {
    let site = Site::new();
    site.raise(1, 1, 3).await;
    let log = Arc::new(Log::default());
    let noting = || Noting { name: "first", log: Arc::clone(&log) };
    let once = Deduplicated::new(noting(), Arc::clone(&site.store));
    site.run_for(&site.relay_to(vec![Arc::new(once)]), SHORT).await;
    // A host that died before it marked anything is followed by one that sends all of it again.
    let event = |sequence: u64| {
        let draft = sample::Draft::create(1, key(1)).entries(3).publishing();
        draft.write().outbox[usize::try_from(sequence - 1).unwrap()].clone()
    };
    let once = Deduplicated::new(noting(), Arc::clone(&site.store));
    for sequence in 1..=3 {
        let event = event(sequence);
        let consumer = runtime_domain::value::Name::new("first").unwrap();
        let inbox = runtime_ports::store::InboxEntry { consumer, event: event.id };
        let delivery = runtime_ports::subscriber::Delivery { event: &event, inbox, attempt: 1 };
        runtime_ports::subscriber::Subscriber::handle(&once, delivery).await.unwrap();
    }
    assert_eq!(log.taken_of(key(1)), [1, 2, 3]);
    assert_eq!(log.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_subscribers_of_one_name_and_one_named_like_the_bus_are_refused() {
    let site = Site::new();
    let host = || {
        let clock = Arc::clone(&site.clock) as Arc<dyn runtime_ports::clock::Clock>;
        let bus = Arc::clone(&site.bus) as Arc<dyn runtime_ports::publisher::EventPublisher>;
        crate::world::host(Arc::clone(&site.store), bus, clock, site.options.clone())
    };
    let named = |name| {
        let log = Arc::new(Log::default());
        Arc::new(Noting { name, log }) as Arc<dyn runtime_ports::subscriber::Subscriber>
    };
    for names in [vec!["bus"], vec!["one", "one"], vec!["Not A Name"]] {
        let subscribers = names.iter().map(|name| named(name)).collect();
        let refused = runtime_services::relay::RelayService::new(host(), subscribers).unwrap_err();
        let is_name = matches!(refused, SubscriberError::Name(_));
        assert_eq!(is_name, names[0] == "Not A Name", "{refused}");
    }
}
