//! A host whose services know a store and nothing else of the world.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_api::{Answer, Api, CallOptions, Problem};
use runtime_domain::scope::Actor;
use runtime_memory::MemoryStore;
use runtime_ports::authenticator::{Principal, Role};
use runtime_ports::clock::MockClock;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::publisher::MockEventPublisher;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::store::Store;
use runtime_services::{Host, HostOptions, Ports, Records, Services};
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;
use serde_json::{Value, json};

/// The time that it is in every test.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A host of its own on a store.
pub(crate) fn api(store: Arc<dyn Store>) -> Api {
    let mut clock = MockClock::new();
    clock.expect_now().returning(|| sample::at(NOW));
    let mut infrastructure = MockInfrastructureEngine::new();
    infrastructure.expect_preview().returning(|_| Ok(Vec::new()));
    let ports = Ports {
        store,
        records: Records::default(),
        surfaces: BTreeMap::new(),
        infrastructure: Arc::new(infrastructure),
        tenancy: runtime_services::TenancyPorts::default(),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: None,
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(MockEventPublisher::new()),
        clock: Arc::new(clock),
        ids: Arc::new(UuidV7Generator::default()),
    };
    Api::new(Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap())
}

pub(crate) fn in_memory() -> Api {
    api(Arc::new(MemoryStore::new()))
}

/// A caller of a tenant with these roles.
pub(crate) fn caller(tenant: u64, name: &str, roles: &[Role]) -> Principal {
    Principal::verified(sample::tenant(tenant), Actor::new(name).unwrap(), roles.iter().copied(), None)
}

pub(crate) fn administrator(tenant: u64) -> Principal {
    caller(tenant, "ada", &[Role::Administrator, Role::Approver])
}

/// What asks for an environment of this name.
pub(crate) fn environment(name: &str) -> Value {
    json!({
        "projectId": "prj_00000000000000000000000000000001",
        "name": name,
        "stage": "dev",
        "region": "local",
        "isolationModel": "silo",
        "surfaces": ["process"],
    })
}

/// A call without options.
pub(crate) async fn call(
    api: &Api,
    caller: &Principal,
    operation: &str,
    request: Value,
) -> Result<Answer, Problem> {
    api.call(caller, operation, request, CallOptions::default()).await
}

/// An environment's identifier.
pub(crate) async fn provisioned(api: &Api, caller: &Principal, name: &str) -> String {
    let answer =
        call(api, caller, "RuntimeEnvironmentService.ProvisionEnvironment", environment(name)).await.unwrap();
    answer.value()["result"]["environmentId"].as_str().unwrap().to_owned()
}
