//! One request from client to instance and its answer back.
//!
//! Where an event-driven component runs no replica, a request waits for the first, within bounds, and is sent to it then.
//!
//! A request that was never sent (the connection was refused, or a kept one turned out to be closed) goes to another instance, body and
//! all. One that was sent and got no answer is sent again only where that is safe: `GET`, `HEAD`, `OPTIONS` or `TRACE` without a body.
//!
//! While traffic is divided, a safe request that one revision answers with 5xx is asked of another revision too, and the client gets that
//! answer: a canary that fails is seen in its metrics, not by users. Where one revision alone is routed its answers pass as they are.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use runtime_domain::component::RevisionId;
use tokio::time::Instant;

use super::Proxy;
use super::upstream::{InFlight, RequestBody, Upstream};

/// How many instances are tried for one request.
const ATTEMPTS: usize = 4;

/// Headers that concern one connection only, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a client gets back.
pub(crate) type AnswerBody = Either<Answer, Full<Bytes>>;

/// Sends a request to an instance and gives its answer, or says why there is none.
pub(crate) async fn forward(
    proxy: &Arc<Proxy>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    if request.method() == Method::CONNECT {
        return refusal(StatusCode::NOT_IMPLEMENTED, "this endpoint does not open tunnels");
    }
    let started = Instant::now();
    proxy.arrivals.count();
    let head_only = request.method() == Method::HEAD;
    let mut pending = Some(prepared(request, peer));
    let turn = proxy.next_turn();
    let mut tried: Vec<Arc<Upstream>> = Vec::new();
    let mut beside: Option<InFlight> = None;
    let mut was_shielded = false;
    let mut last = None;
    while let Some(request) = pending.take() {
        if tried.len() >= ATTEMPTS {
            break;
        }
        // The table is looked at afresh: an instance may have been replaced since the last attempt.
        let entered = match beside.take().or_else(|| proxy.table().enter(turn, &tried)) {
            Some(entered) => Some(entered),
            None => proxy.woken(turn).await,
        };
        let Some(entered) = entered else { break };
        tried.push(Arc::clone(entered.upstream()));
        let repeatable = repetition(&request);
        let record = Record::new(proxy, entered.revision(), started);
        let exchanged =
            tokio::time::timeout(proxy.limits.answer_timeout, exchange(entered.upstream(), request)).await;
        match exchanged {
            Ok(Ok((response, _)))
                if response.status().is_server_error()
                    && repeatable.is_some()
                    && !was_shielded
                    && shielded(proxy, turn, &entered, &mut beside) =>
            {
                was_shielded = true;
                record.finish(true);
                pending = repeatable;
            }
            Ok(Ok((response, sender))) => {
                return answered(response, head_only, Answering { entered, sender: Some(sender), record });
            }
            Ok(Err(Failure::Unsent(request))) => {
                entered.upstream().suspected.notify_one();
                record.forget();
                pending = Some(*request);
            }
            Ok(Err(Failure::Unanswered)) => {
                entered.upstream().suspected.notify_one();
                last = Some(StatusCode::BAD_GATEWAY);
                record.finish(true);
                pending = repeatable;
            }
            Ok(Err(Failure::ClientLeft)) => {
                record.forget();
                return refusal(StatusCode::BAD_REQUEST, "the request ended before its body did");
            }
            Err(_) => {
                record.finish(true);
                return refusal(StatusCode::GATEWAY_TIMEOUT, "the instance did not answer in time");
            }
        }
    }
    if last.is_none()
        && let Some(revision) = proxy.table().intended(turn)
    {
        Record::new(proxy, revision, started).finish(true);
    }
    match last {
        Some(status) => refusal(status, "the instance ended the connection before it answered"),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "no instance of this component is ready to answer"),
    }
}

/// Finds who else could answer, where another revision is routed.
fn shielded(proxy: &Proxy, turn: u64, entered: &InFlight, beside: &mut Option<InFlight>) -> bool {
    *beside = proxy.table().enter_beside(turn, entered.revision());
    beside.is_some()
}

/// Why there is no answer.
enum Failure {
    /// Nothing of the request was sent; here it is.
    Unsent(Box<Request<RequestBody>>),
    /// It was sent, in part at least, and no answer came.
    Unanswered,
    /// The client's own body broke off.
    ClientLeft,
}

async fn exchange(
    upstream: &Upstream,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, SendRequest<RequestBody>), Failure> {
    let mut fresh = false;
    loop {
        let mut sender = match upstream.kept().await {
            Some(sender) => sender,
            None => {
                fresh = true;
                match upstream.connect().await {
                    Ok(sender) => sender,
                    Err(_) => return Err(Failure::Unsent(Box::new(request))),
                }
            }
        };
        match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, sender)),
            Err(mut error) => match error.take_message() {
                Some(unsent) if fresh => return Err(Failure::Unsent(Box::new(unsent))),
                Some(unsent) => request = unsent,
                None if error.error().is_user() => return Err(Failure::ClientLeft),
                None => return Err(Failure::Unanswered),
            },
        }
    }
}

/// The request as an instance gets it: without what concerns the client's connection, and with where it came from.
fn prepared(request: Request<Incoming>, peer: IpAddr) -> Request<RequestBody> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(header::HOST).cloned().or_else(|| {
        head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
    });
    if let Some(path) = head.uri.path_and_query() {
        head.uri = Uri::from(path.clone());
    }
    head.version = Version::HTTP_11;
    without_hop_by_hop(&mut head.headers);
    // The client's connection answers it.
    head.headers.remove(header::EXPECT);
    let claimed: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| {
            name.as_str().starts_with("x-forwarded-") || matches!(name.as_str(), "forwarded" | "x-real-ip")
        })
        .cloned()
        .collect();
    for name in claimed {
        head.headers.remove(name);
    }
    if let Ok(peer) = HeaderValue::from_str(&peer.to_string()) {
        head.headers.insert(HeaderName::from_static("x-forwarded-for"), peer);
    }
    head.headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("http"));
    if let Some(host) = host {
        head.headers.insert(HeaderName::from_static("x-forwarded-host"), host.clone());
        head.headers.insert(header::HOST, host);
    } else {
        head.headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let body = if body.is_end_stream() { Either::Right(Empty::new()) } else { Either::Left(body) };
    Request::from_parts(head, body)
}

/// The request once more, where sending it twice does no harm.
fn repetition(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let safe = request.method().is_safe() && matches!(request.body(), Either::Right(_));
    safe.then(|| {
        let mut again = Request::new(Either::Right(Empty::new()));
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        again
    })
}

fn without_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn answered(response: Response<Incoming>, head_only: bool, mut answering: Answering) -> Response<AnswerBody> {
    let (mut head, body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        answering.record.finish(true);
        return refusal(StatusCode::BAD_GATEWAY, "the instance changed the protocol without being asked to");
    }
    without_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    answering.record.failed = head.status.is_server_error();
    let mut answer = Answer { body, answering: Some(answering) };
    if head_only || answer.body.is_end_stream() {
        answer.complete();
    }
    Response::from_parts(head, Either::Left(answer))
}

fn refusal(status: StatusCode, reason: &'static str) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(reason.as_bytes()))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What an answer under way holds on to.
struct Answering {
    entered: InFlight,
    sender: Option<SendRequest<RequestBody>>,
    record: Record,
}

/// An instance's answer, streamed. Its request counts as under way until the last byte was passed on.
pub(crate) struct Answer {
    body: Incoming,
    answering: Option<Answering>,
}

impl Answer {
    fn complete(&mut self) {
        if let Some(mut answering) = self.answering.take() {
            if let Some(sender) = answering.sender.take() {
                answering.entered.upstream().keep(sender);
            }
            answering.record.finish(false);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => {
                if let Some(answering) = self.answering.take() {
                    answering.record.finish(true);
                }
            }
            None => self.complete(),
            Some(Ok(_)) if self.body.is_end_stream() => self.complete(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One request's entry in the metrics, made when it is dropped at the latest: a client that leaves early was answered as far
/// as it wished.
struct Record {
    proxy: Arc<Proxy>,
    revision: Option<RevisionId>,
    started: Instant,
    failed: bool,
}

impl Record {
    fn new(proxy: &Arc<Proxy>, revision: &RevisionId, started: Instant) -> Self {
        Self { proxy: Arc::clone(proxy), revision: Some(revision.clone()), started, failed: false }
    }

    /// The request never reached the revision.
    fn forget(mut self) {
        self.revision = None;
    }

    fn finish(mut self, failed: bool) {
        self.failed |= failed;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(revision) = self.revision.take() {
            let now = self.proxy.clock.now();
            self.proxy.metrics.record(&revision, now, self.started.elapsed(), self.failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Of-Hop"),
            ("x-secret-of-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        without_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn only_a_safe_request_without_a_body_is_sent_twice() {
        let request = |method: Method| {
            let mut request = Request::new(Either::Right(Empty::new()));
            *request.method_mut() = method;
            request
        };
        assert!(repetition(&request(Method::GET)).is_some());
        assert!(repetition(&request(Method::POST)).is_none());
    }
}
