//! A host that relays and nothing else, a bus and subscribers to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, EventId};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::{
    AggregateKey, Commit, Expected, HistoryEntry, ParkedQuery, ParkedStream, Store, StoredAggregate,
    TenantStore,
};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_services::relay::RelayService;
use runtime_services::{Host, HostOptions, Ports};
use runtime_testkit::sample::{self, Draft};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const KIND: AggregateKind = AggregateKind::RuntimeDeployment;

pub(crate) fn key(number: u64) -> AggregateKey {
    sample::key(KIND, number)
}

/// Tokio's clock, which may be wrong by a fixed span.
pub(crate) struct TokioClock {
    begun: tokio::time::Instant,
    pub(crate) ahead: Span,
}

impl TokioClock {
    pub(crate) fn ahead(ahead: Span) -> Arc<Self> {
        Arc::new(Self { begun: tokio::time::Instant::now(), ahead })
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        self.ahead.after(Span::from_millis(passed).after(Timestamp::UNIX_EPOCH))
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let left = Span::between(self.now(), deadline);
        tokio::time::sleep_until(tokio::time::Instant::now() + left.to_std()).await;
    }
}

/// The commit of an aggregate's next `count` events.
pub(crate) async fn next_events(
    store: &dyn TenantStore,
    tenant: u64,
    key: AggregateKey,
    count: u64,
) -> Commit {
    let stored = store.load(&key).await.unwrap();
    let before = stored.as_ref().map_or(0, |stored| stored.sequence);
    let mut write = Draft::create(tenant, key).publishing().write();
    write.expected = stored.as_ref().map_or(Expected::Absent, StoredAggregate::expected_next);
    let (entry, event) = (write.history.remove(0), write.outbox.remove(0));
    for sequence in before + 1..=before + count {
        let id = EventId::from_uuid(Uuid::from_u128(key.id.as_u128() ^ (u128::from(sequence) << 64)));
        write.history.push(HistoryEntry { sequence, id, ..entry.clone() });
        write.outbox.push(PublishedEvent { sequence, id, ..event.clone() });
    }
    Commit { writes: vec![write], ..Commit::default() }
}

/// Counts up, over all tests.
pub(crate) struct Numbers;

impl IdGenerator for Numbers {
    fn next(&self) -> Uuid {
        static NEWEST: AtomicU64 = AtomicU64::new(1);
        Uuid::from_u128((99 << 96) | u128::from(NEWEST.fetch_add(1, Ordering::Relaxed)))
    }
}

pub(crate) fn host(
    store: Arc<dyn Store>,
    publisher: Arc<dyn EventPublisher>,
    clock: Arc<dyn Clock>,
    options: HostOptions,
) -> Host {
    let ports = Ports {
        store,
        records: runtime_services::Records::default(),
        surfaces: BTreeMap::new(),
        infrastructure: Arc::new(MockInfrastructureEngine::new()),
        tenancy: runtime_services::TenancyPorts::default(),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: None,
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: Default::default(),
        publisher,
        clock,
        ids: Arc::new(Numbers),
    };
    Host::new(ports, options)
}

/// What a destination was given, in order, and what it does with it.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) taken: Mutex<Vec<(AggregateKey, u64)>>,
    pub(crate) calls: AtomicU64,
    pub(crate) refuses: Mutex<BTreeSet<(AggregateKey, u64)>>,
    pub(crate) is_away: Mutex<bool>,
    pub(crate) fails: Mutex<u32>,
}

impl Log {
    pub(crate) fn taken_of(&self, key: AggregateKey) -> Vec<u64> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(of, _)| *of == key).map(|(_, sequence)| *sequence).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn take(&self, event: &PublishedEvent) -> PortResult<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let address = (AggregateKey { kind: event.aggregate_kind, id: event.aggregate_id }, event.sequence);
        if *self.is_away.lock().unwrap() {
            return Err(error(PortErrorKind::Unavailable));
        }
        if self.refuses.lock().unwrap().contains(&address) {
            return Err(error(PortErrorKind::Invalid));
        }
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err(error(PortErrorKind::Internal));
        }
        self.taken.lock().unwrap().push(address);
        Ok(())
    }
}

pub(crate) fn error(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "world.take", "the test wants it so")
}

#[async_trait]
impl EventPublisher for Log {
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()> {
        self.take(event)
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

/// A subscriber that writes down what it is given.
pub(crate) struct Noting {
    pub(crate) name: &'static str,
    pub(crate) log: Arc<Log>,
}

#[async_trait]
impl Subscriber for Noting {
    fn name(&self) -> &str {
        self.name
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        Ok(self.log.take(delivery.event)?)
    }
}

/// One host with a bus and the subscribers `first` and `second`.
pub(crate) struct Site {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) bus: Arc<Log>,
    pub(crate) first: Arc<Log>,
    pub(crate) second: Arc<Log>,
    pub(crate) options: HostOptions,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            store: Arc::new(runtime_memory::MemoryStore::new()),
            clock: TokioClock::ahead(Span::ZERO),
            bus: Arc::default(),
            first: Arc::default(),
            second: Arc::default(),
            options: HostOptions::default(),
        }
    }

    /// Commits the next `count` events of an aggregate.
    pub(crate) async fn raise(&self, tenant: u64, number: u64, count: u64) {
        let store = self.store.for_tenant(&sample::scope(tenant));
        store.commit(next_events(&*store, tenant, key(number), count).await).await.unwrap();
    }

    pub(crate) fn relay(&self) -> RelayService {
        let subscribers: [(&'static str, &Arc<Log>); 2] = [("first", &self.first), ("second", &self.second)];
        let subscribers = subscribers
            .map(|(name, log)| Arc::new(Noting { name, log: Arc::clone(log) }) as Arc<dyn Subscriber>);
        self.relay_to(subscribers.to_vec())
    }

    pub(crate) fn relay_to(&self, subscribers: Vec<Arc<dyn Subscriber>>) -> RelayService {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let bus = Arc::clone(&self.bus) as Arc<dyn EventPublisher>;
        RelayService::new(host(Arc::clone(&self.store), bus, clock, self.options.clone()), subscribers)
            .unwrap()
    }

    pub(crate) async fn parked(&self, relay: &RelayService) -> Vec<ParkedStream> {
        relay.parked(&sample::operator(), &ParkedQuery::all()).await.unwrap().items
    }

    /// Relays for so long.
    pub(crate) async fn run_for(&self, relay: &RelayService, span: Span) {
        let stop = CancellationToken::new();
        let until = span.after(self.clock.now());
        tokio::join!(relay.run(stop.clone()), async {
            self.clock.sleep_until(until).await;
            stop.cancel();
        });
    }
}
