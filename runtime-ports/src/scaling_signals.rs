//! What services are scaled by: how much there is to do, and how much of what they have they use.

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::scaling::{BurnReading, Reading, ScalingMetric};
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::time::{Span, Timestamp};

use crate::PortResult;

/// Asks how much of one metric there is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalQuery {
    /// The component.
    pub key: ComponentKey,
    /// Where it runs.
    pub target: SurfaceKind,
    /// The revision that serves. What waits outside of the replicas, as in a queue, is the component's as a whole.
    pub revision: RevisionId,
    /// What.
    pub metric: ScalingMetric,
    /// The present time.
    pub at: Timestamp,
}

/// Asks how fast the error budget of a component's objective burns over two stretches of time that end now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurnQuery {
    /// The component.
    pub key: ComponentKey,
    /// Where it runs.
    pub target: SurfaceKind,
    /// The revision that serves.
    pub revision: RevisionId,
    /// The short stretch.
    pub short: Span,
    /// The long stretch.
    pub long: Span,
    /// The present time.
    pub at: Timestamp,
}

/// A source of signals. A host may have several: each question goes to the first that does not answer
/// [`Unsupported`](crate::PortErrorKind::Unsupported).
///
/// # Guarantees
/// - A reading says when the newest data that went into it was measured, and on how many samples it rests.
/// - No data is [`Reading::Missing`] with the reason, never a value. Zero is answered where it is known that there is nothing to do: the source
///   has been watching for the whole stretch that it measures over.
///
/// # Errors
/// [`Unsupported`](crate::PortErrorKind::Unsupported) for a metric, a target or an objective that it does not know. Any error is no
/// data: it takes no replica away.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ScalingSignals: Send + Sync + 'static {
    /// Reads one metric, in its unit.
    async fn signal(&self, query: &SignalQuery) -> PortResult<Reading>;

    /// Reads how fast the error budget burns.
    async fn burn(&self, query: &BurnQuery) -> PortResult<BurnReading>;

    /// Returns once something waits for a component that runs no replica, with every such component. What waits still is told again at
    /// the next call, so callers pause between calls; a source of nothing that waits never returns. Cancellation safe.
    async fn waiting(&self) -> Vec<ComponentKey>;
}
