//! What callers send: the body of each operation, and whole requests with their terms.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use runtime_api::{CallOptions, ProblemDocument};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::hold::{panic_of, text};
use crate::host::{World, is_said};
use crate::waiting::wait;

/// An operation's identifier, a line break, and the request's document. `@env` stands for an environment that is there.
pub fn body(data: &[u8]) -> bool {
    let Some((operation, document)) = text(data).and_then(|text| text.split_once('\n')) else { return false };
    let world = World::anew();
    let document = document.replace("@env", &world.environment);
    let Ok(document) = serde_json::from_str::<Value>(&document) else { return false };
    let asked =
        |options: CallOptions| wait(world.api.call(&world.caller(), operation, document.clone(), options));
    let mut preview = CallOptions::default();
    preview.dry_run = true;
    let mut keyed = CallOptions::default();
    keyed.idempotency_key = Some("once".to_owned());
    let (foreseen, first, again) = (asked(preview), asked(keyed.clone()), asked(keyed));
    for answer in [&foreseen, &first, &again] {
        match answer {
            Ok(answer) => assert!(answer.value().is_object(), "{operation} answers {}", answer.document),
            Err(problem) => is_said(problem, operation),
        }
    }
    // What is asked again under its key is what was asked before, and what was refused left nothing behind.
    assert_eq!(first.is_ok(), again.is_ok(), "{operation}: {first:?}, and again {again:?}");
    let can_preview = world.api.catalogue().operation(operation).is_some_and(|it| it.descriptor().previews);
    if can_preview {
        assert_eq!(foreseen.is_ok(), first.is_ok(), "{operation}: foreseen {foreseen:?}, and then {first:?}");
    }
    first.is_ok()
}

/// A request over HTTP: `METHOD path?query`, headers a line each, an empty line, the body. The caller is known unless a header says otherwise.
pub fn terms(data: &[u8]) -> bool {
    let world = World::anew();
    let Some(request) = request(data, &world) else { return false };
    let asked = format!("{} {}", request.method(), request.uri());
    // Its answer has no body.
    let is_head = request.method() == Method::HEAD;
    let (head, body) = wait(async {
        let response = match world.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(error) => match error {},
        };
        let is_stream = response.headers().get(CONTENT_TYPE).is_some_and(|it| it == "text/event-stream");
        let (head, body) = response.into_parts();
        // A stream has no end.
        let body = if is_stream {
            Vec::new()
        } else {
            body.collect().await.map(|it| it.to_bytes().to_vec()).unwrap_or_default()
        };
        (Response::from_parts(head, ()), body)
    });
    let status = head.status();
    let is_ours = !status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE;
    assert!(is_ours, "{asked} is answered {status}: {}", String::from_utf8_lossy(&body));
    if status.is_client_error() && !is_head {
        let problem = serde_json::from_slice::<ProblemDocument>(&body);
        let Ok(problem) = problem else {
            panic_of(format!("{asked} is refused by {status} without a problem"))
        };
        assert_eq!(problem.status, status.as_u16(), "{asked}");
        assert!(
            !problem.detail.is_empty() && !problem.remedy.is_empty(),
            "{asked}: {problem:?} says nothing"
        );
    }
    if let Some(tag) = head.headers().get(ETAG).filter(|_| asked.contains(" /runtime/")) {
        let is_tag = tag.to_str().is_ok_and(|tag| tag.starts_with("\"r") && tag.ends_with('"'));
        assert!(is_tag, "{asked} is tagged {tag:?}");
    }
    status.is_success()
}

fn request(data: &[u8], world: &World) -> Option<Request<Body>> {
    let text = text(data)?.replace("@env", &world.environment);
    let (head, body) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let target: Uri = target.parse().ok()?;
    let mut request = Request::new(Body::from(body.to_owned()));
    (*request.method_mut(), *request.uri_mut()) = (method, target);
    let headers = request.headers_mut();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
    }
    if !headers.contains_key(AUTHORIZATION) {
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", world.run)).ok()?);
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Some(request)
}
