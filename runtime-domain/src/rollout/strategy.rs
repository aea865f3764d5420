//! Strategies and their parameters.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::rollout::plan::Hold;
use crate::time::Span;
use crate::value::Percent;

/// How new revisions replace old ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentStrategy {
    /// Instance by instance, each batch gated on health.
    RollingHealthGated(Rolling),
    /// The new revision beside the old, then all traffic at once.
    BlueGreen(BlueGreen),
    /// Traffic moves in weighted steps, each judged.
    Canary(Canary),
}

impl DeploymentStrategy {
    /// The strategy's name, as in spec.md §2.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RollingHealthGated(_) => "RollingHealthGated",
            Self::BlueGreen(_) => "BlueGreen",
            Self::Canary(_) => "Canary",
        }
    }
}

/// Rolling: at no time are fewer than `replicas - max_unavailable` instances ready, nor more than `replicas + max_surge` present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rolling {
    /// How many instances more than wanted may exist.
    #[serde(default = "Rolling::one")]
    pub max_surge: u16,
    /// How many instances fewer than wanted may be ready.
    #[serde(default)]
    pub max_unavailable: u16,
}

impl Rolling {
    const fn one() -> u16 {
        1
    }
}

impl Default for Rolling {
    fn default() -> Self {
        Self { max_surge: 1, max_unavailable: 0 }
    }
}

/// Blue/green: provision in full, switch, bake, retire the old one later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlueGreen {
    /// How long the new revision serves everything before it is judged good; the gates of [`GatePoint::DuringTraffic`](crate::rollout::GatePoint)
    /// are evaluated meanwhile.
    #[serde(default)]
    pub bake: Span,
    /// How long the old revision stays at full capacity after that, for a fast way back.
    #[serde(default)]
    pub retirement_delay: Span,
}

/// Canary: the new revision is provisioned in full, then given more and more traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The steps, with weights that rise strictly between 0% and 100%. The step to 100% follows by itself.
    pub steps: Vec<CanaryStep>,
    /// How long the new revision serves everything before it is judged good.
    #[serde(default)]
    pub bake: Span,
    /// How long the old revision stays at full capacity after that.
    #[serde(default)]
    pub retirement_delay: Span,
}

/// One step of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CanaryStep {
    /// The new revision's share of traffic.
    pub weight: Percent,
    /// How long to stay, at the least: gates may need longer.
    #[serde(default)]
    pub hold: Hold,
}

/// How long a rollout may take, and how much may go wrong, before it rolls back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RolloutLimits {
    /// The whole deployment, approvals and pauses included, from its request. When it has passed, the deployment rolls back.
    pub deadline: Span,
    /// One stage without a gate: from when it began, or was resumed, until what it waits for is observed.
    pub progress_deadline: Span,
    /// A rollback, from its beginning. When it has passed, the deployment ends with what could be restored.
    pub rollback_deadline: Span,
    /// How many restarts of a new revision's instances, summed, make it a failure.
    pub crash_limit: u32,
}

impl Default for RolloutLimits {
    fn default() -> Self {
        Self {
            deadline: Span::from_secs(4 * 3_600),
            progress_deadline: Span::from_secs(600),
            rollback_deadline: Span::from_secs(600),
            crash_limit: 5,
        }
    }
}
