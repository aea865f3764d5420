//! How much is taken from callers, how long anything may take, and whether people get a page.

use std::time::Duration;

/// How much the router takes. The defaults suit operators and pipelines. How many requests there may be, [`runtime_api::AdmissionOptions`]
/// says for every wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpOptions {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// How deep a body may nest.
    pub body_depth: usize,
    /// How long a request may take, from its head to its answer. Streams may take as long as the caller's credentials last.
    pub request_timeout: Duration,
    /// How often a stream on which nothing happens says that it is there.
    pub stream_heartbeat: Duration,
    /// Whether the Runtime Centre, a page for people, is served at `/centre`. It asks as its reader, who brings credentials.
    pub centre: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            body_depth: 32,
            request_timeout: Duration::from_secs(30),
            stream_heartbeat: Duration::from_secs(15),
            centre: true,
        }
    }
}
