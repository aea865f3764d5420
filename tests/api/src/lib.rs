//! Hosts that tests and benches load: their services, and who may call them. The tests are in `tests/`, a host of its own process in `bin/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_api::AdmissionOptions;
use runtime_domain::environment::EnvironmentStage;
use runtime_domain::id::{CorrelationId, ProjectId};
use runtime_domain::scope::Actor;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_ports::clock::IdGenerator as _;
use runtime_ports::store::Store;
use runtime_services::environments::NewEnvironment;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use runtime_testkit::world::{MemoryEngine, MemorySurface, RecordingBus, Said};
use uuid::Uuid;

/// Knows `ada` of tenant 1, who may do everything, and nobody else.
#[derive(Debug, Clone, Copy)]
pub struct OneCaller;

impl OneCaller {
    /// Who that is.
    pub fn principal() -> Principal {
        Principal::verified(sample::tenant(1), Actor::new("ada").unwrap(), Role::ALL, None)
    }
}

#[async_trait]
impl Authenticator for OneCaller {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        match credentials {
            Credentials::Bearer(token) if token.as_str() == "ada" => Ok(Self::principal()),
            _ => Err(AuthenticationError::Invalid { reason: "nobody has this token" }),
        }
    }
}

/// One tenant may take all that there is, as often as it likes.
pub fn everything() -> AdmissionOptions {
    let mut options = AdmissionOptions::default();
    (options.tenant_rate, options.tenant_burst) = (NonZeroU32::MAX, NonZeroU32::MAX);
    (options.tenant_requests, options.tenant_streams) = (options.requests, options.streams);
    options
}

/// The services of a host that only answers, on this store.
pub fn services(store: Arc<dyn Store>) -> Services {
    let clock = Arc::new(SystemClock::new());
    let said = Arc::new(Said::new(clock.clone()));
    let ports = Ports {
        store,
        records: Records::default(),
        surfaces: BTreeMap::new(),
        infrastructure: Arc::new(MemoryEngine::new()),
        tenancy: TenancyPorts::default(),
        registry: said.clone(),
        desired_state: None,
        prober: said.clone(),
        metrics: said,
        scaling_signals: Vec::new(),
        jobs: Arc::new(MemorySurface::new(clock.clone())),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(RecordingBus::new("bus")),
        clock,
        ids: Arc::new(UuidV7Generator::default()),
    };
    Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap()
}

/// Asks for so many environments, and says how they are named.
pub async fn environments(services: &Services, count: usize) -> Vec<String> {
    let scope = OneCaller::principal().scope(CorrelationId::from_uuid(UuidV7Generator::default().next()));
    let mut environments = Vec::new();
    for number in 0..count {
        let (project, name) = (ProjectId::from_uuid(Uuid::from_u128(1)), format!("e{number}"));
        let (name, region) = (name.parse().unwrap(), "local".parse().unwrap());
        let wanted = NewEnvironment::new(project, name, EnvironmentStage::Dev, region);
        let made = services.environments().provision(&scope, wanted).await.unwrap();
        environments.push(made.aggregate.id().to_string());
    }
    environments
}
