//! The bare handlers.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use runtime_domain::aggregate::{Aggregate as _, DomainEvent as _};
use runtime_domain::environment::{EnvironmentCommand, RuntimeEnvironment};
use runtime_domain::id::{AggregateKind, CorrelationId, EnvironmentId, EventId};
use runtime_ports::authenticator::Principal;
use runtime_ports::clock::{Clock as _, IdGenerator as _};
use runtime_ports::store::{AggregateWrite, Commit, Facets, HistoryEntry, Loaded, Query, Repository, Store};
use runtime_system::{SystemClock, UuidV7Generator};
use serde::Serialize;
use tokio::net::TcpListener;

struct Shared {
    store: Arc<dyn Store>,
    caller: Principal,
    clock: SystemClock,
    ids: UuidV7Generator,
}

/// Serves the three operations until it is dropped.
pub async fn serve(listener: TcpListener, store: Arc<dyn Store>, caller: Principal) {
    let shared = Shared { store, caller, clock: SystemClock::new(), ids: UuidV7Generator::default() };
    let router = Router::new()
        .route("/runtime/environments", get(list))
        .route("/runtime/environments/{id}", get(one))
        .route("/runtime/environments/{id}/protection", post(protect))
        .route("/factory.runtime.v1.RuntimeEnvironmentService/GetEnvironment", post(call_one))
        .route("/factory.runtime.v1.RuntimeEnvironmentService/ChangeProtection", post(call_protect))
        .with_state(Arc::new(shared));
    axum::serve(listener, router).await.unwrap();
}

fn json(document: &impl Serialize) -> Response {
    ([(CONTENT_TYPE, "application/json")], serde_json::to_vec(document).unwrap()).into_response()
}

async fn found(shared: &Shared, id: EnvironmentId) -> Option<Loaded<RuntimeEnvironment>> {
    let scope = shared.caller.scope(CorrelationId::from_uuid(shared.ids.next()));
    let store = shared.store.for_tenant(&scope);
    Repository::<RuntimeEnvironment>::new(&*store).load(id.uuid()).await.unwrap()
}

async fn one(State(shared): State<Arc<Shared>>, Path(id): Path<EnvironmentId>) -> Response {
    match found(&shared, id).await {
        Some(found) => json(&found.aggregate.to_record()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let scope = shared.caller.scope(CorrelationId::from_uuid(shared.ids.next()));
    let store = shared.store.for_tenant(&scope);
    let query = Query::all(AggregateKind::RuntimeEnvironment).limited_to(20);
    let page = Repository::<RuntimeEnvironment>::new(&*store).query(query).await.unwrap();
    let records: Vec<_> = page.items.iter().map(|found| found.aggregate.to_record()).collect();
    json(&records)
}

/// What is asked of an environment's protection.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    is_protected: bool,
}

async fn protect(State(shared): State<Arc<Shared>>, Path(id): Path<EnvironmentId>, body: Bytes) -> Response {
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match protected(&shared, id, asked.is_protected).await {
        Ok(after) => json(&after.to_record()),
        Err(status) => status.into_response(),
    }
}

async fn protected(
    shared: &Shared,
    id: EnvironmentId,
    is_protected: bool,
) -> Result<RuntimeEnvironment, StatusCode> {
    let found = found(shared, id).await.ok_or(StatusCode::NOT_FOUND)?;
    let command =
        if is_protected { EnvironmentCommand::ProtectFromDeletion } else { EnvironmentCommand::Unprotect };
    let now = shared.clock.now();
    let decision = found.aggregate.decide(&command, now).map_err(|_| StatusCode::CONFLICT)?;
    let scope = shared.caller.scope(CorrelationId::from_uuid(shared.ids.next()));
    let key = Repository::<RuntimeEnvironment>::key(id.uuid());
    let expected = found.expected_next();
    let (mut sequence, mut digest, mut history) = (found.sequence, found.digest, Vec::new());
    for event in &decision.events {
        sequence += 1;
        let mut entry = HistoryEntry {
            sequence,
            id: EventId::from_uuid(shared.ids.next()),
            event: event.name().to_owned(),
            body: serde_json::to_string(event).unwrap(),
            at: now,
            actor: scope.actor().clone(),
            correlation: scope.correlation(),
            causation: None,
            explanation: decision.explanation.clone(),
            trace_parent: None,
            digest,
        };
        digest = digest.then(scope.tenant(), key, &entry);
        entry.digest = digest;
        history.push(entry);
    }
    let events = decision.events.iter().map(|event| (event, now));
    let after = RuntimeEnvironment::evolve_all(Some(found.aggregate), events).unwrap().unwrap();
    if !history.is_empty() {
        let write = AggregateWrite {
            key,
            expected,
            record: Repository::record(&after).unwrap(),
            facets: Facets {
                environment: after.environment(),
                status: after.status().to_owned(),
                modules: after.modules(),
            },
            claims: after.claims(),
            history,
            // These events are not published.
            outbox: Vec::new(),
            wake_at: after.wake_at(),
        };
        let commit = Commit { writes: vec![write], evidence: Vec::new(), inbox: None, lease: None };
        let committed = shared.store.for_tenant(&scope).commit(commit).await;
        committed.map_err(|_| StatusCode::CONFLICT)?;
    }
    Ok(after)
}

/// The message in a frame of gRPC: the environment is its first field.
fn asked(body: &Bytes) -> Option<(EnvironmentId, bool)> {
    let (tag, rest) = body.get(5..)?.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).filter(|_| *tag == 0x0a)?;
    Some((std::str::from_utf8(id).ok()?.parse().ok()?, rest == [0x10, 1]))
}

/// An answer of gRPC with some of what an environment says.
fn framed(environment: &RuntimeEnvironment) -> Response {
    let mut message = Vec::new();
    let texts = [
        environment.id().to_string(),
        environment.tenant_id().to_string(),
        environment.project_id().to_string(),
        environment.name().to_string(),
        environment.created_at().to_rfc3339(),
    ];
    for (number, text) in (1_u8..).zip(texts) {
        message.extend([number << 3 | 2, u8::try_from(text.len()).unwrap()]);
        message.extend(text.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    ([(CONTENT_TYPE, "application/grpc"), (HeaderName::from_static("grpc-status"), "0")], frame)
        .into_response()
}

async fn call_one(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let Some((id, _)) = asked(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    match found(&shared, id).await {
        Some(found) => framed(&found.aggregate),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn call_protect(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let Some((id, is_protected)) = asked(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    match protected(&shared, id, is_protected).await {
        Ok(after) => framed(&after),
        Err(status) => status.into_response(),
    }
}
