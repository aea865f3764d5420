//! What a host keeps for a time beside the aggregates, and how long.

use std::sync::Arc;

use runtime_domain::time::Span;
use runtime_ports::artifacts::ArtifactStore;
use runtime_ports::health_results::HealthResultStore;
use runtime_ports::snapshots::SnapshotStore;
use runtime_ports::{PortError, PortErrorKind, PortResult};

/// Where what is kept for a time goes. A host may leave out any of them: what it would keep is then not kept.
#[derive(Clone, Default)]
pub struct Records {
    /// Every health evaluation, for those who look back.
    pub health_results: Option<Arc<dyn HealthResultStore>>,
    /// What was observed, and when.
    pub snapshots: Option<Arc<dyn SnapshotStore>>,
    /// Step logs, plans, evidence.
    pub artifacts: Option<Arc<dyn ArtifactStore>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Records")
            .field("health_results", &self.health_results.is_some())
            .field("snapshots", &self.snapshots.is_some())
            .field("artifacts", &self.artifacts.is_some())
            .finish()
    }
}

/// A store that was chosen, or which builder's method chooses one.
pub(crate) fn chosen<'s, S: ?Sized>(
    store: Option<&'s Arc<S>>,
    operation: &'static str,
    method: &str,
) -> PortResult<&'s Arc<S>> {
    store.ok_or_else(|| {
        let message = format!("this host keeps none: choose a store with `RuntimeBuilder::{method}`");
        PortError::new(PortErrorKind::Unsupported, operation, message)
    })
}

/// How long what is kept is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// For how long after it was evaluated a health result is kept. Default: 30 days.
    pub health_results: Span,
    /// For how long after it was last seen a snapshot is kept. Default: 30 days.
    pub snapshots: Span,
    /// For how long after it was stored an artifact is kept. Default: 90 days.
    pub artifacts: Span,
    /// How often what is older is removed. Default: every 10 minutes.
    pub every: Span,
}

/// A day.
const DAY: Span = Span::from_secs(86_400);

impl Default for Retention {
    fn default() -> Self {
        Self {
            health_results: DAY.times(30),
            snapshots: DAY.times(30),
            artifacts: DAY.times(90),
            every: Span::from_secs(600),
        }
    }
}
