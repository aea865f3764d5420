//! One call: who asks, what they say, what is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use futures::future::ready;
use futures::stream::once;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use prost_reflect::MethodDescriptor;
use runtime_api::access::Shown;
use runtime_api::{Access, Answer, Api, Place, Problem, ProblemKind};
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::CorrelationId;
use runtime_ports::authenticator::Principal;
use runtime_ports::telemetry::{Follows, Instrument};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use tower::service_fn;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::codec::Raw;
use crate::message::{document, message};
use crate::metadata::{CORRELATION, ETAG, REPLAYED, correlation, options, put, timeout};
use crate::options::GrpcOptions;
use crate::status::{name, status};
use crate::watch::{Following, Watch};

/// What every call needs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) access: Access,
    pub(super) options: GrpcOptions,
    pub(super) end: CancellationToken,
}

/// What is known of a method before it is asked for.
#[derive(Debug)]
pub(super) struct Route {
    /// As it is asked for: the service, a slash, the method.
    pub(super) name: String,
    pub(super) method: MethodDescriptor,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    /// Carries out the operation of this identifier.
    Call(String),
    /// Follows what happens.
    Follow(Watch),
}

/// Who asks, for which chain of work, and how long they wait.
#[derive(Debug)]
struct Asked {
    caller: Principal,
    correlation: CorrelationId,
    patience: Option<Duration>,
    place: Arc<Place>,
}

/// The span of one call, which goes on with the caller's trace where it says one.
fn span(shared: &Shared, route: &Route, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = route.name,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = route.name,
        rpc.response.status_code = Empty,
    );
    let parent = headers.get("traceparent").and_then(|parent| parent.to_str().ok());
    if let Some(parent) = parent.and_then(|parent| TraceParent::new(parent).ok()) {
        shared.api.services().host().telemetry().traces.follow(&span, &parent, Follows::Child);
    }
    span
}

/// Carries out one call.
pub(super) async fn performed(
    shared: Arc<Shared>,
    route: Arc<Route>,
    request: Request<Body>,
) -> Response<Body> {
    let (began, span) = (Instant::now(), span(&shared, &route, request.headers()));
    let response = admitted(shared.clone(), route.clone(), request).instrument(span.clone()).await;
    // What fails says so at once; what is answered says it at its end.
    let code = match Status::from_header_map(response.headers()) {
        Some(status) => status.code(),
        None if response.status().is_success() => Code::Ok,
        None => Code::Unknown,
    };
    span.record("rpc.response.status_code", name(code));
    let attributes =
        [("rpc.method", &*route.name), ("rpc.response.status_code", name(code)), ("rpc.system.name", "grpc")];
    let meter = &shared.api.services().host().telemetry().meter;
    meter.record(Instrument::RpcServerCallDuration, began.elapsed().as_secs_f64(), &attributes);
    if matches!(code, Code::Internal | Code::Unavailable | Code::DeadlineExceeded) {
        span.record("otel.status_code", "ERROR");
    }
    response
}

async fn admitted(shared: Arc<Shared>, route: Arc<Route>, request: Request<Body>) -> Response<Body> {
    if !is_grpc(request.headers()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let (parts, body) = request.into_parts();
    let correlation = correlation(&parts.headers).unwrap_or_else(|| shared.api.new_correlation());
    let refused = |problem: Problem| status(&problem, correlation).into_http();
    let patience = match timeout(&parts.headers) {
        Ok(patience) => patience,
        Err(problem) => return refused(problem),
    };
    let most = shared.options.timeout;
    let answering = async {
        match let_in(&shared, &route, &parts).await {
            Ok((caller, place)) => {
                let asked = Asked { caller, correlation, patience, place: Arc::new(place) };
                answer(&shared, &route, asked, Request::from_parts(parts, body)).await
            }
            Err(problem) => refused(problem),
        }
    };
    let answered = tokio::time::timeout(patience.map_or(most, |asked| asked.min(most)), answering).await;
    answered.unwrap_or_else(|_| refused(Problem::from_kind(ProblemKind::RequestTimeout)))
}

/// Who calls, and the place that they take while they are answered.
async fn let_in(shared: &Shared, route: &Route, parts: &Parts) -> Result<(Principal, Place), Problem> {
    let admission = shared.api.admission();
    let place = match route.work {
        Work::Call(_) => admission.request()?,
        Work::Follow(_) => admission.stream()?,
    };
    let caller = caller(&shared.access, parts).await?;
    let place = place.of(caller.tenant())?;
    Ok((caller, place))
}

/// Whether a request is one of gRPC, with messages of protobuf. A browser sends such a type elsewhere only where it was allowed to.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    matches!(essence, "application/grpc" | "application/grpc+proto")
}

async fn caller(access: &Access, parts: &Parts) -> Result<Principal, Problem> {
    let shown = Shown {
        authorization: parts.headers.get_all(AUTHORIZATION).iter().map(|value| value.as_bytes()).collect(),
        certificate: parts.extensions.get(),
        peer: parts.extensions.get().copied(),
        host: parts.uri.host(),
    };
    access.caller(&shown).await
}

async fn answer(
    shared: &Arc<Shared>,
    route: &Arc<Route>,
    asked: Asked,
    request: Request<Body>,
) -> Response<Body> {
    let (shared, route, asked) = (shared.clone(), route.clone(), Arc::new(asked));
    let mut grpc = tonic::server::Grpc::new(Raw).max_decoding_message_size(shared.options.message_bytes);
    let request = request.map(tonic::body::Body::new);
    let handler = move |request: tonic::Request<Streaming<Bytes>>| {
        let (shared, route, asked) = (shared.clone(), route.clone(), asked.clone());
        async move {
            let correlation = asked.correlation;
            let answered = match &route.work {
                Work::Call(operation) => called(&shared, &route.method, operation, &asked, request).await,
                Work::Follow(watch) => followed(&shared, &route.method, *watch, &asked, request).await,
            };
            answered.map_err(|problem| status(&problem, correlation))
        }
    };
    grpc.streaming(service_fn(handler), request).await.map(Body::new)
}

/// The messages of an answer.
type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

async fn called(
    shared: &Shared,
    method: &MethodDescriptor,
    operation: &str,
    asked: &Asked,
    request: tonic::Request<Streaming<Bytes>>,
) -> Result<tonic::Response<Messages>, Problem> {
    let (metadata, _, mut messages) = request.into_parts();
    let options = options(metadata.as_ref(), asked.correlation)?;
    let request = only(&mut messages, shared.options.message_bytes).await?;
    let request = document(method.input(), request, &shared.options)?;
    let answer = shared.api.call(&asked.caller, operation, request, options).await?;
    response(method, answer, asked.correlation)
}

async fn followed(
    shared: &Shared,
    method: &MethodDescriptor,
    watch: Watch,
    asked: &Asked,
    request: tonic::Request<Streaming<Bytes>>,
) -> Result<tonic::Response<Messages>, Problem> {
    let (_, _, mut messages) = request.into_parts();
    let request = only(&mut messages, shared.options.message_bytes).await?;
    let request = document(method.input(), request, &shared.options)?;
    let correlation = asked.correlation;
    let following = Following {
        progress: watch.begin(&shared.api, &asked.caller, request, correlation).await?,
        of: method.output(),
        correlation,
        until: asked.patience.and_then(|patience| Instant::now().checked_add(patience)),
        end: shared.end.clone(),
        _place: asked.place.clone(),
    };
    let mut response = tonic::Response::new(Box::pin(following.messages()) as Messages);
    put(response.metadata_mut(), CORRELATION, &correlation.to_string());
    Ok(response)
}

/// The one message of a call.
async fn only(messages: &mut Streaming<Bytes>, limit: usize) -> Result<Bytes, Problem> {
    let broken = |error: Status| match error.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            let detail = format!("the message is larger than {limit} bytes");
            Problem::new(ProblemKind::ContentTooLarge, detail)
        }
        _ => Problem::new(ProblemKind::Malformed, "the message did not come whole"),
    };
    let one = messages.message().await.map_err(broken)?;
    let one = one.ok_or_else(|| Problem::new(ProblemKind::Malformed, "the call has no message"))?;
    match messages.message().await.map_err(broken)? {
        None => Ok(one),
        Some(_) => Err(Problem::new(ProblemKind::Malformed, "the call has more than one message")),
    }
}

fn response(
    method: &MethodDescriptor,
    answer: Answer,
    correlation: CorrelationId,
) -> Result<tonic::Response<Messages>, Problem> {
    let message = message(method.output(), &answer.document)?;
    let mut response = tonic::Response::new(Box::pin(once(ready(Ok(message)))) as Messages);
    let metadata = response.metadata_mut();
    put(metadata, CORRELATION, &correlation.to_string());
    if let Some(etag) = &answer.etag {
        put(metadata, ETAG, etag);
    }
    if answer.is_repeated {
        put(metadata, REPLAYED, "true");
    }
    Ok(response)
}
