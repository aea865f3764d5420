//! What is believed of a service: it changes only after several results in a row say otherwise.
//!
//! Results are facts and say what was found once; a verdict is what they come to. Each boundary, between Healthy and Degraded and between
//! Degraded and Unhealthy, is crossed for itself: downwards after [`Thresholds::fall`] results in a row beyond it, upwards after
//! [`Thresholds::rise`] in a row on its better side. So a service that is Degraded once and Unhealthy twice is believed to be Degraded after
//! three, and Unhealthy only after a third such result.

use core::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::health::state::HealthStatus;

/// How many results in a row change a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// How many in a row that are worse make it worse.
    pub fall: NonZeroU16,
    /// How many in a row that are better make it better.
    pub rise: NonZeroU16,
}

impl Thresholds {
    /// Every result changes the verdict at once.
    pub const NONE: Self = Self { fall: NonZeroU16::MIN, rise: NonZeroU16::MIN };

    /// Worse after so many failures, and better after the usual two successes; a single failure is believed where none is said.
    pub const fn failing_after(fall: u16) -> Self {
        let fall = match NonZeroU16::new(fall) {
            Some(fall) => fall,
            None => NonZeroU16::MIN,
        };
        Self { fall, rise: NonZeroU16::MIN.saturating_add(1) }
    }
}

impl Default for Thresholds {
    /// Worse after three, better after two.
    fn default() -> Self {
        Self::failing_after(3)
    }
}

/// What is believed of a service after a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// How it is believed to be.
    pub status: HealthStatus,
    /// How many of the last results, in a row, say otherwise about whether it is Healthy.
    #[serde(default)]
    pub against_healthy: u16,
    /// How many of the last results, in a row, say otherwise about whether it is Unhealthy.
    #[serde(default)]
    pub against_unhealthy: u16,
}

impl Verdict {
    /// What the first result comes to: there is nothing yet that it could be weighed against.
    pub const fn first(found: HealthStatus) -> Self {
        Self { status: found, against_healthy: 0, against_unhealthy: 0 }
    }

    /// What is believed after the next result. Nothing but a result leads on: what was not found out is no result, and changes nothing.
    #[must_use]
    pub fn after(self, found: HealthStatus, thresholds: Thresholds) -> Self {
        let (is_ill, against_healthy) = latch(
            self.status > HealthStatus::Healthy,
            found > HealthStatus::Healthy,
            self.against_healthy,
            thresholds,
        );
        let (is_out, against_unhealthy) = latch(
            self.status == HealthStatus::Unhealthy,
            found == HealthStatus::Unhealthy,
            self.against_unhealthy,
            thresholds,
        );
        let status = match (is_ill, is_out) {
            (_, true) => HealthStatus::Unhealthy,
            (true, false) => HealthStatus::Degraded,
            (false, false) => HealthStatus::Healthy,
        };
        Self { status, against_healthy, against_unhealthy }
    }

    /// How many of the last results in a row say otherwise, in any respect.
    pub fn contradicted(&self) -> u16 {
        self.against_healthy.max(self.against_unhealthy)
    }

    /// Whether a result that found this can have led here: what differs from the verdict counts against it, and what agrees does not.
    pub(super) fn agrees_with(&self, found: HealthStatus) -> bool {
        let differs = |beyond: HealthStatus| (self.status >= beyond) != (found >= beyond);
        // Whatever is beyond both boundaries counts for the nearer one too.
        let is_nested = match self.status {
            HealthStatus::Healthy => self.against_healthy >= self.against_unhealthy,
            HealthStatus::Degraded => true,
            HealthStatus::Unhealthy => self.against_unhealthy >= self.against_healthy,
        };
        is_nested
            && (self.against_healthy > 0) == differs(HealthStatus::Degraded)
            && (self.against_unhealthy > 0) == differs(HealthStatus::Unhealthy)
    }
}

/// One boundary: whether it is crossed now, and how many in a row say otherwise.
fn latch(is_beyond: bool, found_beyond: bool, against: u16, thresholds: Thresholds) -> (bool, u16) {
    if found_beyond == is_beyond {
        return (is_beyond, 0);
    }
    let needed = if found_beyond { thresholds.fall } else { thresholds.rise };
    match against.saturating_add(1) {
        against if against >= needed.get() => (found_beyond, 0),
        against => (is_beyond, against),
    }
}
