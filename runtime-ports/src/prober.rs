//! Asking a workload over HTTP whether it is well.

use async_trait::async_trait;
use runtime_domain::component::HttpPath;
use runtime_domain::time::Span;

use crate::PortResult;

/// One HTTP GET to one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRequest {
    /// `host:port` as the surface observed it.
    pub address: String,
    /// The path.
    pub path: HttpPath,
    /// How long the whole exchange may take.
    pub timeout: Span,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// A complete answer in time, whatever its status.
    Answered {
        /// The HTTP status.
        status: u16,
        /// How long it took.
        latency: Span,
    },
    /// No complete answer: refused, reset, or out of time. A fact about the workload, not an error of the prober.
    Silent {
        /// What happened, in words: `connection refused`.
        reason: String,
    },
}

/// Sends probes, and only where it is allowed to.
///
/// Guarantees: no request leaves for a destination outside the allow-list, after name resolution and whatever an answer says:
/// redirects are not followed. Loopback and link-local addresses are denied unless granted by name. Bodies are bounded.
///
/// Errors: [`Denied`](crate::PortErrorKind::Denied) for a destination that is not allowed;
/// [`Invalid`](crate::PortErrorKind::Invalid) for an address that does not parse. A silent workload is an answer, not an error.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait HealthProber: Send + Sync + 'static {
    /// Sends one probe.
    async fn probe(&self, request: &ProbeRequest) -> PortResult<ProbeAnswer>;
}
