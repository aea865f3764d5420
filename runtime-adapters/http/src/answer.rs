//! How answers and problems are written.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, Response, StatusCode};
use runtime_api::openapi::{JSON, PROBLEM_JSON};
use runtime_api::{Answer, Problem, ProblemKind};
use runtime_domain::id::CorrelationId;

/// Which chain of work an answer belongs to.
pub(crate) const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// Says that the command was done before under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A good answer.
pub(crate) fn answered(answer: Answer, asked: &HeaderMap, correlation: CorrelationId) -> Response<Body> {
    let is_known = answer.etag.as_deref().is_some_and(|etag| knows(asked, etag));
    let status = if is_known {
        StatusCode::NOT_MODIFIED
    } else if answer.is_created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = if is_known { empty(status) } else { json(status, JSON, answer.document) };
    let headers = response.headers_mut();
    put(headers, ETAG, answer.etag.as_deref());
    put(headers, LOCATION, answer.location.as_deref());
    if answer.is_repeated {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    put(headers, CORRELATION, Some(&correlation.to_string()));
    response
}

/// Whether the asker has this revision already.
fn knows(asked: &HeaderMap, etag: &str) -> bool {
    let tags = asked.get_all(axum::http::header::IF_NONE_MATCH).iter();
    let mut tags = tags.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    tags.any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

/// A problem (RFC 9457).
pub(crate) fn refused(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let document = serde_json::to_string(&problem.document()).unwrap_or_default();
    let mut response = json(status, PROBLEM_JSON, document);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.kind() == ProblemKind::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    put(headers, CORRELATION, problem.correlation().map(|id| id.to_string()).as_deref());
    response
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, media_type: &'static str, document: String) -> Response<Body> {
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}
