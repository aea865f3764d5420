//! Progress as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderName, Response};
use http_body_util::StreamBody;
use hyper::body::Frame;
use runtime_api::openapi::EVENT_STREAM;
use runtime_api::{Place, Progress, ProgressItem, ProgressKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Goes on after this event.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How many events wait for a client at the most. What lies behind is read when it has taken these.
const WAITING: usize = 16;

/// A stream's answer. It ends when the client goes, the caller's credentials end, the store fails, or the host stops.
pub(crate) fn streamed(
    progress: Progress,
    heartbeat: Duration,
    stop: CancellationToken,
    place: Place,
) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(tell(progress, heartbeat, stop, sender, place));
    let mut response = Response::new(Body::new(StreamBody::new(Frames(receiver))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer would hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

async fn tell(
    mut progress: Progress,
    heartbeat: Duration,
    stop: CancellationToken,
    sender: mpsc::Sender<Bytes>,
    _place: Place,
) {
    // So that a client knows at once that it is let in.
    if sender.send(Bytes::from_static(b": here\n\n")).await.is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sender.closed() => return,
            next = tokio::time::timeout(heartbeat, progress.next()) => next,
        };
        let bytes = match next {
            Ok(Some(Ok(item))) => written(&item),
            // It asks again after the last that it has.
            Ok(Some(Err(_)) | None) => return,
            Err(_) => Bytes::from_static(b": still here\n\n"),
        };
        // A client that takes nothing for so long is let go: what it has not read it asks for again.
        let sent = tokio::time::timeout(heartbeat.saturating_mul(2), sender.send(bytes));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            sent = sent => if !matches!(sent, Ok(Ok(()))) {
                return;
            },
        }
    }
}

/// An event on the wire. Its text has no line break, since JSON escapes them.
fn written(item: &ProgressItem) -> Bytes {
    let id = &item.id;
    Bytes::from(match &item.kind {
        ProgressKind::Happened(event) => {
            let data = serde_json::to_string(&**event).unwrap_or_default();
            format!("id: {id}\nevent: progress\ndata: {data}\n\n")
        }
        ProgressKind::Reset => format!("id: {id}\nevent: reset\ndata: {{}}\n\n"),
    })
}

/// What waits for a client, as a body's frames.
struct Frames(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
