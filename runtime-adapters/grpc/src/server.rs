//! The services, from the catalogue.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::routing::{any, post};
use http::{Request, Response, StatusCode};
use runtime_api::{Access, Api, Operation};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use crate::contract::{Contract, ContractError, FILE_DESCRIPTOR_SET, PACKAGE};
use crate::health::HostHealth;
use crate::options::GrpcOptions;
use crate::watch::Watch;

mod call;

use call::{Route, Shared, Work, is_grpc, performed};

/// The largest message of those who need no credentials.
const ANONYMOUS_BYTES: usize = 4 << 10;

/// The operations of a host over gRPC: services, to be mounted or served. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GrpcApi {
    router: Router,
    is_insecure: bool,
    end: CancellationToken,
}

impl GrpcApi {
    /// The services of these operations, for callers that are known by `access`; with the host's health (`grpc.health.v1`, X-13), and its
    /// contract by reflection unless `options` leave it out, both for whoever reaches it.
    ///
    /// # Errors
    /// Where the contract does not fit the catalogue: the crates were not built from one source.
    pub fn new(api: Api, access: Access, options: GrpcOptions) -> Result<Self, ContractError> {
        let is_insecure = matches!(access, Access::Insecure(_));
        if is_insecure {
            tracing::warn!("INSECURE: everybody on this machine is let in without credentials");
        }
        let contract = Contract::of(api.catalogue())?;
        let end = CancellationToken::new();
        let shared = Arc::new(Shared { api, access, options, end: end.clone() });
        let mut router = routed(&shared, &contract);
        for service in contract.services() {
            router = router.route(&format!("/{}/{{*method}}", service.full_name()), any(unimplemented));
        }
        let services = contract.services().map(|service| service.full_name().to_owned()).collect();
        let health = HostHealth::new(shared.api.clone(), services, &shared.options);
        let health = HealthServer::new(health).max_decoding_message_size(ANONYMOUS_BYTES);
        let mut beside = Routes::from(Router::new()).add_service(health);
        if shared.options.reflection {
            beside = reflected(beside)?;
        }
        let router = router.merge(beside.into_axum_router());
        Ok(Self { router, is_insecure, end })
    }

    /// The services as a router, without a fallback.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The services beside what another router serves, such as REST, on one port. What neither knows is `UNIMPLEMENTED` to a client that
    /// speaks gRPC, and to others what that router answers.
    pub fn beside(&self, other: Router) -> Router {
        other.merge(self.router.clone()).layer(from_fn(unknown_in_grpc))
    }

    /// The services, for tonic's own server.
    pub fn routes(&self) -> Routes {
        Routes::from(self.router.clone().fallback(unimplemented))
    }

    /// Ends every stream of progress, and those that are asked for from now on: a host that stops does so first, so that it can drain.
    pub fn end_streams(&self) {
        self.end.cancel();
    }

    /// Whether it lets everybody in without credentials.
    pub fn is_insecure(&self) -> bool {
        self.is_insecure
    }
}

fn routed(shared: &Arc<Shared>, contract: &Contract) -> Router {
    let operations = shared.api.catalogue().operations().map(Operation::descriptor);
    let operations =
        operations.map(|operation| (operation.service, operation.name, Work::Call(operation.id())));
    let watches = Watch::ALL.into_iter().map(|watch| (watch.service(), watch.name(), Work::Follow(watch)));
    let mut router = Router::new();
    for (service, name, work) in operations.chain(watches) {
        let Some(method) = contract.method(service, name) else { continue };
        let name = format!("{PACKAGE}.{service}/{name}");
        let path = format!("/{name}");
        let (shared, route) = (shared.clone(), Arc::new(Route { name, method, work }));
        let handler = move |request: Request<Body>| performed(shared.clone(), route.clone(), request);
        router = router.route(&path, post(handler));
    }
    router
}

fn reflected(routes: Routes) -> Result<Routes, ContractError> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let unreadable = |error: tonic_reflection::server::Error| ContractError::Unreadable(Box::new(error));
    let v1 = builder().build_v1().map_err(unreadable)?;
    let v1alpha = builder().build_v1alpha().map_err(unreadable)?;
    let routes = routes.add_service(v1.max_decoding_message_size(ANONYMOUS_BYTES));
    Ok(routes.add_service(v1alpha.max_decoding_message_size(ANONYMOUS_BYTES)))
}

async fn unimplemented() -> Response<Body> {
    Status::unimplemented("there is no such method: look for it by reflection").into_http()
}

/// Whoever speaks gRPC and asks for what nobody serves is told so in gRPC.
async fn unknown_in_grpc(request: Request<Body>, next: Next) -> Response<Body> {
    let is_grpc = is_grpc(request.headers());
    let response = next.run(request).await;
    if is_grpc && response.status() == StatusCode::NOT_FOUND { unimplemented().await } else { response }
}
