//! One component on a surface in memory that fails as it is told, a queue, and hosts that share a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use runtime_domain::aggregate::Decision;
use runtime_domain::component::{ImageDigest, InstanceResources, RevisionId};
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{DeploymentId, EnvironmentId, ProjectId, TenantBindingId, TenantId};
use runtime_domain::scaling::{
    BurnReading, Cooldown, Fallback, PolicySpec, PolicyTerms, Reading, ReplicaBounds, ScalingMetric,
    ScalingRule, Stabilisation,
};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectOwner, FencingToken, InstanceObservation,
    RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use runtime_domain::tenancy::{
    PartitionAssignment, ResourceQuota, RuntimeTenantBinding, TenancyEvent, TenantBound, TenantPlace,
    WorkloadDemand,
};
use runtime_domain::value::{Measure, Name, Replicas};
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::{Clock as _, MockIdGenerator};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::store::{LeaseRequest, Store as _};
use runtime_ports::surface::ComputeSurface;
use runtime_ports::{PortError, PortResult};
use runtime_testkit::sample;
use tokio::sync::{Mutex as Gate, OwnedMutexGuard, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::environments::NewEnvironment;
use crate::host::{HostOptions, Ports};
use crate::records::Records;
use crate::scaling::NewScalingPolicy;
use crate::services::Services;
use crate::testing::DrivenClock;
use crate::worker;

/// How the surface fails.
#[derive(Clone)]
pub(super) enum Fault {
    None,
    /// Nothing is done.
    Before(PortError),
    /// It is done, and the answer is an error.
    After(PortError),
    /// It is accepted, and only half of it is there.
    Half,
    /// It cannot be looked at.
    Blind,
}

/// Where a pass is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    BeforeEffect,
    AfterEffect,
    /// As what came of the effect is about to be looked at.
    Observation,
}

struct Surface {
    asked: u16,
    present: u16,
    fence: FencingToken,
    /// Every change that was made.
    done: Vec<(EffectId, u16)>,
    fault: Fault,
    held_at: Option<At>,
}

/// What the queue answers.
#[derive(Clone)]
enum Answer {
    /// So many wait, as is counted when it is asked.
    Counted(i64),
    Fixed(PortResult<Reading>),
}

/// The component's surface, and its queue.
struct Place {
    surface: Mutex<Surface>,
    answer: Mutex<Answer>,
    clock: DrivenClock,
    /// Locked while whoever comes to the held place waits there.
    gate: Arc<Gate<()>>,
    reached: watch::Sender<Option<At>>,
}

impl Place {
    fn surface(&self) -> MutexGuard<'_, Surface> {
        self.surface.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, the first time that it comes here, until the gate is opened.
    async fn pass_by(&self, at: At) {
        let is_held = {
            let mut surface = self.surface();
            let is_held = surface.held_at == Some(at);
            if is_held {
                surface.held_at = None;
            }
            is_held
        };
        if is_held {
            self.reached.send_replace(Some(at));
            drop(self.gate.lock().await);
        }
    }
}

fn revision() -> RevisionId {
    RevisionId::new(name("cart"), DeploymentId::from_uuid(Uuid::from_u128(1)))
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

#[async_trait]
impl ComputeSurface for Place {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, _: EffectContext, _: &RevisionSpec, _: u16) -> PortResult<()> {
        panic!("scaling applies nothing")
    }

    async fn scale(
        &self,
        context: EffectContext,
        _: &ComponentKey,
        of: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        assert_eq!(*of, revision());
        assert!(matches!(context.effect.owner, EffectOwner::ScalingPolicy(_)));
        self.pass_by(At::BeforeEffect).await;
        let answer = {
            let mut surface = self.surface();
            let fault = surface.fault.clone();
            if let Fault::Before(error) = fault {
                return Err(error);
            }
            if surface.fence > context.fence {
                return Err(PortError::new(PortErrorKind::Fenced, "surface.scale", "another host took over"));
            }
            surface.fence = context.fence;
            if !surface.done.contains(&(context.effect, replicas)) {
                surface.done.push((context.effect, replicas));
                surface.asked = replicas;
                let is_half = matches!(fault, Fault::Half);
                surface.present = if is_half { surface.present.midpoint(replicas) } else { replicas };
            }
            if let Fault::After(error) = fault { Err(error) } else { Ok(()) }
        };
        self.pass_by(At::AfterEffect).await;
        answer
    }

    async fn shift_traffic(&self, _: EffectContext, _: &ComponentKey, _: &Traffic) -> PortResult<()> {
        panic!("scaling shifts nothing")
    }

    async fn retire(&self, _: EffectContext, _: &ComponentKey, _: &RevisionId) -> PortResult<()> {
        panic!("scaling retires nothing")
    }

    async fn deliver(
        &self,
        _: EffectContext,
        _: &ComponentKey,
        _: &RevisionId,
        _: &runtime_domain::configuration::DeliveredConfiguration,
    ) -> PortResult<()> {
        panic!("scaling delivers nothing")
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        if !self.surface().done.is_empty() {
            self.pass_by(At::Observation).await;
        }
        let surface = self.surface();
        if let Fault::Blind = surface.fault {
            return Err(PortError::new(PortErrorKind::Unavailable, "surface.observe", "it is dark"));
        }
        let instance = |number: u16| InstanceObservation {
            name: format!("cart-{number}"),
            state: runtime_domain::surface::InstanceState::Ready,
            restarts: 0,
            address: None,
            configuration: None,
            secrets: Default::default(),
        };
        let seen = RevisionObservation {
            image: ImageDigest::new(&format!("sha256:{}", "a".repeat(64))).expect("a digest"),
            wanted: surface.asked,
            instances: (0..surface.present).map(instance).collect(),
            trouble: None,
        };
        Ok(ComponentObservation {
            key: key.clone(),
            observed_at: self.clock.now(),
            revisions: [(revision(), seen)].into(),
            traffic: Some(Traffic::all_to(revision())),
            endpoint: None,
        })
    }

    async fn list(&self, _: TenantId, _: EnvironmentId) -> PortResult<Vec<ComponentObservation>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl ScalingSignals for Place {
    async fn signal(&self, query: &SignalQuery) -> PortResult<Reading> {
        assert_eq!((query.metric, &query.revision), (ScalingMetric::QueueLength, &revision()));
        match self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Answer::Counted(units) => Ok(Reading::Measured {
                value: Measure::from_units(units),
                observed_at: self.clock.now(),
                samples: 1,
            }),
            Answer::Fixed(answer) => answer,
        }
    }

    async fn burn(&self, _: &BurnQuery) -> PortResult<BurnReading> {
        Err(PortError::new(PortErrorKind::Unsupported, "queue.burn", "it has no objective"))
    }

    async fn waiting(&self) -> Vec<ComponentKey> {
        std::future::pending().await
    }
}

/// A store with one policy, of the component `cart`, which runs one replica.
pub(super) struct World {
    pub(super) clock: DrivenClock,
    pub(super) scope: TenantScope,
    place: Arc<Place>,
    store: MemoryStore,
    next: Arc<AtomicU64>,
    environment: EnvironmentId,
    services: Services,
    held: Mutex<Option<OwnedMutexGuard<()>>>,
}

/// From one to nine replicas, so many that wait for each.
pub(super) fn queue(each: i64) -> PolicySpec {
    queue_on(SurfaceKind::Process, each)
}

pub(super) fn queue_on(target: SurfaceKind, each: i64) -> PolicySpec {
    let bounds = ReplicaBounds::new(target, 1, Replicas::new(9).expect("replicas")).expect("bounds");
    let rule = ScalingRule::new(ScalingMetric::QueueLength, Measure::from_units(each));
    let terms = PolicyTerms {
        stabilisation: Stabilisation { scale_out: Span::ZERO, scale_in: Span::from_secs(30) },
        cooldown_seconds: Cooldown::from_secs(30).expect("a cooldown"),
        fallback: Fallback { after: Span::from_secs(60), ..Fallback::default() },
        ..PolicyTerms::new(bounds, [rule])
    };
    PolicySpec::new(terms).expect("a policy")
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = DrivenClock::at(sample::at(1_000));
        let surface = Surface {
            asked: 1,
            present: 1,
            fence: FencingToken(0),
            done: Vec::new(),
            fault: Fault::None,
            held_at: None,
        };
        let place = Arc::new(Place {
            surface: Mutex::new(surface),
            answer: Mutex::new(Answer::Counted(10)),
            clock: clock.clone(),
            gate: Arc::default(),
            reached: watch::Sender::new(None),
        });
        let (store, next, scope) = (MemoryStore::new(), Arc::new(AtomicU64::new(1_000)), sample::scope(1));
        let services = services(&store, &next, &place, &clock, vec![place.clone()]);
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(Uuid::from_u128(1)),
            name: name("tests"),
            stage: EnvironmentStage::Dev,
            region: name("local"),
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environment = services.environments().provision(&scope, wanted).await.expect("accepted");
        let environment = environment.aggregate.id();
        let held = Mutex::default();
        let world = Self { clock, scope, place, store, next, environment, services, held };
        world.scaling().apply(&world.scope, world.wanted(queue(10))).await.expect("applied");
        world
    }

    pub(super) fn wanted(&self, policy: PolicySpec) -> NewScalingPolicy {
        NewScalingPolicy { environment: self.environment, module: name("cart"), policy }
    }

    pub(super) fn scaling(&self) -> &ScalingService {
        self.services.scaling()
    }

    pub(super) fn source(&self) -> Arc<dyn ScalingSignals> {
        self.place.clone()
    }

    /// The services of another host that shares the store.
    pub(super) fn services(&self, sources: Vec<Arc<dyn ScalingSignals>>) -> Services {
        services(&self.store, &self.next, &self.place, &self.clock, sources)
    }

    pub(super) fn host(&self) -> Worker {
        let services = self.services(vec![self.place.clone()]);
        let (host, scaling) = (services.host().clone(), services.scaling().clone());
        Worker { task: Arc::new(ScalingReconciler::new(host.clone(), scaling)), host }
    }

    pub(super) async fn policy(&self) -> ScalingPolicy {
        let found = self.scaling().policy_of(&self.scope, self.environment, &name("cart")).await;
        found.expect("read").expect("it is there")
    }

    pub(super) async fn status(&self) -> PolicyStatus {
        self.policy().await.state().status()
    }

    pub(super) async fn events(&self) -> Vec<String> {
        let policy = self.policy().await.id();
        let history = self.scaling().history(&self.scope, policy, 0, 1_000).await.expect("read");
        history.into_iter().map(|entry| entry.event).collect()
    }

    /// The tenant is bound, with a quota for so many replicas of which one is charged for; tells how many are.
    pub(super) async fn is_bound(&self, replicas: u16) -> impl AsyncFn() -> u64 {
        let (host, now) = (self.services.host(), self.clock.now());
        let (each, deployment) = (InstanceResources::USUAL, revision().deployment);
        let all = WorkloadDemand::each(each, replicas);
        let quota = ResourceQuota::new(all.cpu_millicores, all.memory_bytes, 0, 1).expect("a quota");
        let place = TenantPlace {
            tenant_id: self.scope.tenant(),
            environment_id: self.environment,
            isolation_model: IsolationModel::Silo,
            quota,
            partitions: PartitionAssignment::derived(
                self.scope.tenant(),
                self.environment,
                IsolationModel::Silo,
            ),
        };
        let tenant_binding_id = TenantBindingId::from_uuid(Uuid::from_u128(77));
        let bound = TenantBound {
            tenant_binding_id,
            tenant_id: place.tenant_id,
            environment_id: place.environment_id,
            isolation_model: place.isolation_model,
            quota,
            partitions: place.partitions.clone(),
        };
        let demands = [(name("cart"), WorkloadDemand::each(each, 1))].into();
        let events = vec![
            TenancyEvent::TenantBindingRequested { tenant_binding_id, place, until: now },
            TenancyEvent::RuntimeTenantBound(bound),
            TenancyEvent::WorkloadsAdmitted { deployment, demands },
            TenancyEvent::WorkloadsSettled { deployment, is_kept: true },
        ];
        let decision = Decision::of(events, "the test begins here");
        let store = self.store.for_tenant(&self.scope);
        let bound = commit::<RuntimeTenantBinding>(host, &*store, None, &decision, Grounds::default(), now);
        bound.await.expect("bound").expect("there");
        async move || {
            let store = self.store.for_tenant(&self.scope);
            let bound = Repository::<RuntimeTenantBinding>::new(&*store).load(Uuid::from_u128(77)).await;
            let bound = bound.expect("read").expect("there").aggregate;
            bound.workloads().charged().cpu_millicores / each.cpu_millicores
        }
    }

    /// What the policy is known to have brought about.
    pub(super) async fn scaled(&self) -> Vec<(u16, u16)> {
        self.policy().await.applied().iter().map(|action| (action.from, action.to)).collect()
    }

    /// So many wait, as is known whenever it is asked.
    pub(super) fn waits(&self, units: i64) {
        *self.place.answer.lock().unwrap_or_else(PoisonError::into_inner) = Answer::Counted(units);
    }

    pub(super) fn answers(&self, answer: PortResult<Reading>) {
        *self.place.answer.lock().unwrap_or_else(PoisonError::into_inner) = Answer::Fixed(answer);
    }

    pub(super) fn fault(&self, fault: Fault) {
        let mut surface = self.place.surface();
        // What was half done goes on by itself.
        if let Fault::Half = surface.fault {
            surface.present = surface.asked;
        }
        surface.fault = fault;
    }

    pub(super) fn by_hand(&self, replicas: u16) {
        let mut surface = self.place.surface();
        (surface.asked, surface.present) = (replicas, replicas);
    }

    pub(super) fn replicas(&self) -> u16 {
        self.place.surface().present
    }

    pub(super) fn done(&self) -> Vec<(EffectId, u16)> {
        self.place.surface().done.clone()
    }

    /// Passes of a host, a second after one another, until so many more evaluations were made.
    pub(super) async fn evaluated(&self, host: &Worker, times: usize) {
        let count = async || self.events().await.iter().filter(|event| *event == "ScalingEvaluated").count();
        let until = count().await + times;
        for _ in 0..10_000 {
            if count().await >= until {
                return self.passes(host, 2).await;
            }
            self.passes(host, 1).await;
        }
        panic!("it is evaluated no more");
    }

    pub(super) async fn passes(&self, host: &Worker, times: usize) {
        for _ in 0..times {
            self.clock.advance(Span::from_secs(1));
            host.pass_all().await;
        }
    }

    /// Passes of a host until nothing is wanted that is not there.
    pub(super) async fn settle(&self, host: &Worker) {
        self.evaluated(host, 1).await;
        for _ in 0..100 {
            if self.policy().await.effect().is_none() {
                return;
            }
            self.passes(host, 1).await;
        }
        panic!("it wants {:?}", self.policy().await.wanted());
    }

    /// The next pass that comes there waits.
    pub(super) fn hold_at(&self, at: At) {
        let guard = Arc::clone(&self.place.gate).try_lock_owned().expect("nobody waits");
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        self.place.surface().held_at = Some(at);
    }

    pub(super) async fn reached(&self, at: At) {
        let mut reached = self.place.reached.subscribe();
        reached.wait_for(|reached| *reached == Some(at)).await.expect("somebody comes");
    }

    /// Opens the gate.
    pub(super) fn let_go(&self) {
        drop(self.keep_held());
    }

    /// The gate stays closed until this is dropped.
    pub(super) fn keep_held(&self) -> OwnedMutexGuard<()> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.expect("the gate is closed")
    }

    /// Another host takes over when the lease has ended, with the load that was, or half of it.
    pub(super) async fn take_over(&self, other: &Worker, is_other_load: bool) {
        self.clock.advance(Span::from_secs(20));
        self.waits(if is_other_load { 20 } else { WAITING });
        self.evaluated(other, 6).await;
        self.settle(other).await;
    }
}

fn services(
    store: &MemoryStore,
    next: &Arc<AtomicU64>,
    place: &Arc<Place>,
    clock: &DrivenClock,
    scaling_signals: Vec<Arc<dyn ScalingSignals>>,
) -> Services {
    let mut ids = MockIdGenerator::new();
    let next = Arc::clone(next);
    ids.expect_next().returning(move || Uuid::from_u128(next.fetch_add(1, Ordering::SeqCst).into()));
    let surface: Arc<dyn ComputeSurface> = place.clone();
    let ports = Ports {
        store: Arc::new(store.clone()),
        records: Records::default(),
        surfaces: [(SurfaceKind::Process, surface)].into(),
        infrastructure: Arc::new(MockInfrastructureEngine::new()),
        tenancy: crate::TenancyPorts::default(),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: None,
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals,
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: Default::default(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(clock.clone()),
        ids: Arc::new(ids),
    };
    Services::new(Host::new(ports, HostOptions::default()), Vec::new()).expect("services")
}

/// One host's scaling worker.
pub(super) struct Worker {
    host: Host,
    task: Arc<ScalingReconciler>,
}

impl Worker {
    async fn take(&self) -> Vec<Lease> {
        let now = self.host.now();
        let request = LeaseRequest {
            topic: LeaseTopic::Work,
            kinds: vec![AggregateKind::ScalingPolicy],
            host: self.host.id(),
            now,
            until: self.host.options().lease.after(now),
            limit: 10,
        };
        let store = self.host.ports().store.for_operator(&self.host.operator("scaling"));
        store.take_leases(&request).await.expect("the store works")
    }

    fn hold(&self, lease: Lease) -> impl Future<Output = ()> + Send + 'static {
        let store = Arc::from(self.host.ports().store.for_operator(&self.host.operator("scaling")));
        worker::hold(self.host.clone(), store, self.task.clone(), lease)
    }

    /// Works on all that is due.
    pub(super) async fn pass_all(&self) {
        for lease in self.take().await {
            self.hold(lease).await;
        }
    }

    /// Begins to work on the policy, which is due. Its lease is not renewed: the host is slow, or dead.
    pub(super) async fn spawn_pass(&self) -> JoinHandle<()> {
        let mut leases = self.take().await;
        let lease = leases.pop().expect("it is due");
        let task = Arc::clone(&self.task);
        tokio::spawn(async move {
            let _ = task.pass(&lease).await;
        })
    }
}
