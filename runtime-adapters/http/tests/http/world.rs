//! A host whose services know a store and nothing else of the world, served on a port of the system's choice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_api::Api;
use runtime_domain::scope::Actor;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_http::{Access, HttpApi, HttpOptions, Server, ServerOptions};
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_ports::clock::Clock;
use runtime_ports::store::Store;
use runtime_services::{Host, HostOptions, Ports, Records, Services};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use runtime_testkit::world::{MemoryEngine, MemorySurface, RecordingBus, Said};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a host knows of the world: all in memory, and what hosts share where they share a store.
#[derive(Clone)]
pub(crate) struct World {
    store: Arc<dyn Store>,
    surface: MemorySurface,
    engine: MemoryEngine,
    said: Said,
}

impl World {
    pub(crate) fn of(store: Arc<dyn Store>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (surface, said) = (MemorySurface::new(clock.clone()), Said::new(clock));
        Self { store, surface, engine: MemoryEngine::new(), said }
    }

    /// A host of its own in this world.
    pub(crate) fn api(&self) -> Api {
        let said = Arc::new(self.said.clone());
        let ports = Ports {
            store: self.store.clone(),
            records: Records::default(),
            surfaces: BTreeMap::from([(SurfaceKind::Process, Arc::new(self.surface.clone()) as _)]),
            infrastructure: Arc::new(self.engine.clone()),
            tenancy: runtime_services::TenancyPorts::default(),
            registry: said.clone(),
            desired_state: None,
            prober: said.clone(),
            metrics: said,
            scaling_signals: Vec::new(),
            jobs: Arc::new(self.surface.clone()),
            secret_stores: BTreeMap::new(),
            publisher: Arc::new(RecordingBus::new("bus")),
            clock: Arc::new(SystemClock::new()),
            ids: Arc::new(UuidV7Generator::default()),
        };
        let mut options = HostOptions::default();
        options.poll = Span::from_millis(20);
        options.idle = Span::from_millis(50);
        Api::new(Services::new(Host::new(ports, options), Vec::new()).unwrap())
    }
}

/// Lets `ada` of tenant 1 and `eve` of tenant 2 do everything, `vic` of tenant 1 look, and `bob`, whose token ends when it says.
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let known = |tenant, name: &str, roles: &[Role], until: Option<Timestamp>| {
            let actor = Actor::new(name).unwrap();
            Ok(Principal::verified(sample::tenant(tenant), actor, roles.iter().copied(), until))
        };
        match credentials {
            Credentials::Bearer(token) => match token.as_str() {
                "ada" => known(1, "ada", &Role::ALL, None),
                "eve" => known(2, "eve", &Role::ALL, None),
                "vic" => known(1, "vic", &[Role::Viewer], None),
                "short" => {
                    let until = Span::from_millis(1_500).after(SystemClock::new().now());
                    known(1, "bob", &[Role::Viewer], Some(until))
                }
                _ => Err(AuthenticationError::Invalid { reason: "nobody has this token" }),
            },
            Credentials::Certificate(_) => known(1, "machine", &Role::ALL, None),
            _ => Err(AuthenticationError::Missing),
        }
    }
}

pub(crate) fn authenticated() -> Access {
    Access::Authenticated(Arc::new(Tokens))
}

/// A server at work. Dropped, it is cut off.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    working: Option<JoinHandle<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
        self.working.iter().for_each(JoinHandle::abort);
    }
}

impl Served {
    pub(crate) async fn new(store: Arc<dyn Store>) -> Self {
        Self::with(store, authenticated(), HttpOptions::default(), ServerOptions::default()).await
    }

    pub(crate) async fn with(
        store: Arc<dyn Store>,
        access: Access,
        options: HttpOptions,
        server: ServerOptions,
    ) -> Self {
        Self::of(World::of(store).api(), access, options, server).await
    }

    /// A host that only answers.
    pub(crate) async fn new_in(world: &World) -> Self {
        Self::of(world.api(), authenticated(), HttpOptions::default(), ServerOptions::default()).await
    }

    /// A host that is at work by itself, too, until it is dropped.
    pub(crate) async fn at_work(world: &World) -> Self {
        let api = world.api();
        let mut served =
            Self::of(api.clone(), authenticated(), HttpOptions::default(), ServerOptions::default()).await;
        let stop = served.stop.clone();
        served.working = Some(tokio::spawn(async move { api.services().run(stop).await }));
        served
    }

    pub(crate) async fn of(api: Api, access: Access, options: HttpOptions, server: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let http = HttpApi::new(api, access, options);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            Server::new(listener, &http, server).unwrap().run(stopped.cancelled_owned()).await;
        });
        Self { address, stop, serving, working: None }
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
    }
}
