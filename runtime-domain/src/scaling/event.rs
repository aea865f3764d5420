//! What happens to a scaling policy.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::id::{DeploymentId, EnvironmentId, ScalingPolicyId, ServiceId, TenantId};
use crate::scaling::{Findings, PolicySpec, Signal};
use crate::time::Timestamp;
use crate::value::{ModuleId, Replicas};

/// A policy and what it is of, as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyIdentity {
    /// The policy.
    pub scaling_policy_id: ScalingPolicyId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service that it scales.
    pub service_id: ServiceId,
    /// The module that the service is of.
    pub module_id: ModuleId,
}

/// A release that says how a service scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReleaseMark {
    /// The deployment that brought it.
    pub deployment_id: DeploymentId,
    /// The deployment's number for the service's component.
    pub number: u32,
}

/// What a policy brought about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyEffect {
    /// It took effect, as the service's first or after another was retired.
    Applied {
        /// What it says.
        policy: PolicySpec,
        /// The release that says so; none where it was asked for by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<ReleaseMark>,
    },
    /// It took effect in another form.
    Changed {
        /// What it says now.
        policy: PolicySpec,
        /// The release that says so; none where it was asked for by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<ReleaseMark>,
    },
    /// Replicas were added or taken away, as it decided; they were seen.
    Scaled {
        /// How many there were.
        from: u16,
        /// How many there are.
        to: u16,
    },
}

/// Why a policy is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Violation {
    /// More or fewer replicas were seen than it allows, and no rollout was under way.
    OutOfBounds {
        /// How many.
        observed: u16,
        /// The fewest that it allows.
        least: u16,
        /// The most that it allows.
        most: Replicas,
    },
    /// Signals have been Unknown for longer than the fallback's span.
    MetricsMissing {
        /// Which.
        signals: Vec<Signal>,
        /// Since when the first of them.
        since: Timestamp,
    },
    /// More replicas than it allows have been needed for longer than [`SHORT_FOR`](crate::scaling::SHORT_FOR).
    TargetMissed {
        /// The most that it allows.
        most: Replicas,
        /// Since when.
        since: Timestamp,
    },
}

impl Violation {
    /// Which of them it is, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::OutOfBounds { .. } => "out-of-bounds",
            Self::MetricsMissing { .. } => "metrics-missing",
            Self::TargetMissed { .. } => "target-missed",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { observed, least, most } => {
                write!(formatter, "{observed} replicas were seen, and {least} to {most} are allowed")
            }
            Self::MetricsMissing { signals, since } => {
                formatter.write_str("nothing has been known since ")?;
                write!(formatter, "{since} of ")?;
                for (index, signal) in signals.iter().enumerate() {
                    write!(formatter, "{}{signal}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::TargetMissed { most, since } => {
                write!(formatter, "more than {most} replicas have been needed since {since}")
            }
        }
    }
}

/// What happens to a policy. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum ScalingEvent {
    /// The policy took effect, as new or changed, or the replicas changed by it. Published.
    ScalingPolicyApplied {
        /// Which policy.
        #[serde(flatten)]
        identity: PolicyIdentity,
        /// What it brought about.
        effect: PolicyEffect,
    },
    /// The policy is not kept. Published; again where the reason becomes another.
    ScalingPolicyViolated {
        /// Which policy.
        #[serde(flatten)]
        identity: PolicyIdentity,
        /// Why.
        violation: Violation,
    },
    /// The policy is kept again.
    ScalingPolicyKept,
    /// A release serves, and leaves the policy as it is: it says so already, somebody changed it after the release was asked for, or what it
    /// went back to says nothing of it. What earlier releases say comes too late.
    ScalingReleaseFollowed {
        /// Which.
        release: ReleaseMark,
    },
    /// It was evaluated.
    ScalingEvaluated {
        /// What was found and decided.
        findings: Findings,
        /// Why.
        explanation: String,
    },
    /// Something waits for the service, which runs no replica.
    ScalingActivated,
    /// Another number of replicas was seen than before, not yet or not by the policy's doing.
    ReplicasObserved {
        /// How many.
        observed: u16,
    },
    /// The replicas stay as they are.
    ScalingSuspended {
        /// Why.
        reason: String,
    },
    /// It scales again.
    ScalingResumed,
    /// It scales the service no more.
    ScalingPolicyRetired {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for ScalingEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::ScalingPolicyApplied { .. } => "ScalingPolicyApplied",
            Self::ScalingPolicyViolated { .. } => "ScalingPolicyViolated",
            Self::ScalingPolicyKept => "ScalingPolicyKept",
            Self::ScalingReleaseFollowed { .. } => "ScalingReleaseFollowed",
            Self::ScalingEvaluated { .. } => "ScalingEvaluated",
            Self::ScalingActivated => "ScalingActivated",
            Self::ReplicasObserved { .. } => "ReplicasObserved",
            Self::ScalingSuspended { .. } => "ScalingSuspended",
            Self::ScalingResumed => "ScalingResumed",
            Self::ScalingPolicyRetired { .. } => "ScalingPolicyRetired",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::ScalingPolicyApplied { .. } | Self::ScalingPolicyViolated { .. } => Some(1),
            Self::ScalingPolicyKept
            | Self::ScalingReleaseFollowed { .. }
            | Self::ScalingEvaluated { .. }
            | Self::ScalingActivated
            | Self::ReplicasObserved { .. }
            | Self::ScalingSuspended { .. }
            | Self::ScalingResumed
            | Self::ScalingPolicyRetired { .. } => None,
        }
    }
}
