use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use runtime_domain::component::RevisionId;
use runtime_domain::id::{DeploymentId, EnvironmentId};
use runtime_domain::scope::OperatorScope;
use runtime_domain::surface::{
    EffectClass, FencingToken, InstanceObservation, InstanceState, RevisionObservation, SurfaceCapabilities,
    SurfaceKind, Traffic, TrafficControl,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Revision};
use runtime_memory::{InProcessBus, MemoryHealthResults, MemorySnapshots, MemoryStore};
use runtime_ports::PortResult;
use runtime_ports::clock::{Clock as _, MockIdGenerator};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::{
    AggregateKey, AggregateWrite, ChainDigest, Commit, CommitReceipt, Expected, Facets, HistoryEntry,
    InboxEntry, LeaseRequest, OperatorStore, Page, Query, Store, StoredAggregate, StoredRecord, TenantStore,
};
use runtime_ports::surface::MockComputeSurface;
use runtime_testkit::sample;
use uuid::Uuid;

use super::*;
use crate::host::Ports;
use crate::records::Records;
use crate::services::Services;
use crate::testing::DrivenClock;

/// What the store was asked for, by name, since it was last looked at.
type Calls = Arc<Mutex<BTreeMap<&'static str, u32>>>;

struct Counting(Arc<MemoryStore>, Calls);

struct Handle(Box<dyn TenantStore>, Calls);

impl Handle {
    fn count(&self, call: &'static str) {
        *self.1.lock().unwrap().entry(call).or_default() += 1;
    }
}

#[async_trait]
impl Store for Counting {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(Handle(self.0.for_tenant(scope), Arc::clone(&self.1)))
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.0.for_operator(scope)
    }

    async fn check(&self) -> PortResult<()> {
        self.0.check().await
    }
}

#[async_trait]
impl TenantStore for Handle {
    fn scope(&self) -> &TenantScope {
        self.0.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        self.count("commit");
        self.0.commit(commit).await
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.count("load");
        self.0.load(key).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.count("query");
        self.0.query(query).await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.0.is_handled(entry).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.count("history");
        self.0.history(key, after, limit).await
    }
}

struct World {
    clock: DrivenClock,
    calls: Calls,
    snapshots: MemorySnapshots,
    services: Services,
    reconciler: InventoryReconciler,
}

fn cart() -> ModuleId {
    ModuleId::new("cart").unwrap()
}

fn environment() -> EnvironmentId {
    sample::environment(1)
}

fn service() -> ServiceId {
    ServiceId::of(environment(), &cart())
}

fn revision() -> RevisionId {
    RevisionId::new(cart(), DeploymentId::from_uuid(Uuid::from_u128(7)))
}

/// A component with two instances, as the surface shows it.
fn shown(at: Timestamp) -> ComponentObservation {
    let instance = |number| InstanceObservation {
        name: format!("instance-{number}"),
        state: InstanceState::Ready,
        restarts: 0,
        address: None,
        configuration: None,
        secrets: Default::default(),
    };
    let image = format!("sha256:{:064x}", 1).parse().unwrap();
    let revisions = [(
        revision(),
        RevisionObservation { image, wanted: 2, instances: (0..2).map(instance).collect(), trouble: None },
    )];
    ComponentObservation {
        key: ComponentKey { tenant: sample::tenant(1), environment: environment(), module: cart() },
        observed_at: at,
        revisions: revisions.into(),
        traffic: Some(Traffic::all_to(revision())),
        endpoint: None,
    }
}

fn surface(clock: &DrivenClock) -> MockComputeSurface {
    let mut surface = MockComputeSurface::new();
    let clock = clock.clone();
    surface.expect_observe().returning(move |_| Ok(shown(clock.now())));
    surface.expect_capabilities().returning(|| SurfaceCapabilities {
        kind: SurfaceKind::Process,
        traffic: TrafficControl::Weighted,
        concurrent_revisions: 8,
        metrics_by_revision: true,
        effect_class: EffectClass::Fenced,
    });
    surface
}

impl World {
    async fn new() -> Self {
        let clock = DrivenClock::at(sample::at(0));
        let calls = Calls::default();
        let snapshots = MemorySnapshots::new();
        let mut ids = MockIdGenerator::new();
        let mut newest = 0_u128;
        ids.expect_next().returning(move || {
            newest += 1;
            Uuid::from_u128((1 << 100) + newest)
        });
        let surface: Arc<dyn runtime_ports::surface::ComputeSurface> = Arc::new(surface(&clock));
        let ports = Ports {
            store: Arc::new(Counting(Arc::new(MemoryStore::new()), Arc::clone(&calls))),
            records: Records {
                health_results: Some(Arc::new(MemoryHealthResults::new())),
                snapshots: Some(Arc::new(snapshots.clone())),
                artifacts: None,
            },
            surfaces: [(SurfaceKind::Process, surface)].into(),
            infrastructure: Arc::new(MockInfrastructureEngine::new()),
            tenancy: crate::TenancyPorts::default(),
            registry: Arc::new(MockImageRegistry::new()),
            desired_state: None,
            prober: Arc::new(MockHealthProber::new()),
            metrics: Arc::new(MockMetricSource::new()),
            scaling_signals: Vec::new(),
            jobs: Arc::new(MockJobRunner::new()),
            secret_stores: BTreeMap::new(),
            publisher: Arc::new(InProcessBus::new()),
            clock: Arc::new(clock.clone()),
            ids: Arc::new(ids),
        };
        let options = HostOptions { inventory_poll: Span::from_secs(15), ..HostOptions::default() };
        let services = Services::new(Host::new(ports, options), Vec::new()).unwrap();
        let reconciler = InventoryReconciler::new(services.host().clone(), services.health().clone());
        let world = Self { clock, calls, snapshots, services, reconciler };
        world.plant().await;
        world
    }

    /// Puts a component's record there, which was registered and not seen yet.
    async fn plant(&self) {
        let body = serde_json::json!({
            "service_id": service(),
            "tenant_id": sample::tenant(1),
            "environment_id": environment(),
            "module_id": "cart",
            "version": {
                "revision": revision(),
                "component_type": "microservice",
                "image": format!("shop/cart@sha256:{:064x}", 1),
                "version": "1",
                "compute_target": SurfaceKind::Process,
                "replicas": 2,
            },
            "registered_at": sample::at(0),
            "state": {"status": "Starting", "since": sample::at(0), "seen": null},
        });
        let record = StoredRecord { schema: 1, body: body.to_string() };
        self.write(Expected::Absent, 1, record, sample::at(0)).await;
    }

    /// Writes the record under no lease, as whoever records a version does.
    async fn write(&self, expected: Expected, sequence: u64, record: StoredRecord, due: Timestamp) {
        let scope = sample::scope(1);
        let write = AggregateWrite {
            key: Repository::<RuntimeService>::key(service().uuid()),
            expected,
            record,
            facets: Facets {
                environment: environment(),
                status: "Starting".to_owned(),
                modules: [cart()].into(),
            },
            claims: [].into(),
            history: vec![HistoryEntry {
                sequence,
                id: sample::event(sequence),
                event: "Planted".to_owned(),
                body: "{}".to_owned(),
                at: sample::at(0),
                actor: scope.actor().clone(),
                correlation: scope.correlation(),
                causation: None,
                explanation: String::new(),
                digest: ChainDigest::GENESIS,
                trace_parent: None,
            }],
            outbox: Vec::new(),
            wake_at: Some(due),
        };
        let commit = Commit { writes: vec![write], ..Commit::default() };
        self.services.host().ports().store.for_tenant(&scope).commit(commit).await.unwrap();
    }

    fn operator(&self) -> Box<dyn OperatorStore> {
        self.services.host().ports().store.for_operator(&sample::operator())
    }

    /// The service's lease, for a host.
    async fn lease(&self, host: u64) -> Lease {
        let now = self.clock.now();
        let request = LeaseRequest {
            topic: LeaseTopic::Work,
            kinds: vec![AggregateKind::RuntimeService],
            host: sample::host(host),
            now,
            until: Span::from_secs(15).after(now),
            limit: 1,
        };
        self.operator().take_leases(&request).await.unwrap().pop().expect("it is due")
    }

    /// One look, fifteen seconds after the last, and what it asked the store for.
    async fn look(&self) -> BTreeMap<&'static str, u32> {
        self.clock.advance(Span::from_secs(15));
        let lease = self.lease(1).await;
        self.calls.lock().unwrap().clear();
        let passed = self.reconciler.pass(&lease).await.unwrap();
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        let Passed::Until { seen, at } = passed else { panic!("it is looked at again") };
        self.operator().defer_lease(&lease, seen, at).await.unwrap();
        calls
    }

    async fn settled() -> Self {
        let world = Self::new().await;
        world.look().await;
        world
    }
}

const NOTHING: [(&str, u32); 0] = [];

#[tokio::test]
async fn a_look_at_what_is_as_it_was_reads_nothing() {
    let world = World::settled().await;
    for _ in 0..3 {
        assert_eq!(world.look().await, NOTHING.into());
    }
    // Once in a heartbeat it is recorded that it was seen; results that others may have asked for are looked for.
    let calls = world.look().await;
    assert_eq!(calls.get("commit"), Some(&1), "{calls:?}");
    assert_eq!(calls.get("history"), None, "what began it is known");
    assert_eq!(world.look().await, NOTHING.into(), "what it committed itself is known");
}

#[tokio::test]
async fn a_record_that_somebody_else_has_changed_is_loaded_again() {
    let world = World::settled().await;
    let store = world.services.host().ports().store.for_tenant(&sample::scope(1));
    let key = Repository::<RuntimeService>::key(service().uuid());
    let stored = store.load(&key).await.unwrap().unwrap();
    let due = stored.wake_at.unwrap();
    world.write(stored.expected_next(), stored.sequence + 1, stored.record, due).await;
    assert_eq!(world.look().await.get("load"), Some(&1));
    assert_eq!(world.look().await, NOTHING.into());
}

#[tokio::test]
async fn every_look_is_evaluated_and_recorded_once_though_little_is_read() {
    let world = World::settled().await;
    let recorder = world.services.health().recorder().unwrap();
    for _ in 0..3 {
        world.look().await;
    }
    assert!(format!("{recorder:?}").contains("waiting: 4"), "{recorder:?}");
}

#[tokio::test]
async fn what_another_host_may_have_changed_is_read_again() {
    let world = World::settled().await;
    assert_eq!(world.look().await, NOTHING.into());
    world.clock.advance(Span::from_secs(15));
    let other = world.lease(2).await;
    world.operator().defer_lease(&other, Revision(u64::MAX), world.clock.now()).await.unwrap();
    let calls = world.look().await;
    assert!(calls.contains_key("query"), "what the world was told is read: {calls:?}");
    assert_eq!(calls.get("history"), None, "what began it never changes");
    let calls = world.look().await;
    assert_eq!(calls.get("query"), None, "nobody else has held it since: {calls:?}");
}

#[tokio::test]
async fn an_evaluation_that_was_asked_for_is_what_the_next_one_goes_on_from() {
    let world = World::settled().await;
    let asked = world.services.health().evaluate(&sample::scope(1), service()).await.unwrap();
    assert!(asked.is_some());
    assert!(world.look().await.contains_key("query"), "what was asked for is read");
}

#[tokio::test]
async fn what_is_seen_again_and_again_is_one_snapshot_that_is_seen_to_last() {
    use runtime_ports::snapshots::SnapshotStore as _;
    let world = World::settled().await;
    for _ in 0..9 {
        world.look().await;
    }
    let snapshots = world.snapshots.tenant_snapshots(&sample::scope(1));
    let name = KeptName::new("component/cart").unwrap();
    let newest = snapshots.latest(&Subject { environment: environment(), name }).await.unwrap().unwrap();
    assert_eq!(newest.captured_at, sample::at(15));
    let behind = Span::between(newest.last_seen_at, world.clock.now());
    assert!(behind < runtime_ports::snapshots::Snapshot::STEP, "it was seen {behind} later too");
}

#[tokio::test]
async fn the_more_there_are_the_less_often_each_is_looked_at_and_never_too_seldom() {
    let world = World::settled().await;
    let options = world.services.host().options().clone();
    let scope = sample::scope(1);
    let running = world.services.inventory().service(&scope, service()).await.unwrap();
    assert_eq!(world.reconciler.interval(&running), options.inventory_poll);
    let lease = leased();
    let remember = |many: std::ops::Range<u128>| {
        for number in many {
            let id = ServiceId::from_uuid(Uuid::from_u128(number));
            let known = world.reconciler.memory.recall(id, &lease, world.clock.now());
            world.reconciler.memory.remember(id, known);
        }
    };
    remember(0..5_000);
    assert_eq!(world.reconciler.interval(&running), Span::from_secs(20).min(options.settled_poll));
    remember(5_000..50_000);
    assert_eq!(world.reconciler.interval(&running), options.settled_poll);
    // Those that it looks at no more are forgotten.
    world.clock.advance(Span::from_secs(600));
    remember(100_000..250_000);
    assert!(world.reconciler.memory.tracked() <= 150_000);
}

fn leased() -> Lease {
    Lease {
        topic: LeaseTopic::Work,
        tenant: sample::tenant(1),
        key: Repository::<RuntimeService>::key(service().uuid()),
        host: sample::host(1),
        token: FencingToken(1),
        previous: None,
        revision: None,
        until: sample::at(15),
    }
}
