//! How a service and a product are now, as far as is known.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::health::state::{CheckEntry, HealthCheckResult, HealthStatus};
use crate::time::{Span, Timestamp};
use crate::value::ModuleId;

/// How a service is now. Silence is not health: an absent or stale result is Unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", rename_all = "PascalCase")]
pub enum ServiceHealth {
    /// Nothing recent is known.
    Unknown {
        /// Why not.
        why: String,
    },
    /// A recent result tells.
    Known {
        /// How it is believed to be.
        status: HealthStatus,
        /// Since when that is known.
        evaluated_at: Timestamp,
        /// The probes that are not Healthy, in words, worst first, and then why what was found last is not believed yet; empty where all
        /// is well.
        reasons: Vec<String>,
    },
}

impl ServiceHealth {
    /// What the latest result's verdict tells `now`, where a result stays true for `freshness`.
    ///
    /// A result from a clock that runs ahead by more than `freshness` is not believed either.
    pub fn of(latest: Option<&HealthCheckResult>, now: Timestamp, freshness: Span) -> Self {
        let Some(latest) = latest else {
            return Self::Unknown { why: "it was never evaluated".to_string() };
        };
        let (age, lead) = (Span::between(latest.evaluated_at, now), Span::between(now, latest.evaluated_at));
        if age > freshness {
            let why = format!("it was last evaluated {age} ago, and a result stays true for {freshness}");
            return Self::Unknown { why };
        }
        if lead > freshness {
            let why = format!("its last result is from {lead} in the future: a clock is wrong");
            return Self::Unknown { why };
        }
        let status = latest.verdict().status;
        Self::Known { status, evaluated_at: latest.evaluated_at, reasons: reasons(latest) }
    }

    /// How it is, where that is known.
    pub fn status(&self) -> Option<HealthStatus> {
        match self {
            Self::Unknown { .. } => None,
            Self::Known { status, .. } => Some(*status),
        }
    }
}

fn reasons(result: &HealthCheckResult) -> Vec<String> {
    let mut ill: Vec<_> =
        result.entries.iter().filter(|entry| entry.status != HealthStatus::Healthy).collect();
    ill.sort_by_key(|entry| core::cmp::Reverse(entry.counts_as()));
    ill.into_iter()
        .map(|entry| {
            let counted = entry.counts_as();
            let note = if counted == entry.status { "" } else { ", and is not required" };
            let seen = entry.data.get(CheckEntry::SEEN).map(|seen| format!(" ({seen})")).unwrap_or_default();
            match entry.data.get(CheckEntry::DEPENDENCY) {
                Some(chain) => format!("depends on {chain}{note}"),
                None => format!("probe `{}` is {}{seen}{note}", entry.probe, entry.status),
            }
        })
        .chain(unsettled(result))
        .collect()
}

/// Why what was found last is not what is believed.
fn unsettled(result: &HealthCheckResult) -> Option<String> {
    let verdict = result.verdict();
    let many = verdict.contradicted();
    (verdict.status != result.status).then(|| {
        format!(
            "it was found {} last, and only {many} in a row say otherwise than {}",
            result.status, verdict.status
        )
    })
}

/// How a product is, from best to worst.
///
/// Unknown is worse than Healthy, since it may be anything, and better than what is known to be ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProductStatus {
    /// Every service is known to be Healthy.
    Healthy,
    /// Of a service nothing recent is known, and no other is known to be ill.
    Unknown,
    /// A service is Degraded.
    Degraded,
    /// A service is Unhealthy.
    Unhealthy,
}

impl ProductStatus {
    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Unhealthy => "Unhealthy",
        }
    }
}

impl fmt::Display for ProductStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<&ServiceHealth> for ProductStatus {
    fn from(health: &ServiceHealth) -> Self {
        match health.status() {
            None if bug!("green-while-a-child-is-missing") => Self::Healthy,
            None => Self::Unknown,
            Some(HealthStatus::Healthy) => Self::Healthy,
            Some(HealthStatus::Degraded) => Self::Degraded,
            Some(HealthStatus::Unhealthy) => Self::Unhealthy,
        }
    }
}

/// Why a product is not Healthy: one of its services, and what leads to its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReason {
    /// The service's module.
    pub module: ModuleId,
    /// How the service counts.
    pub status: ProductStatus,
    /// What leads to it, nearest cause first.
    pub because: Vec<String>,
}

/// How a product is: the worst of its services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductHealth {
    /// The worst of its services; Unknown where it has none.
    pub status: ProductStatus,
    /// Every service that is not Healthy, worst first.
    pub reasons: Vec<HealthReason>,
}

impl ProductHealth {
    /// The whole chain in words, of a product by this name: `shop is Degraded: web is Degraded: depends on db, which is Unhealthy: …`.
    pub fn explain(&self, product: &str) -> String {
        let mut text = format!("{product} is {}", self.status);
        let causes = self
            .reasons
            .iter()
            .map(|reason| format!("{} is {}: {}", reason.module, reason.status, reason.because.join(", ")));
        for (number, cause) in causes.enumerate() {
            text.push_str(if number == 0 { ": " } else { "; " });
            text.push_str(&cause);
        }
        text
    }

    /// The worst of these services.
    pub fn of<'s>(services: impl IntoIterator<Item = (&'s ModuleId, &'s ServiceHealth)>) -> Self {
        let mut worst = None;
        let mut reasons = Vec::new();
        for (module, health) in services {
            let status = ProductStatus::from(health);
            worst = worst.max(Some(status));
            if status == ProductStatus::Healthy {
                continue;
            }
            let because = match health {
                ServiceHealth::Unknown { why } => [why.clone()].into(),
                ServiceHealth::Known { reasons, .. } => reasons.clone(),
            };
            reasons.push(HealthReason { module: module.clone(), status, because });
        }
        reasons.sort_by(|one, other| (other.status, &one.module).cmp(&(one.status, &other.module)));
        // A product without services is not known to be well.
        Self { status: worst.unwrap_or(ProductStatus::Unknown), reasons }
    }
}
