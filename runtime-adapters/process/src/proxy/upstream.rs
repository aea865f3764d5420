//! One instance as the proxy sees it: an address, the requests under way, and connections kept for the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use runtime_domain::component::RevisionId;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What is sent to an instance: the client's body as it comes in, or nothing.
pub(crate) type RequestBody = Either<Incoming, Empty<Bytes>>;

/// How many idle connections are kept to one instance.
const IDLE_LIMIT: usize = 64;
/// How long a connection is kept idle. Shorter than what servers usually allow, so that they seldom close one as it is used.
const IDLE_TIME: Duration = Duration::from_secs(3);
/// How long a connection may take, on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a kept connection may take to be ready for its next request.
const READY_TIMEOUT: Duration = Duration::from_millis(200);

/// An instance that requests can be sent to.
#[derive(Debug)]
pub(crate) struct Upstream {
    revision: RevisionId,
    address: SocketAddr,
    in_flight: AtomicUsize,
    closed: AtomicBool,
    idle: Mutex<Vec<IdleConnection>>,
    emptied: Notify,
    /// Wakes the readiness probe: a request met an instance that did not answer.
    pub(crate) suspected: Notify,
}

#[derive(Debug)]
struct IdleConnection {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A request that counts as under way at an instance for as long as this lives.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Upstream>);

impl Upstream {
    pub(crate) fn new(revision: RevisionId, address: SocketAddr) -> Self {
        Self {
            revision,
            address,
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            idle: Mutex::default(),
            emptied: Notify::new(),
            suspected: Notify::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts a request in, unless the instance drains.
    ///
    /// The request is counted before the look, and [`Upstream::close`] is set before its count is read: whichever comes first, either the
    /// request sees that it is closed or the drain sees the request.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let entered = InFlight(Arc::clone(self));
        (!self.closed.load(Ordering::SeqCst)).then_some(entered)
    }

    /// Lets nobody enter any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Lets nobody enter any more, and returns once the last request has left. Cancellation safe.
    pub(crate) async fn drained(&self) {
        self.close();
        loop {
            let emptied = self.emptied.notified();
            let mut emptied = std::pin::pin!(emptied);
            emptied.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A connection that was kept and can still be used.
    pub(crate) async fn kept(&self) -> Option<SendRequest<RequestBody>> {
        loop {
            let mut kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if kept.since.elapsed() > IDLE_TIME || kept.sender.is_closed() {
                continue;
            }
            if matches!(tokio::time::timeout(READY_TIMEOUT, kept.sender.ready()).await, Ok(Ok(()))) {
                return Some(kept.sender);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.since.elapsed() <= IDLE_TIME && !kept.sender.is_closed());
        if idle.len() < IDLE_LIMIT && !sender.is_closed() && !self.closed.load(Ordering::SeqCst) {
            idle.push(IdleConnection { sender, since: Instant::now() });
        }
    }

    /// A new connection. Nothing was sent where it fails.
    pub(crate) async fn connect(&self) -> std::io::Result<SendRequest<RequestBody>> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        // It ends by itself once its sender is dropped and its exchange is over.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an instance ended early");
            }
        });
        Ok(sender)
    }
}

impl InFlight {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }

    pub(crate) fn revision(&self) -> &RevisionId {
        &self.0.revision
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
