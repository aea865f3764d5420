//! Time and identifiers: the only places where they come from.

use async_trait::async_trait;
use runtime_domain::time::Timestamp;
use uuid::Uuid;

/// Tells the time and waits for it.
///
/// Guarantees: none about steadiness. A clock may jump either way; leases stay safe because commits and effects carry fencing
/// tokens, not because clocks agree.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The present time, in UTC.
    fn now(&self) -> Timestamp;
    /// Returns when [`Clock::now`] has reached `deadline`; at once where it already has. Cancellation safe.
    async fn sleep_until(&self, deadline: Timestamp);
}

/// Makes identifiers.
///
/// Guarantees: no two calls on any host give the same. Those of one host sort roughly by time, which keeps a store's keys local.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait IdGenerator: Send + Sync + 'static {
    /// A fresh UUID, version 7 in every shipped adapter.
    fn next(&self) -> Uuid;
}
