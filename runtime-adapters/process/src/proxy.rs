//! The data plane of one component: a reverse proxy that splits traffic between revisions.
//!
//! ```text
//! client ─▶ listener ─▶ forward ─▶ table (swapped whole) ─▶ upstream ─▶ instance
//!                          │                                  │
//!                          └────────▶ metrics ◀───────────────┘
//! ```
//!
//! A request that comes while an event-driven component runs no replica waits in front of the table, and goes on when one is ready.
//!
//! A request takes its route from one table; tables are replaced, never changed. It enters an instance before it is sent, and an
//! instance that drains lets nobody enter, so that an instance is told to stop only once the last request has left it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime_ports::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) mod arrivals;
pub(crate) mod forward;
pub(crate) mod metrics;
pub(crate) mod table;
pub(crate) mod upstream;

use arrivals::Arrivals;
use metrics::Metrics;
use table::{RoutingTable, Sleep};
use upstream::InFlight;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after an accept failed, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What bounds a proxy.
#[derive(Debug, Clone)]
pub(crate) struct ProxyLimits {
    /// How long an instance may take to begin its answer.
    pub(crate) answer_timeout: Duration,
    /// Client connections at a time.
    pub(crate) connections: usize,
    /// Over how long the rate of requests is measured.
    pub(crate) rate_window: Duration,
    /// How requests wait for the first replica, where the component is event-driven.
    pub(crate) activation: Option<ActivationLimits>,
    /// How long requests under way may take once the proxy stops.
    pub(crate) shutdown_grace: Duration,
}

/// What bounds how requests wait for the first replica.
#[derive(Debug, Clone)]
pub(crate) struct ActivationLimits {
    /// How long one waits.
    pub(crate) patience: Duration,
    /// How many wait at a time.
    pub(crate) requests: usize,
    /// Notified when one begins to wait.
    pub(crate) noticed: Arc<Notify>,
}

/// One component's proxy.
pub(crate) struct Proxy {
    /// Who answers in its stead, where another component does.
    stand_in: RwLock<Weak<Self>>,
    table: RwLock<Arc<RoutingTable>>,
    /// Which request this is, counted: the choice of a revision follows from it.
    turn: AtomicU64,
    /// Where it listens now; zero while it does not.
    port: AtomicU16,
    pub(crate) metrics: Metrics,
    pub(crate) arrivals: Arrivals,
    /// Notified when another table is in force.
    replaced: Notify,
    /// How many requests wait for the first replica.
    waiting: AtomicUsize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: ProxyLimits,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("port", &self.port).finish_non_exhaustive()
    }
}

/// A request's place among those that wait.
struct Place<'w>(&'w AtomicUsize);

impl<'w> Place<'w> {
    fn take(waiting: &'w AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::SeqCst) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Proxy {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: ProxyLimits) -> Self {
        Self {
            stand_in: RwLock::new(Weak::new()),
            table: RwLock::default(),
            turn: AtomicU64::new(0),
            port: AtomicU16::new(0),
            metrics: Metrics::default(),
            arrivals: Arrivals::new(limits.rate_window),
            replaced: Notify::new(),
            waiting: AtomicUsize::new(0),
            clock,
            limits,
        }
    }

    /// The table in force.
    pub(crate) fn table(&self) -> Arc<RoutingTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another table in force, for every request from now on.
    pub(crate) fn replace(&self, table: RoutingTable) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.replaced.notify_waiters();
    }

    /// Whether a request waits for the first replica of a component that runs none.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0 && self.table().sleep == Sleep::Asleep
    }

    /// Waits for the first replica and enters it; `None` where the component does not sleep, too many wait already, or none came in time.
    /// Cancellation safe.
    pub(crate) async fn woken(&self, turn: u64) -> Option<InFlight> {
        let limits = self.limits.activation.as_ref()?;
        if self.table().sleep == Sleep::Awake {
            return None;
        }
        let place = Place::take(&self.waiting, limits.requests)?;
        limits.noticed.notify_waiters();
        let entered = async {
            loop {
                let replaced = self.replaced.notified();
                let mut replaced = std::pin::pin!(replaced);
                replaced.as_mut().enable();
                let table = self.table();
                if let Some(entered) = table.enter(turn, &[]) {
                    return Some(entered);
                }
                // It woke and has nobody ready again: as for any component, there is nobody to wait for.
                if table.sleep == Sleep::Awake {
                    return None;
                }
                replaced.await;
            }
        };
        let entered = tokio::time::timeout(limits.patience, entered).await.ok().flatten();
        drop(place);
        entered
    }

    /// Lets another component's proxy answer from the next request on, or this one again.
    pub(crate) fn let_answer(&self, stand_in: Weak<Self>) {
        *self.stand_in.write().unwrap_or_else(PoisonError::into_inner) = stand_in;
    }

    /// Who answers the next request.
    fn answering(self: &Arc<Self>) -> Arc<Self> {
        let stand_in = self.stand_in.read().unwrap_or_else(PoisonError::into_inner).upgrade();
        stand_in.unwrap_or_else(|| Arc::clone(self))
    }

    /// Whether another component's proxy answers.
    pub(crate) fn has_stand_in(&self) -> bool {
        self.stand_in.read().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
    }

    /// Where it listens, while it does.
    pub(crate) fn port(&self) -> Option<u16> {
        Some(self.port.load(Ordering::SeqCst)).filter(|port| *port != 0)
    }

    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes where it is about to be served, so that the endpoint is seen as soon as it is bound.
    pub(crate) fn opened(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }

    /// Serves until `stop`: then no connection is taken any more, and requests under way may finish within the grace.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let cut = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = async {
                    let permit = Arc::clone(&permits).acquire_owned().await.ok();
                    (listener.accept().await, permit)
                } => accepted,
            };
            match accepted {
                (Ok((stream, peer)), permit) => {
                    let connection = Arc::clone(&self).connection(stream, peer, stop.clone(), cut.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.port.store(0, Ordering::SeqCst);
        drop(listener);
        connections.close();
        if tokio::time::timeout(self.limits.shutdown_grace, connections.wait()).await.is_err() {
            cut.cancel();
            connections.wait().await;
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
        cut: CancellationToken,
    ) {
        // Small answers should not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let proxy = Arc::clone(&self);
        let service = service_fn(move |request| {
            let proxy = proxy.answering();
            async move { Ok::<_, std::convert::Infallible>(forward::forward(&proxy, peer.ip(), request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = cut.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a client connection ended early");
        }
    }
}
