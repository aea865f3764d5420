//! Bodies that know their time: a request's must come within it, and while an answer's goes on, its connection is not idle.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body that fails where it does not come in time.
pub(super) struct Timely {
    inner: Incoming,
    /// None where there is no body.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Timely {
    pub(super) fn new(inner: Incoming, within: Duration) -> Self {
        let deadline = (!inner.is_end_stream()).then(|| Box::pin(sleep(within)));
        Self { inner, deadline }
    }
}

impl HttpBody for Timely {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err("the body did not come in time".into())));
        }
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a connection has in flight.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Counted>>);

#[derive(Debug)]
struct Counted {
    in_flight: usize,
    changed: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Counted { in_flight: 0, changed: Instant::now() })))
    }

    /// When the connection will have been idle for so long; `None` while something is in flight.
    pub(super) fn idle_at(&self, span: Duration) -> Option<Instant> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (counted.in_flight == 0).then(|| counted.changed + span)
    }

    pub(super) fn begin(&self) -> InFlight {
        let this = InFlight(self.clone());
        this.count(|in_flight| in_flight + 1);
        this
    }
}

/// One request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Activity);

impl InFlight {
    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut counted = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.in_flight = change(counted.in_flight);
        counted.changed = Instant::now();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count(|in_flight| in_flight.saturating_sub(1));
    }
}

/// An answer's body, with which its request ends.
pub(super) struct Answering {
    inner: Body,
    _in_flight: InFlight,
}

impl Answering {
    pub(super) fn new(inner: Body, in_flight: InFlight) -> Self {
        Self { inner, _in_flight: in_flight }
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
