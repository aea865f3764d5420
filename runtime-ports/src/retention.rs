//! How what is kept for a time goes again.

use async_trait::async_trait;
use runtime_domain::time::Timestamp;

use crate::PortResult;

/// What a step of pruning came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many things were removed.
    pub removed: u64,
    /// Whether older ones may be left: call again.
    pub goes_on: bool,
}

/// Removes what is older than a time, of all tenants, step by step.
///
/// # Guarantees
/// - Exactly what is older goes: what is from `before` itself stays. Times are compared in whole microseconds, rounded down.
/// - A step removes at most `most` things one by one (at least 1), so that it holds nobody up for long; whole stretches of time that a
///   store can drop at once do not count.
/// - Killed in the middle, a step has removed some things and left the others whole; the next one goes on.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Pruner: Send + Sync {
    /// Performs one step.
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned>;
}
