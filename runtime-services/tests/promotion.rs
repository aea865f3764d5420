//! What is brought on of what several releases have brought to an environment, and by which of them it is judged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{EnvironmentId, ProjectId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_services::environments::NewEnvironment;
use runtime_services::promotion::Promotion;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_system::UuidV7Generator;
use runtime_testkit::faults::Faults;
use runtime_testkit::sample;
use runtime_testkit::world::{MemoryEngine, MemorySurface, TokioClock};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A host whose clock may be wrong, and two environments.
struct Stage {
    services: Services,
    clock: Faults,
    scope: TenantScope,
    dev: EnvironmentId,
    staging: EnvironmentId,
}

impl Stage {
    async fn new() -> Self {
        let time = Arc::new(TokioClock::at(sample::at(1_800_000_000)));
        let clock = Faults::none();
        let surface = MemorySurface::new(Arc::<TokioClock>::clone(&time));
        let ports = Ports {
            store: Arc::new(MemoryStore::new()),
            records: Records::default(),
            surfaces: BTreeMap::from([(SurfaceKind::Process, Arc::new(surface.clone()) as _)]),
            infrastructure: Arc::new(MemoryEngine::new()),
            tenancy: TenancyPorts::default(),
            registry: Arc::new(MockImageRegistry::new()),
            desired_state: None,
            prober: Arc::new(MockHealthProber::new()),
            metrics: Arc::new(MockMetricSource::new()),
            scaling_signals: Vec::new(),
            jobs: Arc::new(surface),
            secret_stores: BTreeMap::new(),
            publisher: Arc::new(InProcessBus::new()),
            clock: clock.clock(time),
            ids: Arc::new(UuidV7Generator::default()),
        };
        let services = Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap();
        let scope = sample::scope(1);
        let dev = provisioned(&services, &scope, EnvironmentStage::Dev).await;
        let staging = provisioned(&services, &scope, EnvironmentStage::Staging).await;
        Self { services, clock, scope, dev, staging }
    }

    /// Brings a version of components to the first environment, judged by jobs, each with what it judges.
    async fn serves(&self, version: char, modules: &[&str], jobs: &[(&str, &[&str])]) {
        let release = release(version, modules, jobs);
        let asked = self.services.deployments().request(&self.scope, self.dev, release).await.unwrap();
        let asked = asked.aggregate.id();
        until(&self.services, async || {
            let deployment = self.services.deployments().deployment(&self.scope, asked).await.unwrap();
            deployment.status() == DeploymentStatus::Completed
        })
        .await;
    }

    /// What is asked for in the second environment, where these components are brought on from the first.
    async fn promoted(&self, modules: &[&str]) -> Release {
        let modules = modules.iter().map(|module| Name::new(module).unwrap()).collect();
        let asked = Promotion { from: self.dev, to: self.staging, modules };
        let done = self.services.promotion().promote(&self.scope, &asked).await.unwrap();
        done.aggregate.release().clone()
    }
}

async fn provisioned(services: &Services, scope: &TenantScope, stage: EnvironmentStage) -> EnvironmentId {
    let wanted = NewEnvironment {
        project_id: ProjectId::from_uuid(sample::host(1).uuid()),
        name: Name::new(stage.name()).unwrap(),
        stage,
        region: Name::new("local").unwrap(),
        isolation_model: IsolationModel::Silo,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        egress_allow_list: BTreeSet::new(),
        capacity: ResourceQuota::LARGEST,
    };
    let asked = services.environments().provision(scope, wanted).await.unwrap().aggregate.id();
    until(services, async || services.environments().admit(scope, asked).await.is_ok()).await;
    asked
}

/// Runs the host until something is so.
async fn until(services: &Services, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = services.run(CancellationToken::new()) => panic!("the host ended by itself"),
        ended = tokio::time::timeout(Duration::from_secs(600), looking) => ended.unwrap(),
    }
}

fn release(version: char, modules: &[&str], jobs: &[(&str, &[&str])]) -> Release {
    let image = |name: &str| format!("shop/{name}@sha256:{}", version.to_string().repeat(64));
    let component = |module: &&str| {
        let component = json!({
            "module": module,
            "component_type": "microservice",
            "version": "1.0.0",
            "tuple": { "image": image(module) },
            "surface": "process",
            "replicas": 1,
        });
        ((*module).to_owned(), component)
    };
    let gate = |(name, judged): &(&str, &[&str])| {
        let job = json!({ "name": name, "image": image("migrate"), "timeout": "60s" });
        json!({ "name": name, "at": "before-rollout", "modules": judged, "check": { "job": job } })
    };
    serde_json::from_value(json!({
        "reference": format!("version-{version}"),
        "strategy": { "rolling-health-gated": {} },
        "components": modules.iter().map(component).collect::<serde_json::Map<_, _>>(),
        "gates": jobs.iter().map(gate).collect::<Vec<Value>>(),
    }))
    .unwrap()
}

fn gates(release: &Release) -> Vec<String> {
    release.gates.iter().map(|gate| gate.name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_brought_on_is_judged_as_what_came_last_is_whatever_the_clocks_say() {
    for wrong_by in [0, -3_600_000] {
        let stage = Stage::new().await;
        stage.serves('a', &["cart", "pay"], &[("once", &[])]).await;
        stage.clock.jump_clock(wrong_by);
        stage.serves('b', &["cart"], &[("now", &[])]).await;
        let promoted = stage.promoted(&[]).await;
        assert_eq!(
            (promoted.reference.to_string().as_str(), gates(&promoted)),
            ("version-b", vec!["now".to_owned()])
        );
        let mut expected = release('a', &["pay"], &[]).components;
        expected.extend(release('b', &["cart"], &[]).components);
        assert_eq!(promoted.components, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn some_of_the_components_are_brought_on_without_what_judges_the_others() {
    let stage = Stage::new().await;
    stage.serves('a', &["cart", "pay"], &[("all", &[]), ("of-cart", &["cart"]), ("of-pay", &["pay"])]).await;
    let promoted = stage.promoted(&["cart"]).await;
    assert_eq!(promoted.components, release('a', &["cart"], &[]).components);
    assert_eq!(gates(&promoted), ["all", "of-cart"]);
}
