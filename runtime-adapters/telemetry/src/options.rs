//! Where telemetry goes, and how much of it.

use std::fmt;

use runtime_domain::time::Span;
use tracing::level_filters::LevelFilter;

/// How telemetry is exported.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct OtlpOptions {
    /// The receiver's base address, such as `https://collector.example:4318`: `/v1/traces`, `/v1/logs` and `/v1/metrics` are below it.
    pub endpoint: String,
    /// Headers of every request, such as a receiver's key. Their values are shown to nobody.
    pub headers: Vec<(String, String)>,
    /// `service.name`: what the host calls itself.
    pub service: String,
    /// Further attributes of the resource, such as `service.version`, `service.instance.id` or `deployment.environment.name`. Nothing personal.
    pub resource: Vec<(String, String)>,
    /// Whose spans and events are exported: those whose target begins so, from that level on. Without an entry, nothing.
    pub targets: Vec<(String, LevelFilter)>,
    /// The share of traces that begin here and are recorded, from 0 to 1. What began elsewhere is recorded as it was there.
    pub sampled: f64,
    /// Whether passes are exported that changed nothing and did not fail.
    pub idle_passes: bool,
    /// How many spans, and how many log records, may wait to be exported; at least 1.
    pub room: usize,
    /// How many go with one request at the most; at least 1.
    pub batch: usize,
    /// How often spans and log records are exported that fill no batch.
    pub every: Span,
    /// How often metrics are exported.
    pub metrics_every: Span,
    /// How long the receiver may take to answer a request.
    pub timeout: Span,
    /// How often a request is sent at the most, while the receiver cannot be reached or says that it is busy; at least 1.
    pub attempts: u32,
    /// How long exporting what waits may take when the host stops. What is left then is dropped.
    pub flush_within: Span,
}

impl OtlpOptions {
    /// Exports the library's own spans and events from `INFO` on, every trace, to `endpoint`, as `service`.
    pub fn to(endpoint: &str, service: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            headers: Vec::new(),
            service: service.to_owned(),
            resource: Vec::new(),
            targets: ["runtime_", "factory_runtime"].map(|own| (own.to_owned(), LevelFilter::INFO)).into(),
            sampled: 1.0,
            idle_passes: false,
            room: 8_192,
            batch: 512,
            every: Span::from_secs(1),
            metrics_every: Span::from_secs(15),
            timeout: Span::from_secs(10),
            attempts: 3,
            flush_within: Span::from_secs(5),
        }
    }
}

impl fmt::Debug for OtlpOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("OtlpOptions")
            .field("endpoint", &self.endpoint)
            .field("headers", &headers)
            .field("service", &self.service)
            .field("resource", &self.resource)
            .field("targets", &self.targets)
            .field("sampled", &self.sampled)
            .finish_non_exhaustive()
    }
}

/// Why telemetry cannot be exported as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The address is not one.
    #[error(
        "`{endpoint}` is not an address of a receiver: give one such as `https://collector.example:4318`, without a password"
    )]
    Endpoint {
        /// What was given; nothing where it holds a password.
        endpoint: String,
    },
    /// A header cannot be sent.
    #[error("the header `{name}` cannot be sent: a name is a token, a value is visible ASCII")]
    Header {
        /// Its name.
        name: String,
    },
    /// A share that is not one.
    #[error("the share of traces that are recorded is from 0 to 1")]
    Share,
    /// The client cannot be made.
    #[error("the client for OTLP cannot be made: look at the system's trusted certificates")]
    Client(#[source] reqwest::Error),
}
