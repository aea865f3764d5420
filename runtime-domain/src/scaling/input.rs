//! What the autoscaler is told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::reason;
use crate::scaling::{Credence, ScalingMetric};
use crate::time::{Span, Timestamp};
use crate::value::{Measure, ModuleId};

/// What a metric source answered. A reading that is missing says why; it is Unknown, and never zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// A value.
    Measured {
        /// How much, in the metric's unit.
        value: Measure,
        /// When the newest data that went into it was measured.
        observed_at: Timestamp,
        /// How many points it rests on.
        samples: u64,
    },
    /// None.
    Missing {
        /// Why.
        why: String,
    },
}

impl Reading {
    /// The value, where it is to be believed; else why it is Unknown.
    pub(super) fn believed(&self, credence: Credence, now: Timestamp) -> Result<Measure, String> {
        let (value, observed_at, samples) = match self {
            Self::Measured { value, observed_at, samples } => (*value, *observed_at, *samples),
            Self::Missing { why } => return Err(reason::reported(why)),
        };
        let Credence { freshness, least_samples } = credence;
        let (age, lead) = (Span::between(observed_at, now), Span::between(now, observed_at));
        if age > freshness {
            return Err(format!("its reading is {age} old, and is believed for {freshness}"));
        }
        if lead > freshness {
            return Err(format!("its reading is from {lead} in the future: a clock is wrong"));
        }
        if samples < least_samples {
            return Err(format!("it rests on {samples} samples, and {least_samples} are needed"));
        }
        if value.micros() < 0 {
            return Err("its reading is negative".to_string());
        }
        Ok(value)
    }
}

/// How fast an error budget burns over the two stretches of its rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnReading {
    /// Over the short stretch.
    pub short: Reading,
    /// Over the long stretch.
    pub long: Reading,
}

/// A rollout of the service is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutInFlight {
    /// How many replicas of what serves its plan holds at this stage.
    pub floor: u16,
    /// The most replicas of what serves that its plan can go on with, where it changes their number itself. None is added beyond.
    #[serde(default)]
    pub most: Option<u16>,
}

/// All that one evaluation rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// How many replicas of what serves there are, whether ready or not.
    pub current: u16,
    /// How many of them are ready.
    pub ready: u16,
    /// What was read, by metric. A metric that is not here is missing.
    pub readings: BTreeMap<ScalingMetric, Reading>,
    /// How fast the error budget burns; needed where the policy has a rule for it.
    #[serde(default)]
    pub burn: Option<BurnReading>,
    /// The rollout that is under way.
    #[serde(default)]
    pub rollout: Option<RolloutInFlight>,
    /// The service's dependencies whose circuit is open: they answer badly, and more replicas would ask them for more.
    #[serde(default)]
    pub open_circuits: BTreeSet<ModuleId>,
    /// The most replicas that the tenant's quota has room for; `None` where nobody counts (TEN-2).
    #[serde(default)]
    pub room: Option<u16>,
}

impl Input {
    /// So many replicas, all of them ready, of which nothing was read.
    pub fn of(replicas: u16) -> Self {
        Self {
            current: replicas,
            ready: replicas,
            readings: BTreeMap::new(),
            burn: None,
            rollout: None,
            open_circuits: BTreeSet::new(),
            room: None,
        }
    }
}
