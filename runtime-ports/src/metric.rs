//! Metrics, inbound: what rollout gates judge by.

use async_trait::async_trait;
use runtime_domain::metric::{MetricQuery, MetricReading};

use crate::PortResult;

/// Answers metric queries.
///
/// Guarantees: a reading covers only the revision and the stretch of time that were asked for. Where there is no data the
/// answer has no value and no samples; it is never zero instead.
///
/// Errors: [`Unsupported`](crate::PortErrorKind::Unsupported) for a metric it does not know. An error is never taken for a verdict.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait MetricSource: Send + Sync + 'static {
    /// Reads one metric.
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading>;
}
