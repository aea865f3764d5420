//! Hosts in memory that serve gRPC on a loopback port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_api::{Access, AdmissionOptions, Api};
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{EnvironmentId, ProjectId};
use runtime_domain::scope::{Actor, TenantScope};
use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_grpc::{GrpcApi, GrpcOptions};
use runtime_memory::{MemoryHealthResults, MemoryStore};
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_ports::publisher::EventPublisher;
use runtime_services::environments::NewEnvironment;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::faults::Faults;
use runtime_testkit::sample;
use runtime_testkit::world::{MemoryEngine, MemorySurface, MemoryVault, RecordingBus, Said};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Knows `1-operator`: an operator of the first tenant.
struct Doorkeeper;

#[async_trait]
impl Authenticator for Doorkeeper {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let Credentials::Bearer(token) = credentials else { return Err(AuthenticationError::Missing) };
        if token.as_str() == "expired" {
            return Err(AuthenticationError::Expired);
        }
        let known =
            token.split_once('-').and_then(|(tenant, role)| Some((tenant.parse().ok()?, Role::named(role)?)));
        let (tenant, role) = known.ok_or(AuthenticationError::Invalid { reason: "it is not known" })?;
        Ok(Principal::verified(sample::tenant(tenant), Actor::new(role.name()).unwrap(), [role], None))
    }
}

/// A host that is served.
pub struct Served {
    pub services: Box<Services>,
    pub address: SocketAddr,
    pub faults: Faults,
    pub vault: MemoryVault,
    pub grpc: GrpcApi,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub async fn served() -> Served {
    served_with(GrpcOptions::default()).await
}

pub async fn served_with(options: GrpcOptions) -> Served {
    // A test asks more often than people do.
    let often = NonZeroU32::new(100_000).unwrap();
    let mut admission = AdmissionOptions::default();
    (admission.tenant_rate, admission.tenant_burst) = (often, often);
    served_admitting(options, &admission).await
}

/// A host that takes so much from its callers.
pub async fn served_admitting(options: GrpcOptions, admission: &AdmissionOptions) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let faults = Faults::none();
    let vault = MemoryVault::new(VaultKind::Local);
    let services = Box::new(services(&faults, &vault));
    let api = Api::new(Services::clone(&services)).admitting(admission);
    let access = Access::Authenticated(Arc::new(Doorkeeper));
    let grpc = GrpcApi::new(api.clone(), access.clone(), options).unwrap();
    let rest = runtime_http::HttpApi::new(api, access, Default::default());
    let router = grpc.beside(rest.router().clone());
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    run(listener, router, Services::clone(&services), &stop);
    Served { services, address, faults, vault, grpc, stop }
}

/// Serves and reconciles until it is told to stop.
fn run(listener: TcpListener, router: axum::Router, services: Services, stop: &CancellationToken) {
    let (stopped, serving) = (stop.clone(), stop.clone().cancelled_owned());
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(serving).await });
    tokio::spawn(Box::pin(async move { services.run(stopped).await }));
}

fn services(faults: &Faults, vault: &MemoryVault) -> Services {
    let clock = Arc::new(SystemClock::new());
    let surface = Arc::new(MemorySurface::new(clock.clone()));
    let said = Arc::new(Said::new(clock.clone()));
    let publisher: Arc<dyn EventPublisher> = Arc::new(RecordingBus::new("bus"));
    let ports = Ports {
        store: faults.store(Arc::new(MemoryStore::new())),
        records: Records { health_results: Some(Arc::new(MemoryHealthResults::new())), ..Records::default() },
        surfaces: BTreeMap::from([(SurfaceKind::Process, faults.surface(surface.clone()))]),
        infrastructure: faults.infrastructure(Arc::new(MemoryEngine::new())),
        tenancy: TenancyPorts::default(),
        registry: faults.registry(said.clone()),
        desired_state: Some(faults.desired_state(said.clone())),
        prober: faults.prober(said.clone()),
        metrics: faults.metrics(said.clone()),
        scaling_signals: vec![faults.scaling_signals(said)],
        jobs: faults.jobs(surface),
        secret_stores: BTreeMap::from([(VaultKind::Local, faults.secret_store(Arc::new(vault.clone())))]),
        publisher: faults.publisher(publisher),
        clock: faults.clock(clock),
        ids: Arc::new(UuidV7Generator::new()),
    };
    Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap()
}

impl Served {
    pub fn scope(&self, tenant: u64) -> TenantScope {
        let actor = Actor::new("ann").unwrap();
        TenantScope::authenticated(sample::tenant(tenant), actor, self.services.host().new_correlation())
    }

    /// An environment of this tenant, provisioned.
    pub async fn environment(&self, tenant: u64, name: &str) -> EnvironmentId {
        let wanted = NewEnvironment {
            project_id: "prj_00000000000000000000000000000001".parse::<ProjectId>().unwrap(),
            name: Name::new(name).unwrap(),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").unwrap(),
            isolation_model: IsolationModel::Pool,
            surfaces: BTreeSet::from([SurfaceKind::Process]),
            egress_allow_list: BTreeSet::new(),
            capacity: ResourceQuota::LARGEST,
        };
        let scope = self.scope(tenant);
        let asked = self.services.environments().provision(&scope, wanted).await.unwrap();
        let environment = asked.aggregate.id();
        let patience = runtime_domain::time::Span::from_secs(60);
        self.services.environments().until_provisioned(&scope, environment, patience).await.unwrap();
        environment
    }
}
