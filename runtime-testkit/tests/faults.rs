//! Ports that fail on purpose do so in every method, and as they say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::{ImageReference, RevisionId};
use runtime_domain::environment::{EnvironmentBlueprint, EnvironmentStage, IsolationModel};
use runtime_domain::id::{AggregateKind, DeploymentId, EnvironmentId, ServiceId, TenantId};
use runtime_domain::metric::{MetricName, MetricQuery};
use runtime_domain::scaling::ScalingMetric;
use runtime_domain::secrets::{SecretReference, VaultKind};
use runtime_domain::surface::{ComponentKey, EffectId, FencingToken, RevisionSpec, SurfaceKind, Traffic};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};
use runtime_memory::{MemoryArtifacts, MemoryHealthResults, MemorySnapshots, MemoryStore};
use runtime_ports::artifacts::{ArtifactKey, ArtifactQuery};
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal};
use runtime_ports::clock::Clock;
use runtime_ports::desired_state::DesiredPlace;
use runtime_ports::health_results::HealthResultQuery;
use runtime_ports::isolation::{Enforcement, IsolationAspect, ResourceUse, WorkloadIsolation};
use runtime_ports::job::JobRequest;
use runtime_ports::prober::ProbeRequest;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::secret_store::{RotationId, SecretAccess, SecretSink, SecretValue, VaultContext};
use runtime_ports::snapshots::{SnapshotBody, SnapshotQuery};
use runtime_ports::store::{
    InboxEntry, Lease, LeaseRequest, LeaseTopic, ParkedQuery, ParkedUntil, Parking, Query, Unpark,
};
use runtime_ports::subscriber::Delivery;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortErrorKind, PortResult, Retry};
use runtime_testkit::faults::{AT_THE_DOOR, Fault, Faults, METHODS};
use runtime_testkit::sample::{self, Draft};
use runtime_testkit::world::{
    MemoryEngine, MemorySurface, MemoryVault, MetOutcome, RecordingBus, Said, TokioClock,
};

fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::at(sample::at(1_000)))
}

fn module() -> Name {
    Name::new("web").unwrap()
}

fn key() -> ComponentKey {
    ComponentKey { tenant: sample::tenant(1), environment: sample::environment(1), module: module() }
}

fn revision(number: u128) -> RevisionId {
    RevisionId::new(module(), DeploymentId::from_uuid(uuid::Uuid::from_u128(number)))
}

fn spec(number: u128) -> RevisionSpec {
    serde_json::from_value(serde_json::json!({
        "key": key(),
        "revision": revision(number),
        "component": {
            "module": "web", "component_type": "microservice", "version": "1.0.0", "surface": "process",
            "tuple": { "image": format!("shop/web@sha256:{}", "a".repeat(64)) }, "replicas": 2,
        },
    }))
    .unwrap()
}

fn by(fence: u64, ordinal: u32) -> EffectContext {
    let owner = DeploymentId::from_uuid(uuid::Uuid::from_u128(7));
    EffectContext { effect: EffectId::of(owner, ordinal), fence: FencingToken(fence) }
}

/// Every method that may meet a fault.
fn listed() -> impl Iterator<Item = &'static str> {
    METHODS.iter().chain(AT_THE_DOOR).map(|method| method.name)
}

/// Faults that let everything pass, and the methods that were called.
fn listening() -> (Faults, Arc<Mutex<BTreeSet<&'static str>>>) {
    let called: Arc<Mutex<BTreeSet<&'static str>>> = Arc::default();
    let seen = Arc::clone(&called);
    let faults = Faults::new(move |call| {
        assert!(listed().any(|known| known == call.method), "{} is not listed", call.method);
        assert_eq!(call.number, 1, "{} is called once here", call.method);
        seen.lock().unwrap().insert(call.method);
        None
    });
    (faults, called)
}

async fn call_store(faults: &Faults) {
    let store = faults.store(Arc::new(MemoryStore::new()));
    store.check().await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let draft = Draft::create(1, sample::key(AggregateKind::RuntimeService, 1)).publishing();
    let aggregate = sample::key(AggregateKind::RuntimeService, 1);
    tenant.commit(draft.commit()).await.unwrap();
    tenant.load(&aggregate).await.unwrap();
    tenant.query(&Query::all(AggregateKind::RuntimeService)).await.unwrap();
    let consumer = module();
    tenant.is_handled(&InboxEntry { consumer: consumer.clone(), event: sample::event(1) }).await.unwrap();
    tenant.history(&aggregate, 0, 10).await.unwrap();
    let operator = store.for_operator(&sample::operator());
    let request = LeaseRequest {
        topic: LeaseTopic::Outbox,
        kinds: AggregateKind::ALL.to_vec(),
        host: sample::host(1),
        now: sample::at(1),
        until: sample::at(100),
        limit: 1,
    };
    let lease: Lease = operator.take_leases(&request).await.unwrap().remove(0);
    let lease = operator.renew_lease(&lease, sample::at(200)).await.unwrap();
    operator.outbox(&lease, 10).await.unwrap();
    let parking = Parking {
        destination: consumer.clone(),
        sequence: 1,
        reason: "it is refused".to_owned(),
        until: ParkedUntil::Unparked,
        at: sample::at(1),
    };
    operator.outbox_park(&lease, &parking).await.unwrap();
    operator.outbox_parked(&ParkedQuery::all()).await.unwrap();
    operator.outbox_unpark(&Unpark::All { destination: None }).await.unwrap();
    operator.outbox_missed(&lease, &consumer, 10).await.unwrap();
    operator.outbox_caught_up(&lease, &consumer, 1).await.unwrap();
    operator.outbox_published(&lease, 1, &BTreeSet::new()).await.unwrap();
    operator.next_due(&AggregateKind::ALL).await.unwrap();
    operator.work_arrived(LeaseTopic::Outbox, &AggregateKind::ALL).await;
    operator.release_lease(&lease).await.unwrap();
    let work = Lease { topic: LeaseTopic::Work, ..lease };
    operator.defer_lease(&work, Revision::FIRST, sample::at(1)).await.unwrap();
}

async fn call_surface(faults: &Faults) {
    let surface = MemorySurface::new(clock());
    let (jobs, handover) =
        (faults.jobs(Arc::new(surface.clone())), faults.handover(Arc::new(surface.clone())));
    let surface = faults.surface(Arc::new(surface));
    surface.apply(by(1, 1), &spec(1), 2).await.unwrap();
    surface.scale(by(1, 2), &key(), &revision(1), 1).await.unwrap();
    surface.shift_traffic(by(1, 3), &key(), &Traffic::all_to(revision(1))).await.unwrap();
    surface.observe(&key()).await.unwrap();
    surface.list(sample::tenant(1), sample::environment(1)).await.unwrap();
    let delivered = serde_json::json!({
        "configuration": runtime_domain::id::ConfigurationId::from_uuid(uuid::Uuid::from_u128(1)),
        "version": 1, "checksum": format!("sha256:{}", "0".repeat(64)), "entries": [],
    });
    let delivered = serde_json::from_value(delivered).unwrap();
    surface.deliver(by(1, 4), &key(), &revision(1), &delivered).await.unwrap();
    handover.hand_over(by(1, 5), &key(), &key()).await.unwrap();
    handover.answered_by(&key()).await.unwrap();
    surface.retire(by(1, 6), &key(), &revision(1)).await.unwrap();
    let job = serde_json::json!({
        "name": "migrate", "image": format!("shop/web@sha256:{}", "a".repeat(64)), "timeout": "60s",
    });
    let request = JobRequest {
        effect: by(1, 7).effect,
        fence: FencingToken(1),
        tenant: sample::tenant(1),
        environment: sample::environment(1),
        job: serde_json::from_value(job).unwrap(),
        works_for: None,
    };
    jobs.start(&request).await.unwrap();
    jobs.state(sample::tenant(1), request.effect).await.unwrap();
}

struct Open;

#[async_trait]
impl WorkloadIsolation for Open {
    fn enforcement(&self) -> BTreeMap<IsolationAspect, Enforcement> {
        BTreeMap::new()
    }
    async fn usage(&self, _: TenantId, _: EnvironmentId) -> PortResult<ResourceUse> {
        Ok(ResourceUse {
            observed_at: sample::at(1),
            processes: None,
            memory_bytes: Some(1),
            cpu_millis: None,
            storage_bytes: None,
        })
    }
}

async fn call_environment(faults: &Faults) {
    let engine = faults.infrastructure(Arc::new(MemoryEngine::new()));
    let wanted = EnvironmentBlueprint {
        tenant: sample::tenant(1),
        environment: sample::environment(1),
        name: module(),
        stage: EnvironmentStage::Dev,
        region: module(),
        isolation_model: IsolationModel::Silo,
        surfaces: [SurfaceKind::Process].into(),
        egress_allow_list: [].into(),
        capacity: ResourceQuota::LARGEST,
    };
    engine.preview(&wanted).await.unwrap();
    engine.up(by(1, 1), &wanted).await.unwrap();
    engine.refresh(&wanted).await.unwrap();
    engine.outputs(wanted.tenant, wanted.environment).await.unwrap();
    engine.destroy(by(1, 2), wanted.tenant, wanted.environment).await.unwrap();
    faults.isolation(Arc::new(Open)).usage(wanted.tenant, wanted.environment).await.unwrap();
}

struct Hand;

impl SecretSink for Hand {
    fn receive(self: Box<Self>, value: SecretValue) -> PortResult<()> {
        assert!(!value.expose().is_empty());
        Ok(())
    }
}

fn rotation() -> VaultContext {
    let binding = runtime_domain::id::SecretBindingId::from_uuid(uuid::Uuid::from_u128(1));
    let rotation = RotationId { binding, previous: "1".parse().unwrap(), requested_at: sample::at(1) };
    VaultContext { rotation, fence: FencingToken(1) }
}

fn access() -> SecretAccess {
    SecretAccess { tenant: sample::tenant(1), identity: "local:web".parse().unwrap() }
}

async fn call_vault(faults: &Faults) {
    let memory = MemoryVault::new(VaultKind::Local);
    let secret: SecretReference = "local://main/web/1".parse().unwrap();
    memory.keep(&secret);
    let vault = faults.secret_store(Arc::new(memory));
    vault.check().await.unwrap();
    vault.versions(&access(), secret.key_vault_ref()).await.unwrap();
    vault.create_version(rotation(), &access(), secret.key_vault_ref()).await.unwrap();
    vault.deliver(&access(), &secret, Box::new(Hand)).await.unwrap();
    vault.retire_version(rotation(), &access(), &secret).await.unwrap();
}

async fn call_records(faults: &Faults) {
    let (at, subject) = (sample::at(10), sample::subject(1, "component/web"));
    let results = faults.health_results(Arc::new(MemoryHealthResults::new()));
    let own = results.tenant_health_results(&sample::scope(1));
    own.append(&[]).await.unwrap();
    let service = ServiceId::of(sample::environment(1), &module());
    own.latest(sample::environment(1), service, at).await.unwrap();
    own.latest_of_all(sample::environment(1), at, None, 10).await.unwrap();
    own.query(&HealthResultQuery::of(sample::environment(1))).await.unwrap();
    let operator = results.operator_health_results(&sample::operator());
    operator.prepare(at, at).await.unwrap();
    operator.prune(at, 10).await.unwrap();
    let snapshots = faults.snapshots(Arc::new(MemorySnapshots::new()));
    let own = snapshots.tenant_snapshots(&sample::scope(1));
    own.capture(&subject, at, &SnapshotBody::parse("{}").unwrap()).await.unwrap();
    own.latest(&subject).await.unwrap();
    own.as_of(&subject, at).await.unwrap();
    own.list(&SnapshotQuery::of(sample::environment(1))).await.unwrap();
    snapshots.snapshot_pruner(&sample::operator()).prune(at, 10).await.unwrap();
    let artifacts = faults.artifacts(Arc::new(MemoryArtifacts::new()));
    let own = artifacts.tenant_artifacts(&sample::scope(1));
    let artifact = ArtifactKey { subject: subject.clone(), name: sample::kept("log") };
    let mut writer = own.begin(&artifact, at).await.unwrap();
    writer.write(b"a line").await.unwrap();
    writer.finish(None).await.unwrap();
    own.open(&artifact).await.unwrap().unwrap().read().await.unwrap();
    own.list(&ArtifactQuery::of(subject)).await.unwrap();
    artifacts.artifact_pruner(&sample::operator()).prune(at, 10).await.unwrap();
}

fn event() -> PublishedEvent {
    PublishedEvent {
        id: sample::event(1),
        tenant: sample::tenant(1),
        aggregate_kind: AggregateKind::RuntimeService,
        aggregate_id: uuid::Uuid::from_u128(1),
        sequence: 1,
        event_type: "factory.runtime.Something.v1".to_owned(),
        envelope: "{}".to_owned(),
    }
}

async fn call_what_is_looked_at(faults: &Faults) {
    let said = Arc::new(Said::new(clock()));
    let (now, revision) = (sample::at(1_000), revision(1));
    let query = MetricQuery {
        key: key(),
        revision: revision.clone(),
        metric: MetricName::ErrorRate,
        since: now,
        until: now,
    };
    faults.metrics(said.clone()).read(&query).await.unwrap();
    let signals = faults.scaling_signals(Arc::new(Waiting));
    let (target, metric) = (SurfaceKind::Process, ScalingMetric::QueueLength);
    signals
        .signal(&SignalQuery { key: key(), target, revision: revision.clone(), metric, at: now })
        .await
        .unwrap_err();
    let (short, long) = (Span::from_secs(1), Span::from_secs(2));
    signals.burn(&BurnQuery { key: key(), target, revision, short, long, at: now }).await.unwrap_err();
    assert_eq!(signals.waiting().await, [key()]);
    let path = runtime_domain::component::HttpPath::new("/").unwrap();
    let request = ProbeRequest { address: "web.memory:80".to_owned(), path, timeout: short };
    faults.prober(said.clone()).probe(&request).await.unwrap();
    let registry = faults.registry(said.clone());
    let image = ImageReference::new(&format!("shop/web@sha256:{}", "a".repeat(64))).unwrap();
    let image = registry.resolve(&image).await.unwrap();
    registry.unpack(&image, std::path::Path::new("/")).await.unwrap_err();
    let place = DesiredPlace {
        tenant: sample::tenant(1),
        environment: sample::environment(1),
        path: "shop".parse().unwrap(),
    };
    faults.desired_state(said).read(&place).await.unwrap_err();
    let bus = Arc::new(RecordingBus::new("follower"));
    let publisher = faults.publisher(bus.clone());
    publisher.check().await.unwrap();
    publisher.publish(&event()).await.unwrap();
    let inbox = InboxEntry { consumer: module(), event: sample::event(1) };
    let event = event();
    faults.subscriber(bus).handle(Delivery { event: &event, inbox, attempt: 1 }).await.unwrap();
    faults.clock(clock()).sleep_until(Timestamp::UNIX_EPOCH).await;
    faults.authenticator(Arc::new(Shut)).authenticate(&Credentials::None).await.unwrap_err();
}

/// Knows nobody.
struct Shut;

#[async_trait]
impl Authenticator for Shut {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal, AuthenticationError> {
        Err(AuthenticationError::Missing)
    }
}

/// Somebody waits for a component, and nothing else is known.
struct Waiting;

#[async_trait]
impl ScalingSignals for Waiting {
    async fn signal(&self, _: &SignalQuery) -> PortResult<runtime_domain::scaling::Reading> {
        Err(runtime_ports::PortError::new(PortErrorKind::Unsupported, "test", "it knows none"))
    }
    async fn burn(&self, _: &BurnQuery) -> PortResult<runtime_domain::scaling::BurnReading> {
        Err(runtime_ports::PortError::new(PortErrorKind::Unsupported, "test", "it knows none"))
    }
    async fn waiting(&self) -> Vec<ComponentKey> {
        vec![key()]
    }
}

#[tokio::test]
async fn every_method_of_every_port_asks_what_happens_to_it() {
    let (faults, called) = listening();
    call_store(&faults).await;
    call_surface(&faults).await;
    call_environment(&faults).await;
    call_vault(&faults).await;
    call_records(&faults).await;
    call_what_is_looked_at(&faults).await;
    let called = called.lock().unwrap();
    let missing: Vec<_> = listed().filter(|name| !called.contains(name)).collect();
    assert!(missing.is_empty(), "nobody asked for {missing:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_frozen_host_goes_on_in_the_order_in_which_it_came() {
    let (faults, order) = (Faults::none(), Arc::new(Mutex::new(Vec::new())));
    faults.freeze();
    let surface = faults.surface(Arc::new(MemorySurface::new(clock())));
    let waiting = (0..40).map(|number| {
        let (surface, order) = (Arc::clone(&surface), Arc::clone(&order));
        tokio::spawn(async move {
            surface.observe(&key()).await.unwrap();
            order.lock().unwrap().push(number);
        })
    });
    let waiting: Vec<_> = waiting.collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    faults.thaw();
    for one in waiting {
        one.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..40).collect::<Vec<_>>());
}

/// A surface whose `scale` meets a fault, once.
fn scaled_with(fault: Fault) -> (Faults, MemorySurface, Arc<dyn ComputeSurface>) {
    let faults =
        Faults::new(move |call| (call.method == "surface.scale" && call.number == 1).then_some(fault));
    let memory = MemorySurface::new(clock());
    let surface = faults.surface(Arc::new(memory.clone()));
    (faults, memory, surface)
}

fn wanted(surface: &MemorySurface) -> u16 {
    surface.everything()[0].revisions.values().map(|revision| revision.wanted).sum()
}

#[tokio::test]
async fn a_change_is_done_or_not_and_its_caller_is_told_or_not_as_the_fault_says() {
    let unavailable = PortErrorKind::Unavailable;
    for (fault, replicas, kind, retry) in [
        (Fault::Before(unavailable), 2, unavailable, Retry::Later { after: None }),
        (Fault::Before(PortErrorKind::Invalid), 2, PortErrorKind::Invalid, Retry::Never),
        (Fault::After(unavailable), 5, unavailable, Retry::Later { after: None }),
        (Fault::RequestLost, 2, PortErrorKind::TimedOut, Retry::OutcomeUnknown),
        (Fault::AnswerLost, 5, PortErrorKind::TimedOut, Retry::OutcomeUnknown),
    ] {
        let (_, memory, surface) = scaled_with(fault);
        surface.apply(by(1, 1), &spec(1), 2).await.unwrap();
        let told = surface.scale(by(1, 2), &key(), &revision(1), 5).await.unwrap_err();
        assert_eq!((wanted(&memory), told.kind(), told.retry()), (replicas, kind, retry), "{fault:?}");
        surface.scale(by(1, 3), &key(), &revision(1), 6).await.unwrap();
        assert_eq!(wanted(&memory), 6, "{fault:?}: it comes once");
    }
}

#[tokio::test]
async fn what_is_done_twice_is_met_twice_and_changes_something_once() {
    let (_, memory, surface) = scaled_with(Fault::Twice);
    surface.apply(by(1, 1), &spec(1), 2).await.unwrap();
    surface.scale(by(1, 2), &key(), &revision(1), 5).await.unwrap();
    let outcomes: Vec<MetOutcome> = memory.effects().iter().map(|met| met.outcome).collect();
    assert_eq!(outcomes, [MetOutcome::Changed, MetOutcome::Changed, MetOutcome::Unchanged]);
}

#[tokio::test]
async fn what_is_late_is_done_when_it_is_released_and_is_then_refused_for_its_token() {
    let (faults, memory, surface) = scaled_with(Fault::Late);
    surface.apply(by(1, 1), &spec(1), 2).await.unwrap();
    let key = key();
    let revision = revision(1);
    let late = surface.scale(by(1, 2), &key, &revision, 5);
    let others = async {
        tokio::task::yield_now().await;
        surface.scale(by(2, 2), &key, &revision, 3).await.unwrap();
        faults.release();
    };
    let (late, ()) = tokio::join!(late, others);
    assert_eq!((late.unwrap_err().kind(), wanted(&memory)), (PortErrorKind::Fenced, 3));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_frozen_does_nothing_and_goes_on_with_what_it_was_about_to_do() {
    let (faults, memory, surface) = scaled_with(Fault::FreezeBefore);
    surface.apply(by(1, 1), &spec(1), 2).await.unwrap();
    let clock = faults.clock(clock());
    let (key, revision, order) = (key(), revision(1), Mutex::new(Vec::new()));
    let work = async {
        surface.scale(by(1, 2), &key, &revision, 5).await.unwrap();
        order.lock().unwrap().push("scaled");
    };
    let timer = async {
        clock.sleep_until(Span::from_secs(1).after(clock.now())).await;
        order.lock().unwrap().push("timer");
    };
    let other = async {
        faults.frozen().await;
        tokio::time::sleep_until(tokio::time::Instant::now() + std::time::Duration::from_secs(60)).await;
        assert!(faults.is_frozen());
        assert_eq!((wanted(&memory), order.lock().unwrap().len()), (2, 0));
        faults.thaw();
    };
    tokio::join!(work, timer, other);
    assert_eq!((wanted(&memory), order.into_inner().unwrap()), (5, vec!["scaled", "timer"]));
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_as_long_as_its_guard_lets_it() {
    let (faults, surface) = (Faults::none(), MemorySurface::new(clock()));
    let faulty = faults.surface(Arc::new(surface.clone()));
    faulty.apply(by(1, 1), &spec(1), 2).await.unwrap();
    let turns = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&turns);
    faults.guard(move |method| {
        let mut seen = seen.lock().unwrap();
        seen.push(method);
        seen.len() < 2
    });
    faults.choose(|_| Some(Fault::Slow { there: Span::from_secs(1), back: Span::ZERO }));
    // It is taken up when it is made and when its time has come, and by then it may not.
    let (key, revision) = (key(), revision(1));
    let call = faulty.scale(by(1, 2), &key, &revision, 5);
    let late = tokio::time::timeout(std::time::Duration::from_secs(60), call).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(turns.lock().unwrap()[..2], ["surface.scale", "surface.scale"]);
    assert_eq!(wanted(&surface), 2, "it was stopped before it was done");
}

#[tokio::test]
async fn answers_are_stale_partial_or_garbage_as_the_fault_says() {
    let (faults, surface) = (Faults::none(), MemorySurface::new(clock()));
    let faulty = faults.surface(Arc::new(surface.clone()));
    let replicas = async || {
        let seen = faulty.observe(&key()).await.unwrap();
        seen.revisions.values().map(|revision| revision.instances.len()).sum::<usize>()
    };
    surface.apply(by(1, 1), &spec(1), 4).await.unwrap();
    assert_eq!(replicas().await, 4);
    surface.scale(by(1, 2), &key(), &revision(1), 6).await.unwrap();
    faults.choose(|_| Some(Fault::Stale));
    assert_eq!(replicas().await, 4, "what was seen before");
    faults.choose(|_| Some(Fault::Partial));
    assert_eq!(replicas().await, 3, "half of what there is");
    faults.choose(|_| Some(Fault::Garbage));
    assert_ne!(faulty.observe(&key()).await.unwrap().key, key());
    faults.choose(|_| None);
    assert_eq!(replicas().await, 6);
    assert_eq!(faults.count("surface.observe"), 5);
}

#[tokio::test]
async fn a_clock_that_jumped_is_wrong_and_its_timers_are_not() {
    let (faults, true_time) = (Faults::none(), clock());
    let clock = faults.clock(Arc::clone(&true_time));
    faults.jump_clock(-3_600_000);
    let behind = Span::between(clock.now(), true_time.now());
    assert!(behind >= Span::from_secs(3_599) && behind <= Span::from_secs(3_601), "{behind}");
    // It would take an hour otherwise.
    clock.sleep_until(clock.now()).await;
}
