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
//!     scaling:
//!       bounds: { target: process, min_replicas: 2, max_replicas: 8 }
//!       rules: [{ metric: cpu-utilization, threshold: "60" }]
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
//! `scaling` is what a scaling policy says, in the words of [`PolicyTerms`](runtime_domain::scaling::PolicyTerms). It comes and goes with the release: the
//! component's policy says it from when the release serves, is made where there is none, and says again what it said where the release is gone back from.
//! A component without `scaling` keeps the policy that it has. How many `replicas` there are is the policy's then: they are only what the component begins
//! with, within the bounds. What is changed by hand stands until the next release that carries `scaling`, and until then is drift of what is desired.
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
