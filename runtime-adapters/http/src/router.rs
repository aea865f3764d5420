//! The routes, from the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use runtime_api::openapi::{FOLLOW_DEPLOYMENT, FOLLOW_TENANT, JSON, document, request_fields};
use runtime_api::{Api, Method, Operation, Problem, ProblemKind};
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::{CorrelationId, DeploymentId};
use runtime_ports::telemetry::Follows;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::access::{Access, caller};
use crate::answer::{answered, json as written, refused};
use crate::centre;
use crate::events::{LAST_EVENT_ID, streamed};
use crate::options::HttpOptions;
use crate::request::{Shapes, body, correlation, malformed, options, query};

/// Says on every answer that the host lets everybody in.
const INSECURE: HeaderName = HeaderName::from_static("x-factory-runtime-insecure");

/// The operations of a host over HTTP: a router, and whether it lets everybody in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpApi {
    router: Router,
    is_insecure: bool,
    streams: CancellationToken,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    api: Api,
    access: Access,
    options: HttpOptions,
    streams: CancellationToken,
}

impl HttpApi {
    /// The router of these operations, for callers that are known by `access`.
    pub fn new(api: Api, access: Access, options: HttpOptions) -> Self {
        let is_insecure = matches!(access, Access::Insecure(_));
        if is_insecure {
            tracing::warn!("INSECURE: everybody on this machine is let in without credentials");
        }
        let mut described = document(api.catalogue());
        if is_insecure {
            // Nobody is asked for credentials.
            described["security"] = json!([]);
        }
        let described = Bytes::from(described.to_string());
        let streams = CancellationToken::new();
        let shared = Arc::new(Shared { api, access, options, streams: streams.clone() });
        let mut router = if shared.options.centre { centre::router() } else { Router::new() };
        for (path, routes) in routes(&shared) {
            router = router.route(path, routes);
        }
        router = router
            .route("/openapi.json", get(move || std::future::ready(description(described.clone()))))
            .route(FOLLOW_DEPLOYMENT, follow(&shared))
            .route(FOLLOW_TENANT, follow(&shared))
            .route("/livez", get(livez(&shared)))
            .route("/readyz", get(readyz(&shared)))
            .method_not_allowed_fallback(method_not_allowed)
            .fallback(no_such_path);
        if is_insecure {
            router = router.layer(axum::middleware::map_response(insecure));
        }
        Self { router, is_insecure, streams }
    }

    /// The router, to be mounted or served.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Ends every stream of progress, and those that are asked for from now on: a host that stops does so first, so that it can drain.
    pub fn end_streams(&self) {
        self.streams.cancel();
    }

    /// Whether it lets everybody in without credentials.
    pub fn is_insecure(&self) -> bool {
        self.is_insecure
    }
}

fn routes(shared: &Arc<Shared>) -> BTreeMap<&'static str, MethodRouter> {
    let mut routes: BTreeMap<&'static str, MethodRouter> = BTreeMap::new();
    for operation in shared.api.catalogue().operations() {
        let descriptor = *operation.descriptor();
        let filter = match descriptor.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
        };
        let route = Arc::new(Route::of(operation));
        let shared = shared.clone();
        let handler = move |request: Request| performed(shared.clone(), route.clone(), request);
        let routed = routes.remove(descriptor.path).unwrap_or_default();
        routes.insert(descriptor.path, routed.merge(on(filter, handler)));
    }
    routes
}

/// What is known of an operation before it is asked for.
#[derive(Debug)]
struct Route {
    id: String,
    method: &'static str,
    path: &'static str,
    is_read: bool,
    shapes: Shapes,
}

impl Route {
    fn of(operation: &Operation) -> Self {
        let descriptor = operation.descriptor();
        let shapes = Shapes::of(&request_fields(operation));
        Self {
            id: descriptor.id(),
            method: descriptor.method.name(),
            path: descriptor.path,
            is_read: descriptor.is_read(),
            shapes,
        }
    }
}

/// The span of one request, which goes on with the caller's trace where it says one.
fn span(shared: &Shared, route: &Route, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{} {}", route.method, route.path),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = route.method,
        http.route = route.path,
        http.response.status_code = Empty,
        factory.operation = route.id,
    );
    let parent = headers.get("traceparent").and_then(|parent| parent.to_str().ok());
    if let Some(parent) = parent.and_then(|parent| TraceParent::new(parent).ok()) {
        shared.api.services().host().telemetry().traces.follow(&span, &parent, Follows::Child);
    }
    span
}

async fn performed(shared: Arc<Shared>, route: Arc<Route>, request: Request) -> Response<Body> {
    let span = span(&shared, &route, request.headers());
    let response = answering(&shared, &route, request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

async fn answering(shared: &Shared, route: &Route, request: Request) -> Response<Body> {
    let correlation = correlation(request.headers()).unwrap_or_else(|| shared.api.new_correlation());
    let answering = called(shared, route, request, correlation);
    let answer = tokio::time::timeout(shared.options.request_timeout, answering).await;
    match answer.unwrap_or_else(|_| Err(Problem::from_kind(ProblemKind::RequestTimeout))) {
        Ok(response) => response,
        Err(problem) => refused(&problem.correlated(correlation)),
    }
}

async fn called(
    shared: &Shared,
    route: &Route,
    request: Request,
    correlation: CorrelationId,
) -> Result<Response<Body>, Problem> {
    let place = shared.api.admission().request()?;
    let (mut parts, content) = request.into_parts();
    let caller = caller(&shared.access, &parts).await?;
    let _place = place.of(caller.tenant())?;
    let named = RawPathParams::from_request_parts(&mut parts, &()).await;
    let named = named.map_err(|_| malformed("the path is not UTF-8"))?;
    let named = named.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (queried, dry_run) = query(parts.uri.query())?;
    if !route.is_read && !queried.is_empty() {
        return Err(malformed(
            "the query of this operation says nothing but `dryRun`: send the rest as its body",
        ));
    }
    let mut fields = route.shapes.read(named.chain(queried))?;
    if !route.is_read {
        for (name, value) in body(&parts.headers, content, &shared.options).await? {
            if fields.insert(name.clone(), value).is_some() {
                return Err(malformed(format!("{name}: the path says it already")));
            }
        }
    }
    let options = options(&parts.headers, dry_run, correlation)?;
    let answer = shared.api.call(&caller, &route.id, Value::Object(fields), options).await?;
    Ok(answered(answer, &parts.headers, correlation))
}

/// The routes of progress: of a deployment where the path names one, else of the tenant.
fn follow(shared: &Arc<Shared>) -> MethodRouter {
    let shared = shared.clone();
    get(move |request: Request| followed(shared.clone(), request))
}

async fn followed(shared: Arc<Shared>, request: Request) -> Response<Body> {
    let correlation = correlation(request.headers()).unwrap_or_else(|| shared.api.new_correlation());
    let beginning =
        tokio::time::timeout(shared.options.request_timeout, stream(&shared, request, correlation));
    let begun = beginning.await.unwrap_or_else(|_| Err(Problem::from_kind(ProblemKind::RequestTimeout)));
    begun.unwrap_or_else(|problem| refused(&problem.correlated(correlation)))
}

async fn stream(
    shared: &Shared,
    request: Request,
    correlation: CorrelationId,
) -> Result<Response<Body>, Problem> {
    let place = shared.api.admission().stream()?;
    let (mut parts, _) = request.into_parts();
    let caller = caller(&shared.access, &parts).await?;
    let place = place.of(caller.tenant())?;
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(malformed("the query of a stream says nothing"));
    }
    let named = RawPathParams::from_request_parts(&mut parts, &()).await;
    let named = named.map_err(|_| malformed("the path is not UTF-8"))?;
    let after = parts.headers.get(LAST_EVENT_ID).map(|after| after.to_str()).transpose();
    let after = after.map_err(|_| malformed("the last event is not one"))?;
    let deployment = named.iter().next().map(|(_, text)| text.parse::<DeploymentId>()).transpose();
    let deployment = deployment.map_err(|error| malformed(format!("deploymentId: {error}")))?;
    let progress = match deployment {
        Some(deployment) => shared.api.follow_deployment(&caller, deployment, after, correlation).await?,
        None => shared.api.follow_tenant(&caller, after, correlation).await?,
    };
    let heartbeat = shared.options.stream_heartbeat;
    Ok(streamed(progress, heartbeat, shared.streams.clone(), place))
}

fn description(described: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(described));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

async fn no_such_path() -> Response<Body> {
    let problem = Problem::new(ProblemKind::NotFound, "there is no such path");
    refused(&problem.remedied_by("look for the path in /openapi.json"))
}

async fn method_not_allowed() -> Response<Body> {
    refused(&Problem::from_kind(ProblemKind::MethodNotAllowed))
}

async fn insecure(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(INSECURE, HeaderValue::from_static("everybody-is-let-in"));
    response
}

/// Whether what runs by itself goes on; it tells nothing of a tenant.
fn livez(shared: &Arc<Shared>) -> impl Fn() -> std::future::Ready<Response<Body>> + Clone + use<> {
    let shared = shared.clone();
    move || std::future::ready(vital(shared.api.services().liveness().is_live()))
}

/// Whether the host can be sent requests; it tells nothing of a tenant.
fn readyz(
    shared: &Arc<Shared>,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Clone + use<> {
    let shared = shared.clone();
    move || {
        let shared = shared.clone();
        Box::pin(async move { vital(shared.api.services().readiness().await.is_ready()) })
    }
}

fn vital(is_well: bool) -> Response<Body> {
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if is_well { "ok" } else { "unavailable" };
    written(status, JSON, json!({ "status": word }).to_string())
}
