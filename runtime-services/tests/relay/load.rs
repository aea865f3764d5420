//! How much is under way at once, whose turn it is, and who may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use runtime_domain::time::Span;
use runtime_ports::clock::Clock;
use runtime_ports::publisher::EventPublisher;
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};
use runtime_services::relay::RelayService;
use runtime_testkit::sample;

use crate::world::{Log, Noting, Site, TokioClock, host, key};

/// Takes its time for every event.
struct Slow {
    clock: Arc<TokioClock>,
    span: Span,
    log: Noting,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn new(site: &Site, span: Span) -> Arc<Self> {
        let log = Noting { name: "slow", log: Arc::clone(&site.first) };
        Arc::new(Self { clock: Arc::clone(&site.clock), span, log, now: 0.into(), most: 0.into() })
    }
}

#[async_trait]
impl Subscriber for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        self.clock.sleep_until(self.span.after(self.clock.now())).await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        self.log.handle(delivery).await
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_events_are_under_way_than_the_options_allow_and_all_of_them_are_used() {
    let mut site = Site::new();
    site.options.relay_concurrency = 7;
    for number in 1..=200 {
        site.raise(1, number, 3).await;
    }
    let slow = Slow::new(&site, Span::from_millis(100));
    let relay = site.relay_to(vec![Arc::clone(&slow) as Arc<dyn Subscriber>]);
    site.run_for(&relay, Span::from_secs(30)).await;
    assert_eq!(slow.most.load(Ordering::Relaxed), 7);
    assert_eq!(site.first.count(), 600);
    for number in 1..=200 {
        assert_eq!(site.first.taken_of(key(number)), [1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_longer_than_a_lease_keeps_it() {
    let site = Site::new();
    site.raise(1, 1, 5).await;
    let slow = Slow::new(&site, Span::from_secs(40));
    let [one, other] = [(); 2].map(|()| site.relay_to(vec![Arc::clone(&slow) as Arc<dyn Subscriber>]));
    tokio::join!(site.run_for(&one, Span::from_secs(300)), site.run_for(&other, Span::from_secs(300)));
    assert_eq!(site.first.taken_of(key(1)), [1, 2, 3, 4, 5], "one host alone sent them, once");
}

/// Buried: river#199.
#[tokio::test(start_paused = true)]
async fn a_relay_whose_lease_is_taken_stops_and_marks_nothing() {
    let site = Site::new();
    site.raise(1, 1, 5).await;
    let slow = Slow::new(&site, Span::from_secs(4));
    let relay = site.relay_to(vec![Arc::clone(&slow) as Arc<dyn Subscriber>]);
    let thief = site.store.for_operator(&sample::operator());
    let steal = async {
        site.clock.sleep_until(sample::at(5)).await;
        let request = runtime_ports::store::LeaseRequest {
            topic: runtime_ports::store::LeaseTopic::Outbox,
            kinds: vec![crate::world::KIND],
            host: sample::host(1),
            now: sample::at(10_000),
            until: sample::at(20_000),
            limit: 1,
        };
        thief.take_leases(&request).await.unwrap().remove(0)
    };
    let (lease, ()) = tokio::join!(steal, site.run_for(&relay, Span::from_secs(60)));
    assert!(site.first.count() < 5, "it went on without its lease");
    let outbox = thief.outbox(&lease, 10).await.unwrap();
    assert_eq!(outbox.events.len(), 5, "it marked events without its lease");
}

/// Shows X-9.
#[tokio::test(start_paused = true)]
async fn a_tenant_with_much_to_relay_does_not_delay_another() {
    let mut site = Site::new();
    site.options.relay_concurrency = 8;
    for number in 1..=2_000 {
        site.raise(1, number, 1).await;
    }
    let slow = Slow::new(&site, Span::from_millis(10));
    let relay = site.relay_to(vec![slow as Arc<dyn Subscriber>]);
    let quiet = async {
        site.clock.sleep_until(sample::at(1)).await;
        site.raise(2, 9_999, 1).await;
    };
    tokio::join!(site.run_for(&relay, Span::from_secs(20)), quiet);
    let taken = site.first.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 2_001);
    let place = taken.iter().position(|(taken, _)| *taken == key(9_999)).unwrap();
    // After one second 8 × 100 were sent; it waits for a place that becomes free, and no longer.
    assert!(place < 830, "it was sent as the {place}th");
}

/// Shows X-9.
#[tokio::test(start_paused = true)]
async fn a_long_stream_takes_one_place_and_leaves_the_others_free() {
    let mut site = Site::new();
    site.options.relay_concurrency = 2;
    site.raise(1, 1, 5_000).await;
    site.raise(1, 2, 1).await;
    site.run_for(&site.relay(), Span::from_secs(5)).await;
    let taken = site.bus.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 5_001);
    let place = taken.iter().position(|(taken, _)| *taken == key(2)).unwrap();
    assert!(place <= 64, "it was sent as the {place}th");
}

/// Shows X-8.
#[tokio::test(start_paused = true)]
async fn a_relay_that_is_told_to_stop_ends_what_is_under_way_and_begins_nothing() {
    let site = Site::new();
    for number in 1..=100 {
        site.raise(1, number, 1).await;
    }
    let slow = Slow::new(&site, Span::from_secs(3));
    site.run_for(&site.relay_to(vec![slow as Arc<dyn Subscriber>]), Span::from_secs(1)).await;
    assert_eq!(site.first.count(), 64, "what was under way has ended, and no more was begun");
    let bus = Arc::new(Log::default());
    let clock = Arc::clone(&site.clock) as Arc<dyn Clock>;
    let publisher = Arc::clone(&bus) as Arc<dyn EventPublisher>;
    let next = host(Arc::clone(&site.store), publisher, clock, site.options.clone());
    site.run_for(&RelayService::new(next, Vec::new()).unwrap(), Span::from_secs(1)).await;
    assert_eq!(bus.count(), 36, "the next host need not wait for leases, and sends the rest");
}
