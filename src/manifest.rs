//! Release manifests in YAML.
//!
//! ```yaml
//! release: shop-2026.11.2
//! strategy:
//!   canary:
//!     steps:
//!       - { weight: 10, hold: { for: 30s } }
//!       - { weight: 50, hold: { for: 30s } }
//!     bake: 1m
//! components:
//!   cart:
//!     image: shop/cart:1.4.2
//!     version: 1.4.2
//!     replicas: 3
//!     readiness: { path: /ready }
//!     depends_on: [catalog]
//!     dependencies:
//!       catalog: {}
//!       adverts: { required: false, http: { url: http://adverts.example/health } }
//!   catalog:
//!     image: shop/catalog:1.4.2
//!     version: 1.4.2
//! gates:
//!   errors:
//!     at: during-traffic
//!     check:
//!       metric: { metric: error-rate, bound: { at-most: "0.01" }, min_samples: 50 }
//! ```
//!
//! `depends_on` is the order of the rollout; `dependencies` is what must be well for the component to be: `cart` is Unhealthy while `catalog`
//! is, and Degraded while the adverts are. A service outside must be on the environment's egress allow-list and on the host's.
//!
//! Every field is documented on [`ReleaseManifest`]. A manifest that is wrong is refused with the line and what is right there.

pub use runtime_ports::manifest::{
    CheckManifest, ComponentManifest, GateManifest, JobManifest, ManifestError, ReleaseManifest,
};

/// Why a text is not a manifest: the line and column, and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ManifestSyntaxError {
    message: String,
    line: Option<u64>,
}

impl ManifestSyntaxError {
    /// The line, from 1, where the parser knows it.
    pub fn line(&self) -> Option<u64> {
        self.line
    }
}

/// Reads a manifest.
///
/// # Errors
/// The text is not YAML, has an unknown or missing field, or a value that breaks its rule; the message names the line.
pub fn parse(yaml: &str) -> Result<ReleaseManifest, ManifestSyntaxError> {
    serde_saphyr::from_str(yaml).map_err(|error| ManifestSyntaxError {
        line: error.location().map(|location| location.line()),
        message: error.render_with_formatter(&serde_saphyr::UserMessageFormatter),
    })
}
