//! What a story asks of a scaling policy. Times are in seconds, quantities in millionths.

/// What a policy is to say. Not all of it need be legal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Where the service runs: 0 processes, 1 Kubernetes, 2 Container Apps, 3 Functions, 4 App Service.
    pub target: u8,
    /// The fewest replicas.
    pub least: u16,
    /// The most replicas.
    pub most: u16,
    /// What each metric leads to.
    pub rules: Vec<MetricRule>,
    /// What the error budget leads to.
    pub budget: Option<BudgetRule>,
    /// How far a metric may be from its threshold, in percent.
    pub tolerance: u8,
    /// The window for scaling out.
    pub window_out: u32,
    /// The window for scaling in.
    pub window_in: u32,
    /// The cooldown.
    pub cooldown: u32,
    /// How far a period may scale out.
    pub limit_out: Option<Limit>,
    /// How far a period may scale in.
    pub limit_in: Option<Limit>,
    /// After how long without a metric the fallback holds.
    pub fallback_after: u32,
    /// How many replicas there are to be then.
    pub fallback: Fallback,
}

/// What a metric leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricRule {
    /// Which metric: 0 processor, 1 memory, 2 queue, 3 requests.
    pub metric: u8,
    /// How much of it one replica is to carry.
    pub threshold: i64,
    /// Whether it takes no replica away.
    pub is_out_only: bool,
    /// How much it takes to start the first replica.
    pub activation: i64,
    /// When a reading is believed.
    pub trust: Trust,
}

/// What it takes for a reading to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// How old it may be.
    pub freshness: u32,
    /// On how many samples it must rest.
    pub samples: u64,
}

/// What an error budget leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetRule {
    /// From which burn rate on.
    pub burn_rate: i64,
    /// The short stretch.
    pub short: u32,
    /// The long stretch.
    pub long: u32,
    /// How many replicas are added, in percent.
    pub step: u8,
    /// When a reading is believed.
    pub trust: Trust,
}

/// How far one period may scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many replicas.
    pub replicas: Option<u16>,
    /// So many percent.
    pub percent: Option<u16>,
    /// How long a period is.
    pub period: u32,
}

/// How many replicas there are to be while nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// As many as there are.
    Current,
    /// So many.
    Static(u16),
    /// So many, or more where there are more.
    IfHigher(u16),
    /// So many, or fewer where there are fewer.
    IfLower(u16),
}

/// Whose environment a policy is asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The tenant's own.
    Own,
    /// The evidence is of another tenant's.
    OtherTenant,
    /// The evidence is of another environment.
    OtherEnvironment,
    /// Another tenant asks, and shows an environment of its own.
    Another,
}

/// How many replicas are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// As many as the policy wants; else as before.
    Wanted,
    /// Half of the way to what it wants.
    HalfWay,
    /// As many as before; where none were seen, as few as it allows, and at least one.
    Same,
    /// So many.
    Exactly(u16),
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// So many percent of what the replicas that are there are to carry, and so many millionths more. Without a rule, of 50 each.
    Load {
        /// In percent.
        percent: u16,
        /// In millionths.
        more: i8,
    },
    /// So many millionths.
    Exactly(i64),
}

impl Level {
    /// In millionths, where each of so many replicas is to carry `threshold`.
    pub fn micros(self, threshold: i64, replicas: u16) -> i64 {
        match self {
            Self::Load { percent, more } => {
                let whole = i128::from(threshold) * i128::from(replicas.max(1)) * i128::from(percent);
                i64::try_from(whole / 100 + i128::from(more)).unwrap_or(i64::MAX)
            }
            Self::Exactly(micros) => micros,
        }
    }
}

/// What a metric source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It was not asked.
    Absent,
    /// It has nothing.
    Missing,
    /// A value.
    Measured {
        /// How much.
        level: Level,
        /// How old the value is; negative where it is from the future.
        age: i32,
        /// On how many samples it rests.
        samples: u64,
    },
}

/// What one evaluation is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// How many replicas there are.
    pub count: Count,
    /// How many of them are not ready; negative where more are ready than there are.
    pub unready: i16,
    /// What was read of each metric: processor, memory, queue, requests.
    pub metrics: [Reading; 4],
    /// How fast the error budget burns, over the short stretch and the long one; nothing where it was not asked.
    pub burn: Option<[Reading; 2]>,
    /// How many replicas a rollout holds.
    pub floor: Option<u16>,
    /// How many dependencies have an open circuit.
    pub circuits: u8,
    /// The most replicas that the tenant's quota has room for, where it is counted.
    pub room: Option<u16>,
}

/// One thing that is asked of a scaling policy, or reported to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScalingPlan {
    /// Apply it, or the same again.
    Apply {
        /// Whose environment it is.
        whose: Whose,
        /// Which module.
        module: u8,
        /// What it says.
        terms: Terms,
    },
    /// It is to say something else.
    Change(Terms),
    /// A release serves that says how it scales.
    Release {
        /// Whose surface is shown for it.
        whose: Whose,
        /// Of which module.
        module: u8,
        /// The deployment's number.
        number: u8,
        /// How many seconds ago it was asked for.
        ago: u16,
        /// What it says.
        terms: Terms,
    },
    /// The replicas stay as they are.
    Suspend {
        /// Why.
        reason: String,
    },
    /// It scales again.
    Resume,
    /// It is evaluated.
    Evaluate(Look),
    /// So many replicas are seen.
    See(Count),
    /// It scales the service no more.
    Retire {
        /// Why.
        reason: String,
    },
}
