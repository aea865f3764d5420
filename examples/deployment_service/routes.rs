//! Two routes, and what operators of the process ask.

use std::convert::Infallible;
use std::time::Duration;

use factory_runtime::domain::id::DeploymentId;
use factory_runtime::manifest;
use factory_runtime::prelude::*;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use tokio::net::TcpListener;

use crate::Failure;

/// A manifest is shorter than this, in bytes.
const LONGEST_BODY: usize = 256 << 10;
/// How long clients may take for a request's head, and connections to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until `stop` is ready, then finishes the requests under way.
pub async fn serve(
    runtime: &Runtime,
    tenant: TenantId,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let connections = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = &mut stop => break,
        };
        let runtime = runtime.clone();
        let answer = service_fn(move |request| {
            let runtime = runtime.clone();
            async move { Ok::<_, Infallible>(answer(&runtime, tenant, request).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        let connection = connections.watch(server.serve_connection(TokioIo::new(stream), answer));
        // A client that leaves is no concern of the service.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(tokio::time::timeout(PATIENCE, connections.shutdown()).await);
    Ok(())
}

async fn answer(runtime: &Runtime, tenant: TenantId, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let outcome = match (&method, path.as_str()) {
        (&Method::GET, "/live") => Ok(condition(runtime.liveness().ailing)),
        (&Method::GET, "/ready") => Ok(condition(runtime.readiness().await.missing)),
        (&Method::POST, "/runtime/deployments") => request_deployment(runtime, tenant, request).await,
        (&Method::GET, path) => match path.strip_prefix("/runtime/deployments/") {
            Some(deployment) => show(runtime, tenant, deployment).await,
            None => Err(elsewhere(runtime)),
        },
        _ => Err(elsewhere(runtime)),
    };
    let (status, body) = outcome.unwrap_or_else(|problem| (problem.status, problem.document()));
    let media_type = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(media_type));
    response
}

type Answer = Result<(StatusCode, serde_json::Value), Problem>;

struct Problem {
    status: StatusCode,
    detail: String,
    rule: Option<String>,
    remedy: String,
}

impl Problem {
    fn invalid(detail: impl ToString, remedy: &str) -> Self {
        let (detail, remedy) = (detail.to_string(), remedy.to_owned());
        Self { status: StatusCode::BAD_REQUEST, detail, rule: None, remedy }
    }

    fn document(&self) -> serde_json::Value {
        let (title, status) = (self.status.canonical_reason(), self.status.as_u16());
        json!({ "title": title, "status": status, "detail": self.detail, "rule": self.rule, "remedy": self.remedy })
    }
}

impl<R: Refusal + 'static> From<CommandError<R>> for Problem {
    fn from(error: CommandError<R>) -> Self {
        let status = match &error {
            CommandError::Refused(_) | CommandError::Contended => StatusCode::CONFLICT,
            CommandError::NotFound { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let rule = error.rule().map(|rule| rule.to_string());
        let remedy = error.remedy();
        Self { status, detail: crate::in_words(&error), rule, remedy }
    }
}

/// What this host does not run is another's.
fn elsewhere(runtime: &Runtime) -> Problem {
    let contexts: Vec<_> = runtime.contexts().iter().map(|context| context.name()).collect();
    Problem {
        status: StatusCode::NOT_FOUND,
        detail: format!("this service runs the context `{}` only", contexts.join("`, `")),
        rule: None,
        remedy: "ask the service that runs the context you mean".to_owned(),
    }
}

fn condition(ailing: Vec<String>) -> (StatusCode, serde_json::Value) {
    let status = if ailing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json!({ "missing": ailing }))
}

fn caller(runtime: &Runtime, tenant: TenantId) -> Result<TenantScope, Problem> {
    let actor = Actor::new("anonymous").map_err(|error| Problem::invalid(error, "name the caller"))?;
    Ok(runtime.authenticated(tenant, actor))
}

async fn request_deployment(runtime: &Runtime, tenant: TenantId, request: Request<Incoming>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let environment = query.split('&').find_map(|pair| pair.strip_prefix("environmentId="));
    let environment = environment
        .ok_or("the environment is missing")
        .and_then(|text| text.parse::<EnvironmentId>().map_err(|_| "this is no environment"));
    let environment =
        environment.map_err(|detail| Problem::invalid(detail, "add ?environmentId=env_… to the address"))?;
    let body = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
    let body =
        body.map_err(|error| Problem::invalid(error, "send a manifest of at most 256 KiB"))?.to_bytes();
    let text = std::str::from_utf8(&body).map_err(|error| Problem::invalid(error, "send UTF-8"))?;
    let manifest =
        manifest::parse(text).map_err(|error| Problem::invalid(error, "mend what the message names"))?;
    let deployments = runtime.deployments();
    let release = deployments.resolve(&manifest).await.map_err(|error| {
        Problem::invalid(crate::in_words(&error), "push the image that is named to the registry")
    })?;
    let done = deployments.request(&caller(runtime, tenant)?, environment, release).await?;
    Ok((StatusCode::ACCEPTED, document(&done.aggregate)))
}

async fn show(runtime: &Runtime, tenant: TenantId, deployment: &str) -> Answer {
    let deployment: DeploymentId = deployment
        .parse()
        .map_err(|error| Problem::invalid(error, "write dep_ and 32 hexadecimal digits"))?;
    let found = runtime.deployments().deployment(&caller(runtime, tenant)?, deployment).await?;
    Ok((StatusCode::OK, document(&found)))
}

fn document(deployment: &RuntimeDeployment) -> serde_json::Value {
    json!({
        "deploymentId": deployment.id().to_string(),
        "environmentId": deployment.environment_id().to_string(),
        "release": deployment.release().reference.to_string(),
        "status": deployment.status().name(),
    })
}
