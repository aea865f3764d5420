//! What is asked of scaling policies.

use runtime_domain::id::{EnvironmentId, ScalingPolicyId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_services::scaling::ScalingExplanation as Explained;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyDocument, Status};

/// Asks for a list of policies. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListScalingPolicies {
    /// Only in this environment.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Only of this module.
    #[serde(default)]
    pub module: Option<ModuleId>,
    /// Only with one of these statuses.
    #[serde(default)]
    pub status: Vec<Status>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for a policy's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicyHistoryRequest {
    /// The policy.
    pub scaling_policy_id: ScalingPolicyId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Changes what a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeScalingPolicy {
    /// The policy.
    pub scaling_policy_id: ScalingPolicyId,
    /// What it is to say.
    pub policy: PolicyDocument,
}

/// Names a policy, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicyReason {
    /// The policy.
    pub scaling_policy_id: ScalingPolicyId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Why a policy's service has as many replicas as it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingExplanation {
    /// How the policy is.
    pub status: Status,
    /// What it is violated by, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<String>,
    /// How many replicas were seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_replicas: Option<u16>,
    /// How many there are to be, while that was not seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_replicas: Option<u16>,
    /// When it was last evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<Timestamp>,
    /// Why it decided as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl ScalingExplanation {
    pub(crate) fn of(explained: Explained) -> Self {
        let (evaluated_at, because) = explained.evaluated.unzip();
        Self {
            status: explained.status.into(),
            violation: explained.violation.map(|violation| violation.to_string()),
            observed_replicas: explained.observed,
            wanted_replicas: explained.wanted.map(|wanted| wanted.to),
            evaluated_at,
            because,
        }
    }
}
