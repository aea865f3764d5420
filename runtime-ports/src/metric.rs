//! Metrics, inbound: what rollout gates judge by.

use async_trait::async_trait;
use runtime_domain::metric::{MetricQuery, MetricReading};

use crate::PortResult;

/// Answers metric queries.
///
/// # Guarantees
/// - A reading covers only the component, the revision and the stretch of time that were asked for.
/// - Where there is no data the answer has no value, no samples and no newest data; it is never zero instead. So it is where the stretch is empty or ends
///   before it begins, which may be refused as [`Invalid`](crate::PortErrorKind::Invalid) too.
/// - A value is in its metric's unit and not negative, a share is at most 1. It rests on at least one sample, and the newest lies within the stretch.
/// - Asking changes nothing, and a question may be dropped.
///
/// # Errors
/// [`Unsupported`](crate::PortErrorKind::Unsupported) for a metric that it does not know. An error is never taken for a verdict.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait MetricSource: Send + Sync + 'static {
    /// Reads one metric.
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading>;
}
