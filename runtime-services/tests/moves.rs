//! A tenant's move, with a host that dies at every effect: before it and after it. Whoever comes next carries it to the same end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::environment::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionedResources,
};
use runtime_domain::id::{EnvironmentId, ProjectId, TenantBindingId, TenantId};
use runtime_domain::metric::MetricReading;
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, FencingToken, InstanceObservation, InstanceState,
    RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use runtime_domain::tenancy::{BindingStatus, PartitionAssignment, ResourceQuota};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::Clock;
use runtime_ports::handover::EndpointHandover;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_services::environments::NewEnvironment;
use runtime_services::tenancy::NewBinding;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;
use tokio_util::sync::CancellationToken;

/// Time that passes as the test's runtime lets it: at once, where nothing else is to be done.
struct TestClock(tokio::time::Instant);

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Span::from_millis(1_800_000_000_000 + elapsed).after(Timestamp::UNIX_EPOCH)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let wait = Span::between(self.now(), deadline).to_std();
        tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

#[derive(Debug, Default)]
struct Component {
    revisions: BTreeMap<RevisionId, (RevisionSpec, u16)>,
    traffic: Option<Traffic>,
    handed_to: Option<ComponentKey>,
    token: Option<FencingToken>,
    effects: BTreeSet<String>,
}

/// A surface in memory, on which a host dies at an effect of its choice.
#[derive(Debug, Default)]
struct World {
    components: BTreeMap<ComponentKey, Component>,
    /// Every effect of the move, in order; those that were repeated too.
    effects: Vec<String>,
    dies_at: Option<(usize, When)>,
    has_died: bool,
    /// Requests of clients that nobody would have answered.
    homeless: Vec<String>,
}

#[derive(Clone)]
struct Surface(Arc<Mutex<World>>, Arc<TestClock>);

impl Surface {
    /// Does an effect of the move, or dies around it. What is not of the move is done as it is.
    async fn perform<T>(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        what: &str,
        change: impl FnOnce(&mut Component) -> T,
    ) -> PortResult<T> {
        let (done, dies) = {
            let mut world = self.0.lock().unwrap();
            let of_the_move =
                matches!(context.effect.owner, runtime_domain::surface::EffectOwner::RuntimeTenantBinding(_));
            if of_the_move {
                world.effects.push(format!("{what} of {}", context.effect));
            }
            let count = world.effects.len();
            let dies = world.dies_at.filter(|(at, _)| of_the_move && *at == count && !world.has_died);
            let component = world.components.entry(key.clone()).or_default();
            if component.token.is_some_and(|newest| newest > context.fence) {
                return Err(PortError::new(PortErrorKind::Fenced, "test", "it is older"));
            }
            component.token = Some(context.fence);
            let done = match dies {
                Some((_, When::Before)) => None,
                _ => {
                    component.effects.insert(format!("{what} of {}", context.effect));
                    Some(change(component))
                }
            };
            world.has_died |= dies.is_some();
            world.look();
            (done, dies.is_some())
        };
        match done {
            Some(done) if !dies => Ok(done),
            _ => std::future::pending().await,
        }
    }

    fn has_died(&self) -> bool {
        self.0.lock().unwrap().has_died
    }
}

impl World {
    /// Looks whether every client of a component that was ever routed is answered by someone.
    fn look(&mut self) {
        for (key, component) in &self.components {
            let answering = component.handed_to.as_ref().unwrap_or(key);
            let is_known = component.handed_to.is_some() || component.traffic.is_some();
            let answers = self.components.get(answering).is_some_and(|component| {
                component.traffic.iter().flat_map(|traffic| traffic.revisions()).any(|revision| {
                    component.revisions.get(revision).is_some_and(|(_, replicas)| *replicas > 0)
                })
            });
            // A target that is not switched to yet has clients of its own kind: it counts once it is routed.
            if is_known && !answers {
                self.homeless.push(format!("{key} after {:?}", self.effects.last()));
            }
        }
    }

    fn observe(&self, key: &ComponentKey, at: Timestamp) -> ComponentObservation {
        let component = self.components.get(key);
        let revisions = component.into_iter().flat_map(|component| &component.revisions);
        let revisions = revisions.map(|(revision, (spec, replicas))| {
            let instance = |number: u16| InstanceObservation {
                name: format!("{revision}-{number}"),
                state: InstanceState::Ready,
                restarts: 0,
                address: None,
                configuration: None,
                secrets: Default::default(),
            };
            let mut seen: RevisionObservation = serde_json::from_value(serde_json::json!({
                "image": spec.component.tuple.image.digest(),
                "wanted": replicas,
                "instances": [],
                "trouble": null,
            }))
            .unwrap();
            seen.instances = (0..*replicas).map(instance).collect();
            (revision.clone(), seen)
        });
        ComponentObservation {
            key: key.clone(),
            observed_at: at,
            revisions: revisions.collect(),
            traffic: component.and_then(|component| component.traffic.clone()),
            endpoint: component.map(|_| "http://127.0.0.1:1".to_owned()),
        }
    }
}

#[async_trait]
impl ComputeSurface for Surface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 4,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, context: EffectContext, spec: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let (revision, spec) = (spec.revision.clone(), spec.clone());
        let key = spec.key.clone();
        self.perform(context, &key, "apply", |it| {
            it.revisions.insert(revision, (spec, replicas));
        })
        .await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        self.perform(context, key, "scale", |it| {
            if let Some((_, has)) = it.revisions.get_mut(revision) {
                *has = replicas;
            }
        })
        .await
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        self.perform(context, key, "shift", |it| it.traffic = Some(traffic.clone())).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        self.perform(context, key, "retire", |it| {
            it.revisions.remove(revision);
            if it.revisions.is_empty() {
                it.traffic = None;
            }
        })
        .await
    }

    async fn deliver(
        &self,
        _context: EffectContext,
        _key: &ComponentKey,
        _revision: &RevisionId,
        _configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        Ok(())
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        Ok(self.0.lock().unwrap().observe(key, self.1.now()))
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let world = self.0.lock().unwrap();
        let there =
            world.components.keys().filter(|key| key.tenant == tenant && key.environment == environment);
        let seen = there.map(|key| world.observe(key, self.1.now()));
        Ok(seen.filter(|seen| !seen.revisions.is_empty()).collect())
    }
}

#[async_trait]
impl EndpointHandover for Surface {
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()> {
        let to = (from != to).then(|| to.clone());
        self.perform(context, from, "hand over", |it| it.handed_to = to).await
    }

    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>> {
        let world = self.0.lock().unwrap();
        Ok(world
            .components
            .get(component)
            .map(|it| it.handed_to.clone().unwrap_or_else(|| component.clone())))
    }
}

fn made(blueprint: &EnvironmentBlueprint) -> ProvisionedResources {
    let target = |surface: &SurfaceKind| ComputeTarget { surface: *surface, resource_ids: Vec::new() };
    ProvisionedResources {
        stack_ref: "test".to_owned(),
        compute_targets: blueprint.surfaces.iter().map(target).collect(),
        network_boundary: NetworkBoundary {
            egress_allow_list: blueprint.egress_allow_list.clone(),
            resource_ids: Vec::new(),
        },
        outputs: BTreeMap::new(),
    }
}

/// One store and one world, and hosts that come and go.
struct Stage {
    store: MemoryStore,
    surface: Surface,
    clock: Arc<TestClock>,
    scope: TenantScope,
}

impl Stage {
    fn new() -> Self {
        let clock = Arc::new(TestClock(tokio::time::Instant::now()));
        let surface = Surface(Arc::default(), Arc::clone(&clock));
        Self { store: MemoryStore::new(), surface, clock, scope: sample::scope(1) }
    }

    fn services(&self) -> Services {
        let mut engine = MockInfrastructureEngine::new();
        engine.expect_up().returning(|_, blueprint| Ok(made(blueprint)));
        let mut metrics = MockMetricSource::new();
        metrics.expect_read().returning(|_| Ok(MetricReading { value: None, samples: 0, newest: None }));
        let surface: Arc<dyn ComputeSurface> = Arc::new(self.surface.clone());
        let handover: Arc<dyn EndpointHandover> = Arc::new(self.surface.clone());
        let ports = Ports {
            store: Arc::new(self.store.clone()),
            records: Records::default(),
            surfaces: BTreeMap::from([(SurfaceKind::Process, surface)]),
            infrastructure: Arc::new(engine),
            tenancy: TenancyPorts {
                handover: BTreeMap::from([(SurfaceKind::Process, handover)]),
                ..TenancyPorts::default()
            },
            registry: Arc::new(MockImageRegistry::new()),
            desired_state: None,
            prober: Arc::new(MockHealthProber::new()),
            metrics: Arc::new(metrics),
            scaling_signals: Vec::new(),
            jobs: Arc::new(MockJobRunner::new()),
            secret_stores: Default::default(),
            publisher: Arc::new(InProcessBus::new()),
            clock: Arc::<TestClock>::clone(&self.clock),
            ids: Arc::new(UuidV7Generator::default()),
        };
        Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap()
    }

    /// Runs a host until something is so, or it has died.
    async fn until(&self, what: &str, is_so: impl AsyncFn(&Services) -> bool) {
        let services = self.services();
        let running = services.run(CancellationToken::new());
        let looking = async {
            loop {
                if self.surface.has_died() || is_so(&services).await {
                    return;
                }
                tokio::time::sleep_until(tokio::time::Instant::now() + std::time::Duration::from_millis(50))
                    .await;
            }
        };
        let looking = tokio::time::timeout(std::time::Duration::from_secs(600), looking);
        tokio::select! {
            () = running => panic!("the host ended by itself"),
            ended = looking => assert!(ended.is_ok(), "not in time: {what}"),
        }
    }

    async fn environment(&self, name: &str, isolation_model: IsolationModel) -> EnvironmentId {
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(sample::host(1).uuid()),
            name: Name::new(name).unwrap(),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").unwrap(),
            isolation_model,
            surfaces: BTreeSet::from([SurfaceKind::Process]),
            egress_allow_list: BTreeSet::new(),
            capacity: ResourceQuota::LARGEST,
        };
        let services = self.services();
        let id = services.environments().provision(&self.scope, wanted).await.unwrap().aggregate.id();
        self.until("it is provisioned", async |services| {
            services.environments().admit(&self.scope, id).await.is_ok()
        })
        .await;
        id
    }

    /// A component serves in a pool, and the tenant's move has begun.
    async fn moving(&self) -> (EnvironmentId, EnvironmentId, TenantBindingId) {
        let pool = self.environment("pool", IsolationModel::Pool).await;
        let silo = self.environment("silo", IsolationModel::Silo).await;
        let services = self.services();
        let quota = ResourceQuota::new(10_000, 1 << 40, 1 << 40, 1_000).unwrap();
        let isolation_model = IsolationModel::Pool;
        let partitions = PartitionAssignment::derived(self.scope.tenant(), pool, isolation_model);
        let wanted = NewBinding { environment: pool, isolation_model, quota, partitions };
        let place = services.tenancy().bind(&self.scope, wanted).await.unwrap().aggregate.id();
        let asked =
            services.deployments().request(&self.scope, pool, release()).await.unwrap().aggregate.id();
        self.until("it serves", async |services| {
            let deployment = services.deployments().deployment(&self.scope, asked).await.unwrap();
            deployment.status() == DeploymentStatus::Completed
        })
        .await;
        services.tenancy().move_to_silo(&self.scope, place, silo, Span::from_secs(5)).await.unwrap();
        (pool, silo, place)
    }

    async fn has_moved(&self, services: &Services, place: TenantBindingId) -> bool {
        let binding = services.tenancy().tenant_binding(&self.scope, place).await.unwrap();
        assert_ne!(binding.state().status(), BindingStatus::Bound, "the tenant stayed");
        binding.state().status() == BindingStatus::Released && binding.is_settled()
    }

    fn check(&self, pool: EnvironmentId, silo: EnvironmentId) {
        let world = self.surface.0.lock().unwrap();
        assert!(world.homeless.is_empty(), "{:#?}", world.homeless);
        let of = |environment| {
            let all = world.components.iter().filter(move |(key, _)| key.environment == environment);
            all.map(|(_, component)| component.revisions.values().map(|(_, replicas)| *replicas).sum::<u16>())
                .sum::<u16>()
        };
        assert_eq!((of(pool), of(silo)), (0, 2));
    }
}

fn release() -> Release {
    serde_json::from_value(serde_json::json!({
        "reference": "one",
        "strategy": { "rolling-health-gated": {} },
        "components": { "cart": {
            "module": "cart",
            "component_type": "microservice",
            "version": "1.0.0",
            "tuple": { "image": format!("shop/cart@sha256:{}", "a".repeat(64)) },
            "surface": "process",
            "replicas": 2,
        } },
    }))
    .unwrap()
}

/// Shows X-7.
#[tokio::test(start_paused = true)]
async fn a_host_that_dies_at_any_effect_of_a_move_is_followed_by_one_that_ends_it() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.moving().await;
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    stage.check(pool, silo);
    let effects = stage.surface.0.lock().unwrap().effects.clone();
    let different: BTreeSet<&String> = effects.iter().collect();
    assert_eq!(different.len(), effects.len(), "nobody died, and yet something was done twice: {effects:?}");
    assert!(effects.len() >= 3, "{effects:?}");
    for at in 1..=effects.len() {
        for when in [When::Before, When::After] {
            let stage = Stage::new();
            let (pool, silo, place) = stage.moving().await;
            stage.surface.0.lock().unwrap().dies_at = Some((at, when));
            stage.until("the first host dies", async |_| false).await;
            stage.surface.0.lock().unwrap().dies_at = None;
            stage.surface.0.lock().unwrap().has_died = false;
            stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
            stage.check(pool, silo);
            let repeated = stage.surface.0.lock().unwrap().effects.len();
            assert!(
                repeated <= effects.len() + 1,
                "{at} {when:?}: {repeated} effects, not {}",
                effects.len()
            );
        }
    }
}
