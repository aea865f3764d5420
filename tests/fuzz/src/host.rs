//! A host whose services know a store in memory and nothing else of the world. Every run is a tenant of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use axum::Router;
use runtime_api::{Access, Api, CallOptions, Problem, ProblemKind};
use runtime_domain::surface::SurfaceKind;
use runtime_http::{HttpApi, HttpOptions};
use runtime_memory::MemoryStore;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_services::{Host, HostOptions, Ports, Records, Services};
use runtime_testkit::sample;
use runtime_testkit::world::{MemoryEngine, MemorySurface, RecordingBus, Said};
use serde_json::json;
use uuid::Uuid;

use crate::hold::panic_of;
use crate::token::Standing;
use crate::waiting::wait;

/// How many runs a host serves before the next takes its place, so that what is stored stays little.
const RUNS: u64 = 256;

/// What one run has: a host, and a caller of a tenant that has one environment.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) router: Router,
    /// Whose turn it is: the caller's tenant, and its bearer token.
    pub(crate) run: u64,
    /// The environment's identifier.
    pub(crate) environment: String,
}

impl World {
    /// A world for one run. In texts, `@env` stands for its environment.
    pub(crate) fn anew() -> Self {
        thread_local! {
            static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
        }
        WORLD.with_borrow_mut(|kept| {
            let mut world = match kept.take() {
                Some(world) if world.run < RUNS => world,
                _ => Self::new(),
            };
            world.run += 1;
            world.environment = world.provisioned();
            *kept = Some(world.clone());
            world
        })
    }

    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Standing);
        let said = Arc::new(Said::new(clock.clone()));
        let surface = MemorySurface::new(clock.clone());
        let ports = Ports {
            store: Arc::new(MemoryStore::new()),
            records: Records::default(),
            surfaces: BTreeMap::from([(SurfaceKind::Process, Arc::new(surface.clone()) as _)]),
            infrastructure: Arc::new(MemoryEngine::new()),
            tenancy: runtime_services::TenancyPorts::default(),
            registry: said.clone(),
            desired_state: None,
            prober: said.clone(),
            metrics: said,
            scaling_signals: Vec::new(),
            jobs: Arc::new(surface),
            secret_stores: BTreeMap::new(),
            publisher: Arc::new(RecordingBus::new("bus")),
            clock,
            ids: Arc::new(Counted::default()),
        };
        let api = match Services::new(Host::new(ports, HostOptions::default()), Vec::new()) {
            Ok(services) => Api::new(services),
            Err(error) => panic_of(format!("no host: {error}")),
        };
        let http =
            HttpApi::new(api.clone(), Access::Authenticated(Arc::new(Numbered)), HttpOptions::default());
        Self { api, router: http.router().clone(), run: 0, environment: String::new() }
    }

    /// The caller, who may everything.
    pub(crate) fn caller(&self) -> Principal {
        principal(self.run)
    }

    fn provisioned(&self) -> String {
        let request = json!({
            "projectId": "prj_00000000000000000000000000000001",
            "name": "shop",
            "stage": "dev",
            "region": "local",
            "isolationModel": "silo",
            "surfaces": ["process"],
        });
        let operation = "RuntimeEnvironmentService.ProvisionEnvironment";
        let answer = wait(self.api.call(&self.caller(), operation, request, CallOptions::default()));
        match answer {
            Ok(answer) => answer.value()["result"]["environmentId"].as_str().unwrap_or_default().to_owned(),
            Err(problem) => panic_of(format!("no environment: {problem:?}")),
        }
    }
}

/// A problem is the caller's: it says what is wrong and what would help, and the rule where one refuses.
pub(crate) fn is_said(problem: &Problem, asked: &str) {
    assert_ne!(problem.kind(), ProblemKind::Internal, "{asked}: {problem:?}");
    let says = [problem.detail(), problem.remedy()].iter().all(|text| !text.trim().is_empty());
    assert!(says, "{asked}: {problem:?} says nothing");
    assert!(
        problem.kind() != ProblemKind::Refused || problem.rule().is_some(),
        "{asked}: {problem:?} names no rule"
    );
}

fn principal(tenant: u64) -> Principal {
    Principal::verified(sample::tenant(tenant), sample::caller(tenant), Role::ALL, None)
}

/// Lets in whoever shows a number, as an administrator of the tenant with that number.
struct Numbered;

#[async_trait]
impl Authenticator for Numbered {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        match credentials {
            Credentials::Bearer(token) => token
                .parse()
                .map(principal)
                .map_err(|_| AuthenticationError::Invalid { reason: "not a number" }),
            _ => Err(AuthenticationError::Missing),
        }
    }
}

/// Identifiers in the order of numbers, the same in every run.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl IdGenerator for Counted {
    fn next(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Uuid::from_u128((0x0190_0000_0000_7000_8000 << 48) | u128::from(number))
    }
}
