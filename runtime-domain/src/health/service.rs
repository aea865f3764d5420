//! How a service is, by its newest results.

use alloc::vec::Vec;

use serde::Serialize;

use crate::health::{CheckEntry, EvaluationWindow, HealthCheckResult, HealthStatus};
use crate::id::ServiceId;
use crate::time::{Span, Timestamp};

/// How a service is. Unknown is a value of its own: no path leads from no data, or old data, to Healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "knowledge", rename_all = "kebab-case")]
#[must_use = "an unknown health is not a healthy one"]
pub enum ServiceHealth {
    /// Nothing fresh is known.
    Unknown {
        /// The service.
        service: ServiceId,
        /// Why.
        cause: UnknownHealth,
    },
    /// The newest result is fresh.
    Known {
        /// The service.
        service: ServiceId,
        /// How it is.
        status: HealthStatus,
        /// Since when it is so without a break: from the window of the first of the unbroken results that were given.
        since: Timestamp,
        /// When it was evaluated last.
        evaluated_at: Timestamp,
        /// The window of the newest result.
        evaluation_window: EvaluationWindow,
        /// What the probes found then.
        entries: Vec<CheckEntry>,
    },
}

/// Why nothing fresh is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum UnknownHealth {
    /// There is no result.
    NeverEvaluated,
    /// The newest result is too old. What it says is not how the service is.
    Stale {
        /// What it said.
        last: HealthStatus,
        /// Of when.
        window_end: Timestamp,
    },
}

impl ServiceHealth {
    /// How `service` is at `now`, by its newest results in any order; results of other services do not count.
    ///
    /// A result is fresh while its window ended no longer than `freshness` ago. A longer gap between results ends the stretch that
    /// [`Known::since`](ServiceHealth::Known::since) tells: nobody knows how the service was meanwhile.
    pub fn of<'r>(
        service: ServiceId,
        results: impl IntoIterator<Item = &'r HealthCheckResult>,
        freshness: Span,
        now: Timestamp,
    ) -> Self {
        let mut results: Vec<&HealthCheckResult> =
            results.into_iter().filter(|result| result.service_id() == service).collect();
        results.sort_by_key(|result| result.evaluation_window().end());
        let Some((newest, older)) = results.split_last() else {
            return Self::Unknown { service, cause: UnknownHealth::NeverEvaluated };
        };
        let window = newest.evaluation_window();
        let status = newest.health_status();
        if Span::between(window.end(), now) > freshness {
            let cause = UnknownHealth::Stale { last: status, window_end: window.end() };
            return Self::Unknown { service, cause };
        }
        let since = older
            .iter()
            .rev()
            .map(|result| (result.health_status(), result.evaluation_window()))
            .take_while(|(older, _)| *older == status)
            .map(|(_, window)| window)
            .try_fold(window.start(), |since, window| {
                if Span::between(window.end(), since) > freshness {
                    Err(since)
                } else {
                    Ok(since.min(window.start()))
                }
            })
            .unwrap_or_else(|since| since);
        Self::Known {
            service,
            status,
            since,
            evaluated_at: newest.evaluated_at(),
            evaluation_window: window,
            entries: newest.entries().to_vec(),
        }
    }

    /// The service.
    pub fn service(&self) -> ServiceId {
        match self {
            Self::Unknown { service, .. } | Self::Known { service, .. } => *service,
        }
    }

    /// How it is, where that is known.
    pub fn status(&self) -> Option<HealthStatus> {
        match self {
            Self::Unknown { .. } => None,
            Self::Known { status, .. } => Some(*status),
        }
    }
}
