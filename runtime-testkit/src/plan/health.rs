//! What a story asks of a health check result.

/// What one probe found. Numbers stand for probes, kinds (0 self, 1 liveness, 2 readiness, 3 dependency) and statuses (0 healthy,
/// 1 degraded, 2 unhealthy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which probe.
    pub probe: u8,
    /// What it asks.
    pub kind: u8,
    /// Whether the service needs it.
    pub is_required: bool,
    /// What it found.
    pub status: u8,
    /// How many bytes of data it told.
    pub data: u16,
}

/// Records one evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPlan {
    /// What the probes found.
    pub entries: Vec<Entry>,
    /// How many seconds before now the window ends; negative in the future.
    pub ended: i64,
    /// How many milliseconds it lasts; where it is none, there is no such window.
    pub lasts: u32,
    /// The status before, if there was a result.
    pub previous: Option<u8>,
}
