//! What is asked of deployments, and of promotions.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::component::ImageDigest;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::id::{DeploymentId, EnvironmentId};
use runtime_domain::rollout::{GateStatus, Next};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name};
use runtime_services::promotion::{Promotion, Standing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Status;

/// Asks for a list of deployments. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListDeployments {
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

/// Asks for a deployment's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentHistoryRequest {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Agrees to a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApproveDeployment {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The gate.
    pub gate: Name,
}

/// Disagrees: the gate fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RejectDeployment {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The gate.
    pub gate: Name,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Names a deployment, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentReason {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Promotes what serves in an environment to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromoteRelease {
    /// The environment in which it serves.
    pub from_environment_id: EnvironmentId,
    /// The environment to which it is to come.
    pub to_environment_id: EnvironmentId,
    /// Which components; every one that serves there where none is named.
    #[serde(default)]
    pub modules: BTreeSet<ModuleId>,
}

impl PromoteRelease {
    pub(crate) fn into_promotion(self) -> Promotion {
        Promotion { from: self.from_environment_id, to: self.to_environment_id, modules: self.modules }
    }
}

/// How a release stands before an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStanding {
    /// Whether nothing is missing but the approvals, which are given to the deployment.
    pub may_come: bool,
    /// What would come: the image of each component.
    pub images: BTreeMap<ModuleId, ImageDigest>,
    /// What it lacks.
    pub missing: Vec<String>,
    /// When asking again may help by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_again_at: Option<Timestamp>,
    /// How many people must agree to the rollout.
    pub approvals: u16,
    /// Who may agree; anyone with the role where nobody is named.
    pub approvers: Vec<String>,
}

impl PromotionStanding {
    pub(crate) fn of(standing: Standing) -> Self {
        Self {
            may_come: standing.may_come(),
            missing: standing.missing.iter().map(ToString::to_string).collect(),
            images: standing.images,
            ask_again_at: standing.ask_again_at,
            approvals: standing.approvals,
            approvers: standing.approvers.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Why a deployment is where it is, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentExplanation {
    /// How far it is.
    pub status: Status,
    /// What happens next.
    pub next: NextStep,
    /// When, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What is worked on, track by track.
    pub working: Vec<Working>,
    /// Why it was last changed.
    pub because: String,
}

/// What happens next with a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NextStep {
    /// It goes on by itself, now.
    GoesOn,
    /// It waits for a time.
    WaitsForTime,
    /// It waits for a person.
    WaitsForPeople,
    /// Nothing: it has ended.
    Ended,
}

/// What is worked on, on one track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeploymentWork")]
pub struct Working {
    /// The component; none where it is the release as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
    /// What is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// What must be seen before the stage ends.
    pub waits_to_see: Vec<String>,
    /// Gates that have no verdict yet.
    pub waits_for_gates: Vec<Name>,
}

impl DeploymentExplanation {
    pub(crate) fn of(deployment: &RuntimeDeployment, because: String, now: Timestamp) -> Self {
        let (next, at) = match deployment.next(now) {
            Next::Act(_) => (NextStep::GoesOn, None),
            Next::Wait(until) => (NextStep::WaitsForTime, Some(until)),
            Next::WaitForPeople => (NextStep::WaitsForPeople, None),
            Next::Done => (NextStep::Ended, None),
        };
        let gates = deployment.gates();
        let working = deployment.work().into_iter().flat_map(|(plan, progress)| {
            progress.active(plan).map(move |(track, stage, _)| {
                let undecided = stage.gates.iter().filter_map(|index| gates.get(usize::from(index.0)));
                let undecided = undecided
                    .filter(|gate| matches!(gate.status, GateStatus::Pending | GateStatus::Evaluating(_)));
                Working {
                    module: track.module().cloned(),
                    change: stage.change.as_ref().map(ToString::to_string),
                    waits_to_see: stage
                        .requires
                        .iter()
                        .chain(&stage.until)
                        .map(ToString::to_string)
                        .collect(),
                    waits_for_gates: undecided.map(|gate| gate.name.clone()).collect(),
                }
            })
        });
        Self { status: deployment.status().into(), next, at, working: working.collect(), because }
    }
}
