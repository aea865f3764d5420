//! A tenant's move, with a host that dies at every effect: before it and after it. Whoever comes next carries it to the same end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod meeting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use meeting::{Meddler, Meeting, When, wanted_in};
use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::environment::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentRefusal, EnvironmentStage, IsolationModel,
    NetworkBoundary, ProvisionedResources, ProvisioningStatus,
};
use runtime_domain::id::{EnvironmentId, ProjectId, TenantBindingId};
use runtime_domain::metric::MetricReading;
use runtime_domain::scaling::{BurnReading, PolicySpec, Reading};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::tenancy::{BindingStatus, MoveStage, PartitionAssignment, ResourceQuota};
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::{PortErrorKind, PortResult};
use runtime_services::CommandError;
use runtime_services::environments::NewEnvironment;
use runtime_services::scaling::NewScalingPolicy;
use runtime_services::tenancy::NewBinding;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_system::UuidV7Generator;
use runtime_testkit::faults::Fault;
use runtime_testkit::sample;
use runtime_testkit::world::{MemorySurface, TokioClock};
use tokio_util::sync::CancellationToken;

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

/// Nothing is measured.
struct Silent;

#[async_trait]
impl ScalingSignals for Silent {
    async fn signal(&self, _query: &SignalQuery) -> PortResult<Reading> {
        Ok(Reading::Missing { why: "nothing is measured".to_owned() })
    }
    async fn burn(&self, _query: &BurnQuery) -> PortResult<BurnReading> {
        unreachable!("no policy here has an error budget")
    }
    async fn waiting(&self) -> Vec<ComponentKey> {
        std::future::pending().await
    }
}

/// One store and one world, and hosts that come and go.
struct Stage {
    store: MemoryStore,
    surface: MemorySurface,
    meeting: Arc<Mutex<Meeting>>,
    clock: Arc<TokioClock>,
    scope: TenantScope,
}

impl Stage {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::at(sample::at(1_800_000_000)));
        let surface = MemorySurface::new(Arc::<TokioClock>::clone(&clock));
        let (store, meeting) = (MemoryStore::new(), Arc::default());
        Self { store, surface, meeting, clock, scope: sample::scope(1) }
    }

    fn meeting(&self) -> MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap()
    }

    fn services(&self) -> Services {
        let mut engine = MockInfrastructureEngine::new();
        engine.expect_up().returning(|_, blueprint| Ok(made(blueprint)));
        engine.expect_destroy().returning(|_, _, _| Ok(()));
        let mut metrics = MockMetricSource::new();
        metrics.expect_read().returning(|_| Ok(MetricReading { value: None, samples: 0, newest: None }));
        let faults = meeting::faults(&self.meeting, &self.surface);
        let surface = faults.surface(Arc::new(self.surface.clone()));
        let handover = faults.handover(Arc::new(self.surface.clone()));
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
            scaling_signals: vec![Arc::new(Silent)],
            jobs: Arc::new(self.surface.clone()),
            secret_stores: Default::default(),
            publisher: Arc::new(InProcessBus::new()),
            clock: Arc::<TokioClock>::clone(&self.clock),
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
                if self.meeting().has_died || is_so(&services).await {
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
        let (pool, silo, place) = self.serving().await;
        self.begin(place, silo).await;
        (pool, silo, place)
    }

    async fn begin(&self, place: TenantBindingId, silo: EnvironmentId) {
        let services = self.services();
        services.tenancy().move_to_silo(&self.scope, place, silo, Span::from_secs(5)).await.unwrap();
    }

    /// A component serves in a pool, and there is a silo.
    async fn serving(&self) -> (EnvironmentId, EnvironmentId, TenantBindingId) {
        let pool = self.environment("pool", IsolationModel::Pool).await;
        let silo = self.environment("silo", IsolationModel::Silo).await;
        let place = self.bound(pool, IsolationModel::Pool).await;
        self.deployed(pool).await;
        (pool, silo, place)
    }

    async fn bound(&self, environment: EnvironmentId, isolation_model: IsolationModel) -> TenantBindingId {
        let quota = ResourceQuota::new(10_000, 1 << 40, 1 << 40, 1_000).unwrap();
        let partitions = PartitionAssignment::derived(self.scope.tenant(), environment, isolation_model);
        let wanted = NewBinding { environment, isolation_model, quota, partitions };
        self.services().tenancy().bind(&self.scope, wanted).await.unwrap().aggregate.id()
    }

    async fn deployed(&self, environment: EnvironmentId) {
        self.deploy(environment, release()).await;
    }

    async fn deploy(&self, environment: EnvironmentId, release: Release) {
        let services = self.services();
        let asked = services.deployments().request(&self.scope, environment, release).await.unwrap();
        let asked = asked.aggregate.id();
        self.until("it serves", async |services| {
            let deployment = services.deployments().deployment(&self.scope, asked).await.unwrap();
            deployment.status() == DeploymentStatus::Completed
        })
        .await;
    }

    /// The move has been given up, and why.
    async fn until_it_stayed(&self, place: TenantBindingId) -> String {
        self.until("the tenant stays", async |services| {
            let binding = services.tenancy().tenant_binding(&self.scope, place).await.unwrap();
            binding.state().status() == BindingStatus::Bound
        })
        .await;
        let history = self.services().tenancy().history(&self.scope, place, 0, 1_000).await.unwrap();
        let aborted = history.iter().find(|entry| entry.event == "TenantMoveAborted");
        aborted.unwrap_or_else(|| panic!("{history:#?}")).body.clone()
    }

    async fn has_moved(&self, services: &Services, place: TenantBindingId) -> bool {
        let binding = services.tenancy().tenant_binding(&self.scope, place).await.unwrap();
        assert_ne!(binding.state().status(), BindingStatus::Bound, "the tenant stayed");
        binding.state().status() == BindingStatus::Released && binding.is_settled()
    }

    /// Somebody says how what serves there scales.
    async fn scales(&self, environment: EnvironmentId) -> PolicySpec {
        let terms = serde_json::json!({
            "bounds": { "target": "process", "min_replicas": 2, "max_replicas": 4 },
            "rules": [{ "metric": "cpu-utilization", "threshold": "60" }],
        });
        let policy: PolicySpec = serde_json::from_value(terms).unwrap();
        let wanted =
            NewScalingPolicy { environment, module: Name::new("cart").unwrap(), policy: policy.clone() };
        self.services().scaling().apply(&self.scope, wanted).await.unwrap();
        policy
    }

    fn check(&self, pool: EnvironmentId, silo: EnvironmentId) {
        assert_eq!(self.meeting().homeless, Vec::<String>::new());
        assert_eq!((wanted_in(&self.surface, pool), wanted_in(&self.surface, silo)), (0, 2));
    }
}

fn release() -> Release {
    release_of(&["cart"], serde_json::json!([]))
}

fn release_of(modules: &[&str], gates: serde_json::Value) -> Release {
    let component = |module: &&str| {
        let component = serde_json::json!({
            "module": module,
            "component_type": "microservice",
            "version": "1.0.0",
            "tuple": { "image": format!("shop/{module}@sha256:{}", "a".repeat(64)) },
            "surface": "process",
            "replicas": 2,
        });
        ((*module).to_owned(), component)
    };
    let components: serde_json::Map<_, _> = modules.iter().map(component).collect();
    serde_json::from_value(serde_json::json!({
        "reference": "one", "strategy": { "rolling-health-gated": {} }, "components": components, "gates": gates,
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
    let effects = stage.meeting().effects.clone();
    let different: BTreeSet<&String> = effects.iter().collect();
    assert_eq!(different.len(), effects.len(), "nobody died, and yet something was done twice: {effects:?}");
    assert!(effects.len() >= 3, "{effects:?}");
    for at in 1..=effects.len() {
        for when in [When::Before, When::After] {
            let stage = Stage::new();
            let (pool, silo, place) = stage.moving().await;
            stage.meeting().dies_at = Some((at, when));
            stage.until("the first host dies", async |_| false).await;
            stage.meeting().dies_at = None;
            stage.meeting().has_died = false;
            stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
            stage.check(pool, silo);
            let repeated = stage.meeting().effects.len();
            assert!(
                repeated <= effects.len() + 1,
                "{at} {when:?}: {repeated} effects, not {}",
                effects.len()
            );
        }
    }
}

/// What has come since in another release is brought by that one: of the first there is left what serves, and what judges that.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_release_is_moved_without_what_judges_the_rest_of_it() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.serving().await;
    let job = |name: &str, works_for: serde_json::Value, judges: serde_json::Value| {
        let job = serde_json::json!({
            "name": name, "image": format!("shop/migrate@sha256:{}", "b".repeat(64)), "timeout": "60s", "component": works_for,
        });
        serde_json::json!({ "name": name, "at": "before-rollout", "modules": judges, "check": { "job": job } })
    };
    let gates = serde_json::json!([
        job("all", serde_json::Value::Null, serde_json::json!([])),
        job("for-pay", "pay".into(), serde_json::json!([])),
        job("of-pay", serde_json::Value::Null, serde_json::json!(["pay"])),
    ]);
    stage.deploy(pool, release_of(&["cart", "pay"], gates)).await;
    stage.deploy(pool, release_of(&["pay"], serde_json::json!([]))).await;
    stage.begin(place, silo).await;
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    let ran = stage.surface.jobs().into_iter().filter(|(job, _)| job.environment == silo);
    assert_eq!(ran.map(|(job, _)| job.job.name.to_string()).collect::<Vec<_>>(), ["all"]);
}

/// A call of somebody else's may come late, and asking again for what was asked for before does nothing then.
#[tokio::test(start_paused = true)]
async fn a_source_that_somebody_scales_while_it_is_drained_is_drained_all_the_same() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.moving().await;
    stage.meeting().meddler = Meddler::OnceDrained(2);
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    assert_eq!(stage.meeting().meddler, Meddler::Nobody);
    stage.check(pool, silo);
}

/// It has a policy that keeps two replicas at least, and is looked at while the last instance takes its time to go.
#[tokio::test(start_paused = true)]
async fn what_a_move_drains_no_policy_scales() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.serving().await;
    stage.scales(pool).await;
    stage.surface.drains_for(Span::from_secs(60));
    stage.begin(place, silo).await;
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    stage.check(pool, silo);
    assert_eq!(stage.meeting().scaled, 0);
}

/// Somebody has said how it scales, and no release has.
#[tokio::test(start_paused = true)]
async fn what_has_moved_scales_as_it_did() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.serving().await;
    let said = stage.scales(pool).await;
    stage.begin(place, silo).await;
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    let cart = Name::new("cart").unwrap();
    let moved = stage.services().scaling().policy_of(&stage.scope, silo, &cart).await.unwrap();
    assert_eq!(moved.map(|policy| policy.spec().clone()), Some(said));
}

/// Nothing of it is the tenant's new place's there, which neither brings it along nor back.
#[tokio::test(start_paused = true)]
async fn what_has_moved_is_still_answered_for_when_another_move_out_of_its_former_place_is_aborted() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.moving().await;
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    let again = stage.bound(pool, IsolationModel::Pool).await;
    stage.begin(again, silo).await;
    stage
        .until("it is watched", async |services| {
            let binding = services.tenancy().tenant_binding(&stage.scope, again).await.unwrap();
            let relocation = binding.relocation().unwrap();
            relocation.stage == MoveStage::Observing
        })
        .await;
    stage.services().tenancy().abort_move(&stage.scope, again, "not now".to_owned()).await.unwrap();
    stage.until_it_stayed(again).await;
    let handed = stage.surface.handed_over();
    let answering = handed.iter().find(|(key, _)| key.environment == pool).map(|(_, to)| to.environment);
    assert_eq!(answering, Some(silo));
    stage.check(pool, silo);
}

/// Who sees no endpoint may have seen a part only: clients may come to it all the same.
#[tokio::test(start_paused = true)]
async fn nothing_is_drained_that_was_not_handed_over_where_no_endpoint_is_seen() {
    let stage = Stage::new();
    stage.meeting().handover = Some(Fault::Partial);
    let (pool, silo, place) = stage.moving().await;
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    stage.check(pool, silo);
}

/// A surface that knows nothing of a component which is seen there is not believed.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_handed_over_is_not_drained() {
    let stage = Stage::new();
    stage.meeting().handover = Some(Fault::Partial);
    stage.meeting().next_handover = Some(Fault::Before(PortErrorKind::NotFound));
    let (pool, _, place) = stage.moving().await;
    stage.until_it_stayed(place).await;
    assert_eq!(stage.meeting().homeless, Vec::<String>::new());
    assert_eq!(wanted_in(&stage.surface, pool), 2);
}

/// The call of a rollout that ended meanwhile may come late; and somebody may have scaled to none what it brought back.
#[tokio::test(start_paused = true)]
async fn an_environment_in_which_somebody_brings_back_what_was_retired_is_taken_down_all_the_same() {
    for replicas in [2, 0] {
        let stage = Stage::new();
        let (pool, _, _) = stage.serving().await;
        stage.meeting().meddler = Meddler::OnceRetired(replicas);
        let reason = "it is not needed".to_owned();
        stage.services().environments().decommission(&stage.scope, pool, reason).await.unwrap();
        stage
            .until("it is taken down", async |services| {
                let environment = services.environments().environment(&stage.scope, pool).await.unwrap();
                environment.provisioning_status() == ProvisioningStatus::Decommissioned
            })
            .await;
        assert_eq!(stage.meeting().meddler, Meddler::Nobody);
    }
}

/// What was brought to the target and is gone from there since comes back by nobody's doing. A move that waits for it keeps the source from
/// taking deployments for ever.
#[tokio::test(start_paused = true)]
async fn a_move_whose_target_does_not_become_ready_any_more_is_given_up_and_says_so() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.serving().await;
    stage.deployed(silo).await;
    let there = stage.surface.everything();
    let brought = there.iter().find(|seen| seen.key.environment == silo).unwrap();
    stage.surface.scale_by_hand(&brought.key, 0);
    stage.begin(place, silo).await;
    let why = stage.until_it_stayed(place).await;
    assert!(why.contains("cart has no ready instance in the target"), "{why}");
    assert!(stage.services().environments().admit(&stage.scope, pool).await.is_ok());
}

/// Another component is brought there again and again, as one is whose secret is rotated often: that says nothing of this one.
#[tokio::test(start_paused = true)]
async fn a_component_that_does_not_become_ready_any_more_is_given_up_however_often_another_comes_again() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.serving().await;
    let pay = |digit: &str| {
        let mut release = release_of(&["pay"], serde_json::json!([]));
        let image = format!("shop/pay@sha256:{}", digit.repeat(64));
        for component in release.components.values_mut() {
            component.tuple.image = serde_json::from_value(image.clone().into()).unwrap();
        }
        release
    };
    stage.deploy(pool, pay("a")).await;
    stage.deployed(silo).await;
    let there = stage.surface.everything();
    let brought = there.iter().find(|seen| seen.key.environment == silo).unwrap();
    stage.surface.scale_by_hand(&brought.key, 0);
    stage.begin(place, silo).await;
    let services = stage.services();
    let comes_again = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(45)).await;
            // The move brings what serves in the source back.
            let _ = services.deployments().request(&stage.scope, silo, pay("b")).await;
        }
    };
    let why = tokio::select! {
        why = stage.until_it_stayed(place) => why,
        () = comes_again => panic!("it comes for ever"),
    };
    assert!(why.contains("cart has no ready instance in the target"), "{why}");
}

/// What is taken down already when the move begins does not come back.
#[tokio::test(start_paused = true)]
async fn a_move_into_an_environment_that_is_taken_down_is_given_up_and_says_so() {
    let stage = Stage::new();
    let (_, silo, place) = stage.serving().await;
    let services = stage.services();
    stage.bound(silo, IsolationModel::Silo).await;
    services.environments().decommission(&stage.scope, silo, "it is not needed".to_owned()).await.unwrap();
    stage.begin(place, silo).await;
    let why = stage.until_it_stayed(place).await;
    assert!(why.contains("Decommission"), "{why}");
}

/// Once the source is drained, the target is the only home that the tenant has.
#[tokio::test(start_paused = true)]
async fn neither_end_of_a_move_can_be_taken_down() {
    let stage = Stage::new();
    let (pool, silo, place) = stage.moving().await;
    for environment in [pool, silo] {
        let services = stage.services();
        let asked =
            services.environments().decommission(&stage.scope, environment, "why not".to_owned()).await;
        let is_refused = matches!(asked, Err(CommandError::Refused(EnvironmentRefusal::TenantStays)));
        assert!(is_refused, "{environment}: {asked:?}");
    }
    stage.until("it has moved", async |services| stage.has_moved(services, place).await).await;
    stage.services().environments().decommission(&stage.scope, silo, "it is over".to_owned()).await.unwrap();
}

/// What would be refused when somebody asks for it does not happen by itself.
#[tokio::test(start_paused = true)]
async fn an_environment_does_not_end_by_itself_while_its_tenants_place_is_protected() {
    let stage = Stage::new();
    let silo = stage.environment("silo", IsolationModel::Silo).await;
    let place = stage.bound(silo, IsolationModel::Silo).await;
    let services = stage.services();
    services.tenancy().protect(&stage.scope, place, true).await.unwrap();
    services.environments().live_for(&stage.scope, silo, Some(Span::from_secs(1))).await.unwrap();
    let later = Span::from_secs(60).after(services.host().now());
    stage.until("a minute later", async |services| services.host().now() > later).await;
    let status = services.environments().environment(&stage.scope, silo).await.unwrap().provisioning_status();
    assert_eq!(status, ProvisioningStatus::Provisioned);
    services.tenancy().protect(&stage.scope, place, false).await.unwrap();
    stage
        .until("it has ended", async |services| {
            let silo = services.environments().environment(&stage.scope, silo).await.unwrap();
            silo.provisioning_status() == ProvisioningStatus::Decommissioned
        })
        .await;
}
