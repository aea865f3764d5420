//! An environment with two components that run the first version and take later ones in place, and hosts that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use runtime_domain::configuration::ConfigurationEntries;
use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::environment::{
    ComputeTarget, EnvironmentStage, IsolationModel, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{ConfigurationId, EnvironmentId, ProjectId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::IdGenerator as _;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_services::configuration::Synchronise;
use runtime_services::environments::NewEnvironment;
use runtime_services::{Host, HostOptions, Ports, Records, Services};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::PATIENCE;
use crate::world::PaperSurface;

pub(crate) struct Stage {
    memory: MemoryStore,
    surface: PaperSurface,
    scope: TenantScope,
    environment: EnvironmentId,
    services: Services,
    first: Option<ConfigurationId>,
}

/// A host at work on a thread of its own.
pub(crate) struct RunningHost {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

impl RunningHost {
    /// Ends it.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
    }
}

fn services(memory: &MemoryStore, surface: &PaperSurface) -> Services {
    let mut infrastructure = MockInfrastructureEngine::new();
    infrastructure.expect_up().returning(|_, _| {
        Ok(ProvisionedResources {
            stack_ref: "paper".to_owned(),
            compute_targets: vec![ComputeTarget { surface: SurfaceKind::Process, resource_ids: Vec::new() }],
            network_boundary: NetworkBoundary::default(),
            outputs: BTreeMap::new(),
        })
    });
    let ports = Ports {
        store: Arc::new(memory.clone()),
        records: Records::default(),
        surfaces: BTreeMap::from([(SurfaceKind::Process, Arc::new(surface.clone()) as _)]),
        infrastructure: Arc::new(infrastructure),
        registry: Arc::new(MockImageRegistry::new()),
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        desired_state: Default::default(),
        tenancy: Default::default(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(SystemClock::new()),
        ids: Arc::new(UuidV7Generator::new()),
    };
    let mut options = HostOptions::default();
    options.lease = Span::from_millis(300);
    options.poll = Span::from_millis(10);
    options.idle = Span::from_millis(20);
    options.inventory_poll = Span::from_millis(20);
    options.configuration_poll = Span::from_millis(30);
    options.drain = Span::from_millis(100);
    Services::new(Host::new(ports, options), Vec::new()).unwrap()
}

fn greeting(text: &str) -> ConfigurationEntries {
    let value = json!({ "type": "text", "value": text });
    serde_json::from_value(json!([{ "scope": "environment", "key": "greeting", "value": value }])).unwrap()
}

fn component(module: &str) -> Value {
    json!({
        "module": module,
        "component_type": "microservice",
        "version": "1.0.0",
        "tuple": { "image": format!("shop/{module}@sha256:{}", "a".repeat(64)) },
        "surface": "process",
        "replicas": 2,
        "configuration": { "reload": "signal", "report": "/configuration" },
    })
}

impl Stage {
    /// Both components run the first version, and no host is at work.
    pub(crate) async fn with_a_version_that_runs() -> Self {
        let (memory, surface) = (MemoryStore::new(), PaperSurface::default());
        let services = services(&memory, &surface);
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(UuidV7Generator::new().next()),
            name: Name::new("shop").unwrap(),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").unwrap(),
            isolation_model: IsolationModel::Silo,
            surfaces: BTreeSet::from([SurfaceKind::Process]),
            egress_allow_list: BTreeSet::new(),
            capacity: ResourceQuota::LARGEST,
        };
        let scope = sample::scope(1);
        let asked = services.environments().provision(&scope, wanted).await.unwrap();
        let environment = asked.aggregate.id();
        let mut stage = Self { memory, surface, scope, environment, services, first: None };
        let host = stage.host();
        stage
            .until("it is provisioned", async || {
                stage.services.environments().admit(&stage.scope, stage.environment).await.is_ok()
            })
            .await;
        let first = stage.publish("first").await;
        let release: Release = serde_json::from_value(json!({
            "reference": "shop-1",
            "components": { "cart": component("cart"), "pay": component("pay") },
            "strategy": { "rolling-health-gated": {} },
            "configuration_id": first,
        }))
        .unwrap();
        let deployments = stage.services.deployments();
        let begun = deployments.request(&stage.scope, environment, release).await.unwrap().aggregate.id();
        stage
            .until("it is rolled out", async || {
                let deployment = deployments.deployment(&stage.scope, begun).await.unwrap();
                assert!(
                    !deployment.status().is_final() || deployment.status() == DeploymentStatus::Completed,
                    "{:?}",
                    deployment.state()
                );
                deployment.status() == DeploymentStatus::Completed
            })
            .await;
        stage
            .until("it is synchronised", async || {
                let first = stage.services.configuration().configuration(&stage.scope, first).await.unwrap();
                first.applied_at().is_some()
            })
            .await;
        host.end().await;
        stage.first = Some(first);
        stage
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn scope(&self) -> &TenantScope {
        &self.scope
    }

    pub(crate) fn surface(&self) -> &PaperSurface {
        &self.surface
    }

    pub(crate) fn first(&self) -> ConfigurationId {
        self.first.unwrap()
    }

    async fn publish(&self, text: &str) -> ConfigurationId {
        let configuration = self.services.configuration();
        let published = configuration.publish(&self.scope, self.environment, greeting(text)).await;
        published.unwrap().aggregate.id()
    }

    /// Publishes a version that both components are to take in place.
    pub(crate) async fn publish_and_tell(&self, text: &str) -> ConfigurationId {
        let id = self.publish(text).await;
        let configuration = self.services.configuration();
        let begun = configuration.synchronise(&self.scope, self.environment, Synchronise::to(id)).await;
        assert_eq!(begun.unwrap().in_place.len(), crate::CONSUMERS);
        id
    }

    /// A host at work.
    pub(crate) fn host(&self) -> RunningHost {
        let services = services(&self.memory, &self.surface);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(services.run(stopped));
        });
        RunningHost { thread, stop }
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        until(what, is_so).await;
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        let mut beat = tokio::time::interval(Duration::from_millis(5));
        loop {
            beat.tick().await;
            if is_so().await {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
