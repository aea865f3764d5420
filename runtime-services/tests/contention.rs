//! Many callers change one aggregate at once, on a store that is slow, and that sometimes fails: each gets an answer that is true.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{AggregateKind, EnvironmentId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_memory::MemoryStore;
use runtime_ports::clock::MockClock;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::publisher::MockEventPublisher;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, OperatorStore, Page, Query,
    Store, StoredAggregate, TenantStore,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_services::environments::{EnvironmentService, NewEnvironment};
use runtime_services::{CommandError, Done, Host, HostOptions, Ports, Records};
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

type Reply = oneshot::Sender<Result<CommitReceipt, CommitError>>;

/// Performs commits in the order in which they are sent, later, and refuses every `failing`th unperformed.
#[derive(Clone)]
struct SlowStore {
    memory: MemoryStore,
    queue: mpsc::UnboundedSender<(TenantScope, Commit, Reply)>,
    brought: Arc<AtomicU64>,
    conflicts: Arc<AtomicU64>,
}

impl SlowStore {
    fn failing_every(failing: Option<u64>) -> Self {
        let memory = MemoryStore::new();
        let (queue, mut waiting) = mpsc::unbounded_channel::<(TenantScope, Commit, Reply)>();
        let conflicts = Arc::new(AtomicU64::new(0));
        let (store, counter) = (memory.clone(), Arc::clone(&conflicts));
        tokio::spawn(async move {
            let mut number = 0;
            while let Some((scope, commit, reply)) = waiting.recv().await {
                tokio::task::yield_now().await;
                number += 1;
                let result = if failing.is_some_and(|failing| number % failing == 0) {
                    Err(PortError::new(PortErrorKind::Unavailable, "store.commit", "out of order").into())
                } else {
                    store.for_tenant(&scope).commit(commit).await
                };
                counter.fetch_add(
                    u64::from(matches!(result, Err(CommitError::Conflict { .. }))),
                    Ordering::Relaxed,
                );
                let _ = reply.send(result);
            }
        });
        Self { memory, queue, brought: Arc::default(), conflicts }
    }
}

#[async_trait]
impl Store for SlowStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(SlowTenantStore { store: self.clone(), inner: self.memory.for_tenant(scope) })
    }
    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.memory.for_operator(scope)
    }
    async fn check(&self) -> PortResult<()> {
        self.memory.check().await
    }
}

struct SlowTenantStore {
    store: SlowStore,
    inner: Box<dyn TenantStore>,
}

#[async_trait]
impl TenantStore for SlowTenantStore {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }
    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let (reply, answer) = oneshot::channel();
        let before = self.store.brought.fetch_add(1, Ordering::Relaxed);
        assert!(before < 10_000, "commits are brought without end");
        self.store.queue.send((self.scope().clone(), commit, reply)).unwrap();
        answer.await.unwrap()
    }
    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.inner.load(key).await
    }
    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.inner.query(query).await
    }
    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.inner.is_handled(entry).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.inner.history(key, after, limit).await
    }
}

fn service(store: &SlowStore) -> EnvironmentService {
    service_on(Arc::new(store.clone()))
}

fn service_on(store: Arc<dyn Store>) -> EnvironmentService {
    let mut clock = MockClock::new();
    clock.expect_now().returning(|| sample::at(1_800_000_000));
    let ports = Ports {
        store,
        records: Records::default(),
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
        publisher: Arc::new(MockEventPublisher::new()),
        clock: Arc::new(clock),
        ids: Arc::new(UuidV7Generator::default()),
    };
    EnvironmentService::new(Host::new(ports, HostOptions::default()))
}

async fn provisioned(service: &EnvironmentService, scope: &TenantScope) -> EnvironmentId {
    let wanted = NewEnvironment {
        project_id: runtime_domain::id::ProjectId::from_uuid(sample::host(1).uuid()),
        name: Name::new("shop").unwrap(),
        stage: EnvironmentStage::Dev,
        region: Name::new("local").unwrap(),
        isolation_model: IsolationModel::Pool,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        egress_allow_list: BTreeSet::new(),
        capacity: ResourceQuota::LARGEST,
    };
    service.provision(scope, wanted).await.unwrap().aggregate.id()
}

/// Sixty-four callers protect and unprotect one environment, ten times each.
async fn contend(store: &SlowStore) -> Contention {
    let scope = sample::scope(1);
    let service = service(store);
    let environment = provisioned(&service, &scope).await;
    let mut callers = JoinSet::new();
    for caller in 0..64_u32 {
        let (service, scope) = (service.clone(), scope.clone());
        callers.spawn(async move {
            let mut answers = Vec::new();
            for round in 0..10 {
                let protected = (caller + round) % 2 == 0;
                answers.push((protected, service.protect(&scope, environment, protected).await));
            }
            answers
        });
    }
    let answers = callers.join_all().await.into_iter().flatten().collect();
    let history = service.history(&scope, environment, 1, 10_000).await.unwrap();
    Contention { answers, history }
}

struct Contention {
    answers: Vec<(
        bool,
        Result<
            Done<runtime_domain::environment::RuntimeEnvironment>,
            runtime_services::environments::EnvironmentError,
        >,
    )>,
    history: Vec<HistoryEntry>,
}

impl Contention {
    /// Every answer is true: what it says was changed is in the history, once, and it shows what was asked for.
    fn is_told_truly(&self) {
        let mut changed = BTreeSet::new();
        for (protected, done) in
            self.answers.iter().filter_map(|(protected, answer)| Some((*protected, answer.as_ref().ok()?)))
        {
            assert_eq!(done.aggregate.is_protected(), protected, "{}", done.explanation);
            if done.changed {
                assert!(
                    changed.insert(done.revision),
                    "two callers were told of one change: {:?}",
                    done.revision
                );
            }
        }
        // The first entry made the environment.
        assert_eq!(changed.len(), self.history.len());
        let names: Vec<&str> = self.history.iter().map(|entry| entry.event.as_str()).collect();
        let expected = ["EnvironmentProtected", "EnvironmentUnprotected"].into_iter().cycle();
        assert!(names.iter().eq(expected.take(names.len()).collect::<Vec<_>>().iter()), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_caller_meets_another_and_the_store_sees_no_conflict() {
    let store = SlowStore::failing_every(None);
    let contention = contend(&store).await;
    for (_, answer) in &contention.answers {
        assert!(answer.is_ok(), "{answer:?}");
    }
    contention.is_told_truly();
    assert_eq!(store.conflicts.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_upon_a_commit_that_failed_is_decided_again() {
    let store = SlowStore::failing_every(Some(7));
    let contention = contend(&store).await;
    let failed = contention.answers.iter().filter(|(_, answer)| answer.is_err()).count();
    assert!(failed > 10, "the store failed {failed} times");
    for (_, answer) in &contention.answers {
        let is_expected = matches!(answer, Ok(_) | Err(CommandError::Port(_)));
        assert!(is_expected, "{answer:?}");
    }
    contention.is_told_truly();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_leaves_the_lane_usable() {
    let store = SlowStore::failing_every(None);
    let scope = sample::scope(1);
    let service = service(&store);
    let environment = provisioned(&service, &scope).await;
    for round in 0..50 {
        let asked = service.protect(&scope, environment, round % 2 == 0);
        // Polled once, and dropped while it is being written.
        drop(futures::poll!(Box::pin(asked)));
        let done = service.protect(&scope, environment, round % 3 == 0).await.unwrap();
        assert_eq!(done.aggregate.is_protected(), round % 3 == 0);
    }
}

/// So that a store can make them durable by one flush.
#[tokio::test]
async fn what_several_ask_of_one_aggregate_is_brought_to_the_store_at_once() {
    let store = SlowStore::failing_every(None);
    let scope = sample::scope(1);
    let service = service(&store);
    let environment = provisioned(&service, &scope).await;
    let before = store.brought.load(Ordering::Relaxed);
    let mut first = Box::pin(service.protect(&scope, environment, true));
    let mut second = Box::pin(service.stop_the_line(&scope, environment, "a leak"));
    let mut third = Box::pin(service.protect(&scope, environment, false));
    assert!(futures::poll!(&mut first).is_pending(), "it waits to be written");
    assert!(futures::poll!(&mut second).is_pending(), "so does what was decided upon it");
    assert!(futures::poll!(&mut third).is_pending(), "and what was decided upon that");
    assert_eq!(store.brought.load(Ordering::Relaxed) - before, 3);
    let answers = tokio::join!(first, second, third);
    assert!(answers.0.is_ok() && answers.1.is_ok() && answers.2.is_ok(), "{answers:?}");
    assert_eq!(store.conflicts.load(Ordering::Relaxed), 0);
}

/// None of those who wait behind it builds for ever upon another who does.
#[tokio::test]
async fn those_who_wait_behind_a_commit_that_comes_to_nothing_look_at_what_is_stored() {
    let store = SlowStore::failing_every(None);
    let scope = sample::scope(1);
    let (service, other) = (service(&store), service_on(Arc::new(store.memory.clone())));
    let environment = provisioned(&service, &scope).await;
    let mut callers = JoinSet::new();
    for caller in 0..6_u32 {
        let (service, scope) = (service.clone(), scope.clone());
        callers.spawn(async move { service.protect(&scope, environment, caller % 2 == 0).await });
    }
    while store.brought.load(Ordering::Relaxed) < 6 {
        tokio::task::yield_now().await;
    }
    other.live_for(&scope, environment, Some(Span::from_secs(60))).await.unwrap();
    while let Some(answer) = callers.join_next().await {
        let answer = answer.unwrap();
        assert!(answer.is_ok(), "{answer:?}");
    }
    let brought = store.brought.load(Ordering::Relaxed);
    assert!(brought < 30, "{brought} commits for six commands");
}

/// Another host's commit gives the aggregate the very revision that what waits was built upon.
#[tokio::test]
async fn what_was_built_upon_a_commit_that_another_host_was_quicker_than_is_decided_again() {
    let store = SlowStore::failing_every(None);
    let scope = sample::scope(1);
    let (service, other) = (service(&store), service_on(Arc::new(store.memory.clone())));
    let environment = provisioned(&service, &scope).await;
    let mut first = Box::pin(service.protect(&scope, environment, true));
    assert!(futures::poll!(&mut first).is_pending(), "it waits to be written");
    let mut second = Box::pin(service.stop_the_line(&scope, environment, "a leak"));
    assert!(futures::poll!(&mut second).is_pending(), "it waits behind the first");
    other.live_for(&scope, environment, Some(Span::from_secs(60))).await.unwrap();
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
    let history = service.history(&scope, environment, 1, 100).await.unwrap();
    let events: BTreeSet<&str> = history.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["EnvironmentExpiryChanged", "EnvironmentProtected", "LineStopped"].into());
    let mut digest = service.history(&scope, environment, 0, 1).await.unwrap()[0].digest;
    let key = AggregateKey { kind: AggregateKind::RuntimeEnvironment, id: environment.uuid() };
    for entry in &history {
        digest = digest.then(scope.tenant(), key, entry);
        assert_eq!(entry.digest, digest, "entry {} follows another than the one before it", entry.sequence);
    }
}
