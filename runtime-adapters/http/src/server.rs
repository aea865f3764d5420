//! A server for the router, made to stand on a hostile network: everything that a client may keep is bounded in time, number or size.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use runtime_domain::time::Span;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

mod body;
mod connection;
mod stream;
mod tls;

pub use tls::{ClientCertificates, Tls, TlsError};

use connection::Served;

use crate::router::HttpApi;

/// How much of a host's time, memory and sockets clients may keep. The defaults suit a host that a proxy, or nobody, stands before.
///
/// | what a client does | what ends it |
/// |---|---|
/// | connects and says nothing, or little | `head_within`, until the first head is there |
/// | sends a head slowly, or never ends it | `head_within`, `head_bytes`, 100 headers |
/// | sends a body slowly | `body_within` |
/// | does not read what is answered | `stalled_for` |
/// | keeps a connection without asking anything | `idle_for` |
/// | opens many connections | `connections`, `connections_of_one` |
/// | opens many streams of one connection, or resets them | `streams`, and 20 resets that nobody has looked at yet |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Connections at once; the next ones wait to be accepted.
    pub connections: NonZeroU32,
    /// Connections at once from one address; the next ones are closed. Behind a proxy every connection is from its address.
    pub connections_of_one: NonZeroU32,
    /// The longest time for TLS to begin, and for a request's head to come.
    pub head_within: Span,
    /// The longest head, in bytes; at least 8 KiB.
    pub head_bytes: u32,
    /// The longest time for a request's body to come.
    pub body_within: Span,
    /// How long nothing of what is written may be taken, before the connection is given up.
    pub stalled_for: Span,
    /// How long a connection may be open without a request in flight.
    pub idle_for: Span,
    /// Requests in flight at once of one HTTP/2 connection.
    pub streams: NonZeroU32,
    /// How long what is in flight may go on once the server is told to stop.
    pub drain_within: Span,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            connections: number(4_096),
            connections_of_one: number(1_024),
            head_within: Span::from_secs(10),
            head_bytes: 32 * 1_024,
            body_within: Span::from_secs(30),
            stalled_for: Span::from_secs(30),
            idle_for: Span::from_secs(90),
            streams: number(128),
            drain_within: Span::from_secs(20),
        }
    }
}

/// A server of one router on one listener: HTTP/1.1 and HTTP/2, with TLS or without.
///
/// Guarantees: requests carry their [`Peer`](crate::Peer), and their [`ClientCertificate`](crate::ClientCertificate) where TLS has verified one. What one
/// client does ends no other's connection.
#[must_use = "a server serves when it is run"]
pub struct Server {
    listener: TcpListener,
    router: Router,
    options: ServerOptions,
    tls: Option<Tls>,
    /// Whose streams end when the server is told to stop.
    streams: Option<HttpApi>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The host lets everybody in without credentials, and others than this machine could come.
    #[error(
        "{address} is no loopback address, and the host lets everybody in without credentials: listen on 127.0.0.1 or [::1], or choose an \
         authenticator"
    )]
    InsecureOutside {
        /// Where it would have listened.
        address: SocketAddr,
    },
    /// The listener does not say where it listens.
    #[error("the listener cannot tell its address")]
    Listener(#[source] io::Error),
}

impl Server {
    /// A server of the operations, without TLS. When it is told to stop, it ends their streams first.
    ///
    /// # Errors
    /// Everybody is let in without credentials, and the listener is not on loopback.
    pub fn new(listener: TcpListener, api: &HttpApi, options: ServerOptions) -> Result<Self, ServeError> {
        let address = listener.local_addr().map_err(ServeError::Listener)?;
        if api.is_insecure() && !address.ip().is_loopback() {
            return Err(ServeError::InsecureOutside { address });
        }
        let server = Self::of_router(listener, api.router().clone(), options);
        Ok(Self { streams: Some(api.clone()), ..server })
    }

    /// A server of any router, without TLS.
    pub fn of_router(listener: TcpListener, router: Router, options: ServerOptions) -> Self {
        Self { listener, router, options, tls: None, streams: None }
    }

    /// The same with another router: what a host has put together of [`HttpApi::router`] and of what it serves beside that.
    pub fn with_router(self, router: Router) -> Self {
        Self { router, ..self }
    }

    /// The same with TLS.
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` comes, and then until what is in flight has ended, for [`ServerOptions::drain_within`] at most.
    ///
    /// Dropped, it drops its connections.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let (stopping, stopped) = watch::channel(false);
        let places = Arc::new(Semaphore::new(self.options.connections.get() as usize));
        let served = Arc::new(Served { router: self.router, options: self.options.clone(), tls: self.tls });
        let addresses = Addresses::default();
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await.ok()?;
                Some((place, accept(&self.listener).await))
            };
            let (place, (stream, peer)) = tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                accepted = accepted => match accepted {
                    Some(accepted) => accepted,
                    None => break,
                },
            };
            let Some(address) = addresses.enter(peer.ip(), self.options.connections_of_one) else { continue };
            let connection = served.clone().serve(stream, peer, stopped.clone());
            connections.spawn(async move {
                connection.await;
                drop((place, address));
            });
        }
        drop(self.listener);
        if let Some(api) = &self.streams {
            api.end_streams();
        }
        stopping.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(self.options.drain_within.to_std(), drained).await);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("listener", &self.listener)
            .field("options", &self.options)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// The next connection. What fails is a connection's fault, or the lack of a descriptor, which passes.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// How many connections each address has.
#[derive(Debug, Default, Clone)]
struct Addresses(Arc<Mutex<BTreeMap<IpAddr, u32>>>);

/// One connection of an address, until it is dropped.
struct OfAddress {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: NonZeroU32) -> Option<OfAddress> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= most.get() {
            return None;
        }
        *count += 1;
        Some(OfAddress { addresses: self.clone(), address })
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
