//! How much is taken from callers.

use std::time::Duration;

/// How much the services take. The defaults suit operators and pipelines. How many calls there may be, [`runtime_api::AdmissionOptions`]
/// says for every wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcOptions {
    /// The largest message, in bytes.
    pub message_bytes: usize,
    /// How many fields a message may have, those of its parts and the items of its lists included: each costs memory, however short it is.
    pub message_fields: usize,
    /// How long a call may take. A caller who says less is taken at its word.
    pub timeout: Duration,
    /// Whether whoever reaches the host may ask it for its contract. It holds nothing of any tenant.
    pub reflection: bool,
    /// How often those who watch the host's health make it look, at the most.
    pub health_period: Duration,
    /// How many may watch the host's health at once: they need no credentials.
    pub health_watchers: usize,
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            message_fields: 50_000,
            timeout: Duration::from_secs(30),
            reflection: true,
            health_period: Duration::from_secs(5),
            health_watchers: 64,
        }
    }
}
