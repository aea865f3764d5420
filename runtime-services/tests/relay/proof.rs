//! under fire: hosts that die at any moment, a host whose clock is wrong, a bus and a subscriber that fail before and after.
//!
//! `RUNTIME_RELAY_EVENTS` says how many events (10,000 unless told otherwise), `RUNTIME_RELAY_SEED` which story.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postgres_server::{Durability, Server};
use runtime_domain::id::AggregateKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortErrorKind::{Internal, Unavailable};
use runtime_ports::PortResult;
use runtime_ports::clock::Clock;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::store::{
    AggregateKey, CommitError, Lease, LeaseError, LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page,
    ParkedQuery, ParkedStream, Parking, Store, TenantStore, Unpark,
};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};
use runtime_services::HostOptions;
use runtime_services::relay::RelayService;
use runtime_testkit::sample;
use tokio_util::sync::CancellationToken;

use crate::world::{TokioClock, error, host, key, next_events};

const TENANTS: u64 = 5;
const AGGREGATES: u64 = 200;
/// How many events may wait while more are raised.
const BACKLOG: u64 = 5_000;

/// How long nothing may arrive before what is missing counts as lost.
const PATIENCE: Span = Span::from_secs(120);

/// What decides the story.
struct Dice(AtomicU64);

impl Dice {
    /// One of `sides`, from 0.
    fn roll(&self, sides: u64) -> u64 {
        // SplitMix64.
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn hits(&self, of: u64) -> bool {
        self.roll(of) == 0
    }

    /// A place where a host may die.
    async fn pause(&self) {
        for _ in 0..self.roll(3) {
            tokio::task::yield_now().await;
        }
    }
}

/// What was seen, and what must never be.
#[derive(Default)]
struct Findings {
    crashes: AtomicU64,
    repeated_on_bus: AtomicU64,
    absorbed: AtomicU64,
    parked: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Findings {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}

/// A bus that remembers how far each aggregate has come.
struct Wire {
    dice: Arc<Dice>,
    findings: Arc<Findings>,
    newest: Mutex<BTreeMap<AggregateKey, u64>>,
}

#[async_trait]
impl EventPublisher for Wire {
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()> {
        self.dice.pause().await;
        if self.dice.hits(2_000) {
            return Err(error(Unavailable));
        }
        {
            let key = AggregateKey { kind: event.aggregate_kind, id: event.aggregate_id };
            let mut newest = self.newest.lock().unwrap();
            let newest = newest.entry(key).or_default();
            match event.sequence.cmp(&(*newest + 1)) {
                std::cmp::Ordering::Equal => *newest += 1,
                std::cmp::Ordering::Less => {
                    self.findings.repeated_on_bus.fetch_add(1, Ordering::Relaxed);
                }
                std::cmp::Ordering::Greater => {
                    self.findings.wrong(format!("the bus got {} of {key} after {newest}", event.sequence));
                }
            }
        }
        self.dice.pause().await;
        if self.dice.hits(2_000) { Err(error(Unavailable)) } else { Ok(()) }
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

/// A subscriber that keeps, for every aggregate, one of its own with an entry for each event: written in one commit with the inbox.
struct Ledger {
    store: Arc<dyn Store>,
    dice: Arc<Dice>,
    findings: Arc<Findings>,
}

fn entry_of(key: AggregateKey) -> AggregateKey {
    AggregateKey { kind: AggregateKind::RuntimeService, ..key }
}

#[async_trait]
impl Subscriber for Ledger {
    fn name(&self) -> &str {
        "ledger"
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let event = delivery.event;
        let key = AggregateKey { kind: event.aggregate_kind, id: event.aggregate_id };
        let tenant = (1..=TENANTS).find(|number| sample::tenant(*number) == event.tenant).unwrap();
        let store = self.store.for_tenant(&sample::scope(tenant));
        self.dice.pause().await;
        match self.dice.roll(400) {
            0 => return Err(NotHandled::Failed(error(Internal))),
            1 => return Err(NotHandled::Unavailable(error(Unavailable))),
            2 if self.dice.hits(10) => return Err(NotHandled::Rejected(error(Internal))),
            _ => {}
        }
        let mut commit = next_events(&*store, tenant, entry_of(key), 1).await;
        commit.writes[0].outbox.clear();
        let next = commit.writes[0].history[0].sequence;
        commit.inbox = Some(delivery.inbox);
        self.dice.pause().await;
        match store.commit(commit).await {
            Ok(_) if next == event.sequence => {}
            Ok(_) => {
                self.findings.wrong(format!("event {} of {key} was handled as its {next}th", event.sequence))
            }
            Err(CommitError::AlreadyHandled) => {
                self.findings.absorbed.fetch_add(1, Ordering::Relaxed);
            }
            // Another host handles the same event at the same moment.
            Err(CommitError::Conflict { .. }) => return Err(NotHandled::Failed(error(Internal))),
            Err(refused) => panic!("{refused}"),
        }
        self.dice.pause().await;
        if self.dice.hits(400) { Err(NotHandled::Failed(error(Internal))) } else { Ok(()) }
    }
}

/// A store in which a host may die before and after everything that the relay asks of it.
struct Mortal {
    inner: Arc<dyn Store>,
    dice: Arc<Dice>,
}

struct MortalOperator {
    inner: Box<dyn OperatorStore>,
    dice: Arc<Dice>,
}

#[async_trait]
impl Store for Mortal {
    fn for_tenant(&self, scope: &runtime_domain::scope::TenantScope) -> Box<dyn TenantStore> {
        self.inner.for_tenant(scope)
    }

    fn for_operator(&self, scope: &runtime_domain::scope::OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(MortalOperator { inner: self.inner.for_operator(scope), dice: Arc::clone(&self.dice) })
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }
}

impl MortalOperator {
    async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        self.dice.pause().await;
        let answer = call.await;
        self.dice.pause().await;
        answer
    }
}

#[async_trait]
impl OperatorStore for MortalOperator {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        self.around(self.inner.take_leases(request)).await
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        self.around(self.inner.renew_lease(lease, until)).await
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        self.around(self.inner.release_lease(lease)).await
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        self.around(self.inner.defer_lease(lease, seen, wake_at)).await
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        self.around(self.inner.next_due(kinds)).await
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        self.inner.work_arrived(topic, kinds).await;
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        self.around(self.inner.outbox(lease, limit)).await
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        self.around(self.inner.outbox_published(lease, sequence, without)).await
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        self.around(self.inner.outbox_park(lease, parking)).await
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        self.around(self.inner.outbox_missed(lease, destination, limit)).await
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        self.around(self.inner.outbox_caught_up(lease, destination, sequence)).await
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        self.around(self.inner.outbox_parked(query)).await
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        self.around(self.inner.outbox_unpark(which)).await
    }
}

/// Everything that takes part.
struct Story {
    store: Arc<dyn Store>,
    bus: Arc<Wire>,
    ledger: Arc<Ledger>,
    dice: Arc<Dice>,
    findings: Arc<Findings>,
    events: u64,
    /// Whether time is the test's own.
    is_driven: bool,
    options: HostOptions,
}

impl Story {
    fn new(store: Arc<dyn Store>, events: u64, is_driven: bool) -> Self {
        let mut options = HostOptions::default();
        (options.lease, options.idle) = if is_driven {
            (Span::from_secs(2), Span::from_millis(500))
        } else {
            (Span::from_millis(300), Span::from_millis(20))
        };
        let seed = setting("RUNTIME_RELAY_SEED", 1);
        let (dice, findings) = (Arc::new(Dice(seed.into())), Arc::<Findings>::default());
        let bus = Wire { dice: Arc::clone(&dice), findings: Arc::clone(&findings), newest: Mutex::default() };
        let ledger =
            Ledger { store: Arc::clone(&store), dice: Arc::clone(&dice), findings: Arc::clone(&findings) };
        let (bus, ledger) = (Arc::new(bus), Arc::new(ledger));
        Self { store, bus, ledger, dice, findings, events, is_driven, options }
    }

    fn on_bus(&self) -> u64 {
        self.bus.newest.lock().unwrap().values().sum()
    }

    /// Raises all events, one to five at a time, and never far ahead of the relay.
    async fn raise(&self) {
        let mut raised = 0;
        while raised < self.events {
            let count = (1 + self.dice.roll(5)).min(self.events - raised);
            let number = 1 + self.dice.roll(AGGREGATES);
            let tenant = 1 + number % TENANTS;
            let store = self.store.for_tenant(&sample::scope(tenant));
            store.commit(next_events(&*store, tenant, key(number), count).await).await.unwrap();
            raised += count;
            while raised - self.on_bus() > BACKLOG && self.findings.wrong.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// One host after the other, each until it dies.
    async fn live_and_die(&self, clock: Arc<dyn Clock>, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let store = Arc::new(Mortal { inner: Arc::clone(&self.store), dice: Arc::clone(&self.dice) });
            let bus = Arc::clone(&self.bus) as Arc<dyn EventPublisher>;
            let host = host(store, bus, Arc::clone(&clock), self.options.clone());
            let subscribers = vec![Arc::clone(&self.ledger) as Arc<dyn Subscriber>];
            let relay = RelayService::new(host, subscribers).unwrap();
            let mut life = pin!(relay.run(CancellationToken::new()));
            tokio::select! {
                () = &mut life => panic!("a relay ended by itself"),
                () = self.death(&*clock) => {}
                () = stop.cancelled() => {}
            }
            self.findings.crashes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Comes at any moment.
    async fn death(&self, clock: &dyn Clock) {
        if self.is_driven {
            // Some live long enough to bring a whole batch to its end; where none did, nothing would ever be marked.
            let longest = if self.dice.hits(20) { 1_500 } else { 300 };
            // Nobody is ever idle here, so that time must be told to pass.
            for _ in 0..self.dice.roll(longest) {
                tokio::task::yield_now().await;
                if self.dice.hits(10) {
                    tokio::time::advance(Duration::from_millis(self.dice.roll(100))).await;
                }
            }
        } else {
            clock.sleep_until(Span::from_millis(self.dice.roll(400)).after(clock.now())).await;
        }
    }

    /// Unparks what is parked until the bus and the ledger have all, or nothing comes any more.
    async fn operate(&self, clock: &dyn Clock, stop: &CancellationToken) {
        let operator = self.store.for_operator(&sample::operator());
        let (mut seen, mut progress_at) = (0, clock.now());
        while !stop.is_cancelled() {
            clock.sleep_until(Span::from_millis(500).after(clock.now())).await;
            let unparked = operator.outbox_unpark(&Unpark::All { destination: None }).await.unwrap();
            self.findings.parked.fetch_add(unparked.into(), Ordering::Relaxed);
            let all = 2 * self.events;
            let arrived = self.on_bus() + self.in_ledger().await;
            if arrived > seen {
                (seen, progress_at) = (arrived, clock.now());
            } else if Span::between(progress_at, clock.now()) > PATIENCE {
                self.findings.wrong(format!("{} deliveries of {all} are lost", all - arrived));
            }
            if arrived == all || !self.findings.wrong.lock().unwrap().is_empty() {
                stop.cancel();
            }
        }
    }

    async fn in_ledger(&self) -> u64 {
        let mut count = 0;
        for number in 1..=AGGREGATES {
            let store = self.store.for_tenant(&sample::scope(1 + number % TENANTS));
            let stored = store.load(&entry_of(key(number))).await.unwrap();
            count += stored.map_or(0, |stored| stored.sequence);
        }
        count
    }

    async fn tell(&self, hosts: &[Arc<dyn Clock>]) {
        let stop = CancellationToken::new();
        let lives = hosts.iter().map(|clock| self.live_and_die(Arc::clone(clock), &stop));
        let mut lives = lives.collect::<Vec<_>>().into_iter();
        let [one, other] = [lives.next().unwrap(), lives.next().unwrap()];
        tokio::join!(self.raise(), one, other, self.operate(&*hosts[0], &stop));
        let Findings { crashes, repeated_on_bus, absorbed, parked, wrong } = &*self.findings;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        println!(
            "{} events of {AGGREGATES} aggregates, {} hosts died; repeated to the bus {}, absorbed by the inbox {}, unparked {} times",
            self.events,
            read(crashes),
            read(repeated_on_bus),
            read(absorbed),
            read(parked),
        );
        assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
        assert!(
            read(absorbed) > 0 && read(repeated_on_bus) > 0,
            "nothing was ever repeated: the story is too kind"
        );
        let left = self.store.for_operator(&sample::operator());
        let request = LeaseRequest {
            topic: LeaseTopic::Outbox,
            kinds: AggregateKind::ALL.to_vec(),
            host: sample::host(1),
            now: sample::at(1_000_000_000),
            until: sample::at(1_000_000_001),
            limit: 10,
        };
        for lease in left.take_leases(&request).await.unwrap() {
            // Sent, and not marked before the last host died: the ledger has it, and the next host would only repeat it.
            let outbox = left.outbox(&lease, 1_000).await.unwrap();
            assert!(outbox.events.len() <= 64, "{} events wait", outbox.events.len());
        }
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// A commit that is its own proof: the ledger's histories are gapless, so that as many entries as events means none lost and none twice.
///
/// Buried: MassTransit#3791. Theirs: the outbox published messages twice. Ours: one relay at a time has a stream, and what a dying host sent twice
/// is handled once.
/// Shows.
#[tokio::test(start_paused = true)]
async fn no_event_is_lost_reordered_or_handled_twice_while_hosts_die() {
    let events = setting("RUNTIME_RELAY_EVENTS", 10_000);
    let store = Arc::new(runtime_memory::MemoryStore::new());
    let story = Story::new(store, events, true);
    // The second host's clock is an hour ahead: it takes every lease of the first, at any time.
    let clocks = [TokioClock::ahead(Span::ZERO), TokioClock::ahead(Span::from_secs(3_600))];
    story.tell(&clocks.map(|clock| clock as Arc<dyn Clock>)).await;
}

/// As above, in a file: `RUNTIME_RELAY_SQLITE_EVENTS` says how many.
#[tokio::test]
async fn the_same_holds_in_a_file() {
    let events = setting("RUNTIME_RELAY_SQLITE_EVENTS", 300);
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(runtime_sqlite::SqliteStore::open(folder.path().join("store.db")).unwrap());
    holds_in(Arc::clone(&store) as Arc<dyn Store>, events).await;
    store.close().await;
}

/// As above, on a server: `RUNTIME_RELAY_POSTGRES_EVENTS` says how many.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_on_a_server() {
    let events = setting("RUNTIME_RELAY_POSTGRES_EVENTS", 300);
    let server = Server::start(Durability::None);
    let database = server.database(None);
    let options = |user: &str| PostgresOptions::new(&server.address(user, &database)).unwrap();
    migrate(&options("owner"), "host").await.unwrap();
    let store = Arc::new(PostgresStore::open(options("host")).await.unwrap());
    holds_in(Arc::clone(&store) as Arc<dyn Store>, events).await;
    store.close().await;
}

/// In the time of the machine.
async fn holds_in(store: Arc<dyn Store>, events: u64) {
    let story = Story::new(store, events, false);
    let clocks = [TokioClock::ahead(Span::ZERO), TokioClock::ahead(Span::from_secs(3_600))];
    story.tell(&clocks.map(|clock| clock as Arc<dyn Clock>)).await;
}
