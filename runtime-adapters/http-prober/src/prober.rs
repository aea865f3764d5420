//! The prober.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::time::Span;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::address::{Address, Host};
use crate::allow_list::AllowList;
use crate::exchange::exchange;

const OPERATION: &str = "prober.probe";

/// How many probes run at once unless said otherwise.
const USUALLY_IN_FLIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Sends health probes over HTTP/1.1 to allow-listed destinations. Cheap to clone; clones share their places in flight.
///
/// The crate's documentation lists guarantees and limits.
#[derive(Clone)]
pub struct HttpProber {
    allow_list: Arc<AllowList>,
    resolver: Arc<dyn Resolver>,
    places: Arc<Semaphore>,
    most_in_flight: NonZeroU32,
}

impl HttpProber {
    /// A prober that goes where `allow_list` lets it, with at most 256 probes in flight.
    pub fn new(allow_list: AllowList) -> Self {
        Self::with_resolver(allow_list, SystemResolver)
    }

    fn with_resolver(allow_list: AllowList, resolver: impl Resolver) -> Self {
        Self {
            allow_list: Arc::new(allow_list),
            resolver: Arc::new(resolver),
            places: places(USUALLY_IN_FLIGHT),
            most_in_flight: USUALLY_IN_FLIGHT,
        }
    }

    /// The same prober with at most `most` probes in flight at once. A probe that finds no free place waits as long as its own time-out,
    /// then answers [`Exhausted`](PortErrorKind::Exhausted): it has learnt nothing about the workload.
    #[must_use]
    pub fn with_most_in_flight(self, most: NonZeroU32) -> Self {
        Self { places: places(most), most_in_flight: most, ..self }
    }

    /// Resolves the address once, and gives only what has been checked.
    async fn checked(&self, address: &Address) -> PortResult<Result<Vec<SocketAddr>, &'static str>> {
        let denied = |why: String| PortError::new(PortErrorKind::Denied, OPERATION, why);
        let name = match &address.host {
            Host::Literal(literal) => {
                let literal = self.allow_list.allows_literal(*literal).map_err(denied)?;
                return Ok(Ok(vec![SocketAddr::new(literal, address.port)]));
            }
            Host::Name(name) => name,
        };
        self.allow_list.allows_name(name).map_err(denied)?;
        let Ok(resolved) = self.resolver.resolve(name, address.port).await else {
            return Ok(Err("the name cannot be resolved"));
        };
        let checked = resolved.iter().map(|found| {
            self.allow_list.allows_resolved(name, found.ip()).map(|ip| SocketAddr::new(ip, address.port))
        });
        Ok(Ok(checked.collect::<Result<_, _>>().map_err(|why| denied(format!("host `{name}`: {why}")))?))
    }
}

fn places(most: NonZeroU32) -> Arc<Semaphore> {
    let most = usize::try_from(most.get()).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
}

impl fmt::Debug for HttpProber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpProber")
            .field("allow_list", &self.allow_list)
            .field("most_in_flight", &self.most_in_flight)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HealthProber for HttpProber {
    async fn probe(&self, request: &ProbeRequest) -> PortResult<ProbeAnswer> {
        let invalid = |message: String| PortError::new(PortErrorKind::Invalid, OPERATION, message);
        let address = Address::parse(&request.address).ok_or_else(|| {
            invalid(
                "the probe's address is not `host:port`: write a name or an address, then a port from 1"
                    .to_owned(),
            )
        })?;
        if request.timeout.is_zero() {
            return Err(invalid("the probe's time-out is zero: give it at least a millisecond".to_owned()));
        }
        let limit = request.timeout.to_std();
        let place = timeout(limit, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(PortError::new(
                PortErrorKind::Exhausted,
                OPERATION,
                format!("{} probes are in flight already: try later, or allow more", self.most_in_flight),
            ));
        };
        let started = Instant::now();
        let exchanged = timeout(limit, async {
            match self.checked(&address).await? {
                Ok(addresses) => Ok(exchange(&addresses, &address.authority(), &request.path).await),
                Err(silence) => Ok(Err(silence)),
            }
        });
        match exchanged.await {
            Ok(Ok(Ok(status))) => Ok(ProbeAnswer::Answered { status, latency: elapsed(started) }),
            Ok(Ok(Err(silence))) => Ok(ProbeAnswer::Silent { reason: silence.to_owned() }),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Ok(ProbeAnswer::Silent { reason: format!("no complete answer within {}", request.timeout) })
            }
        }
    }
}

fn elapsed(started: Instant) -> Span {
    Span::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Finds the addresses of a name.
#[async_trait]
trait Resolver: Send + Sync + 'static {
    async fn resolve(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, port)).await?.collect())
    }
}

#[cfg(test)]
mod tests;
