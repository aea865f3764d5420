//! Deployments.

use std::collections::BTreeMap;

use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::deployment::{
    DeploymentState, DeploymentStatus, DeploymentStep, PauseCause, Purpose, RuntimeDeployment, StepStatus,
};
use runtime_domain::id::{ConfigurationId, DeploymentId, EnvironmentId, TenantId};
use runtime_domain::rollout::{
    GateCheck, GatePoint, GateStatus, HealthGate, Hold, RolloutPlan, Segment, SegmentKind, Stage,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name, Revision};
use runtime_services::deployments::Exceptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::millis;
use crate::document::releases::{Check, ReleaseDocument};

mod requests;

pub use requests::{
    ApproveDeployment, DeploymentExplanation, DeploymentHistoryRequest, DeploymentReason, ListDeployments,
    NextStep, PromoteRelease, PromotionStanding, RejectDeployment, Working,
};

/// Asks for a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestDeployment {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// What to roll out.
    pub release: ReleaseDocument,
    /// Why it cannot wait until the environment's calendar opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
    /// Why an image may come again that the environment went back from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_hold: Option<String>,
}

impl RequestDeployment {
    pub(crate) fn exceptions(&self) -> Exceptions {
        Exceptions { break_glass: self.break_glass.clone(), release_hold: self.release_hold.clone() }
    }
}

/// Names a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentRequest {
    /// The deployment.
    pub deployment_id: DeploymentId,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "DeploymentStatus")]
pub enum Status {
    /// Asked for; no workload was touched yet.
    Requested,
    /// It goes forward.
    InProgress,
    /// It waits for a person.
    Paused,
    /// It goes back.
    RollingBack,
    /// It ended well.
    Completed,
    /// What served before serves again.
    RolledBack,
    /// It ended before a workload was touched.
    Rejected,
    /// It could not go back.
    Failed,
}

impl Status {
    pub(crate) const fn stored(self) -> DeploymentStatus {
        match self {
            Self::Requested => DeploymentStatus::Requested,
            Self::InProgress => DeploymentStatus::InProgress,
            Self::Paused => DeploymentStatus::Paused,
            Self::RollingBack => DeploymentStatus::RollingBack,
            Self::Completed => DeploymentStatus::Completed,
            Self::RolledBack => DeploymentStatus::RolledBack,
            Self::Rejected => DeploymentStatus::Rejected,
            Self::Failed => DeploymentStatus::Failed,
        }
    }
}

impl From<DeploymentStatus> for Status {
    fn from(status: DeploymentStatus) -> Self {
        match status {
            DeploymentStatus::Requested => Self::Requested,
            DeploymentStatus::InProgress => Self::InProgress,
            DeploymentStatus::Paused => Self::Paused,
            DeploymentStatus::RollingBack => Self::RollingBack,
            DeploymentStatus::Completed => Self::Completed,
            DeploymentStatus::RolledBack => Self::RolledBack,
            DeploymentStatus::Rejected => Self::Rejected,
            DeploymentStatus::Failed => Self::Failed,
        }
    }
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its identifier.
    pub deployment_id: DeploymentId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The release, with its images by digest, its strategy and its limits.
    pub release: ReleaseDocument,
    /// How far it is.
    pub status: Status,
    /// Why it is as it is, where something stands in the way or it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The configuration version that it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_id: Option<ConfigurationId>,
    /// The deployment that it goes back to, where it is a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back_to: Option<DeploymentId>,
    /// The deployment that it follows on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_deployment_id: Option<DeploymentId>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When the first workload was touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Where each component is.
    pub steps: Vec<Step>,
    /// What has to pass, and what did.
    pub gates: Vec<GateReport>,
    /// All that is done, in order.
    pub plan: Vec<PlanSegment>,
    /// Which segment of the plan is worked on, from 0; none once it ended. While it goes back, the plan is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// Images that stay out until they are released, by module.
    pub quarantined: BTreeMap<ModuleId, ImageDigest>,
    /// How often it was written.
    pub revision: u64,
}

/// Where one component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeploymentStep")]
pub struct Step {
    /// The component.
    pub module: ModuleId,
    /// The revision that the deployment brings.
    pub revision: RevisionId,
    /// How far it is.
    pub status: StepProgress,
    /// What is done now, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The revision that it replaces, and goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<RevisionId>,
}

/// How far one component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepProgress {
    /// Not touched yet.
    Waiting,
    /// Being rolled out.
    RollingOut,
    /// Rolled out.
    RolledOut,
    /// Being restored.
    Restoring,
    /// Restored, or never touched by a deployment that went back.
    Restored,
}

impl Step {
    fn of(step: DeploymentStep) -> Self {
        Self {
            module: step.module,
            revision: step.revision,
            status: match step.status {
                StepStatus::Waiting => StepProgress::Waiting,
                StepStatus::RollingOut => StepProgress::RollingOut,
                StepStatus::RolledOut => StepProgress::RolledOut,
                StepStatus::Restoring => StepProgress::Restoring,
                StepStatus::Restored => StepProgress::Restored,
            },
            activity: step.activity,
            replaces: step.restore_point.map(|point| point.revision),
        }
    }
}

/// A gate of a deployment, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateReport {
    /// Its name.
    pub name: Name,
    /// When it is evaluated.
    pub at: GatePoint,
    /// What it asks; nothing is said of readiness, which every new revision is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The revision that its verdict is about; none where it is about the release as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<RevisionId>,
    /// How far it has come.
    pub status: GateProgress,
    /// When it came to its verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Who approved so far.
    pub approvals: Vec<String>,
    /// Whether it waits for people.
    pub is_approval: bool,
}

/// How far a gate has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateProgress {
    /// Nothing was sampled yet.
    Pending,
    /// Samples are taken.
    Evaluating,
    /// It passed.
    Passed,
    /// It failed.
    Failed,
}

impl GateReport {
    fn of(gate: &HealthGate) -> Self {
        let seen = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let (status, decided_at, seen) = match &gate.status {
            GateStatus::Pending => (GateProgress::Pending, None, None),
            GateStatus::Evaluating(tally) => (GateProgress::Evaluating, None, seen(&tally.seen)),
            GateStatus::Passed { at, evidence } => (GateProgress::Passed, Some(*at), seen(evidence)),
            GateStatus::Failed { at, reason } => (GateProgress::Failed, Some(*at), seen(reason)),
        };
        Self {
            name: gate.name.clone(),
            at: gate.at,
            check: Check::of(&gate.check),
            judged: gate.judged.clone(),
            status,
            decided_at,
            seen,
            approvals: gate.tally().approvals.iter().map(ToString::to_string).collect(),
            is_approval: matches!(gate.check, GateCheck::Approval(_)),
        }
    }
}

/// A part of a plan that must be finished before the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSegment {
    /// What it is for.
    pub kind: PlanSegmentKind,
    /// Its number among the waves, from 1; 0 for what is no wave.
    pub wave: u16,
    /// What runs side by side.
    pub tracks: Vec<PlanTrack>,
}

/// What a part of a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlanSegmentKind {
    /// Approvals and jobs before anything is touched.
    Preflight,
    /// Components whose dependencies are rolled out.
    Wave,
    /// Verification afterwards.
    Verification,
    /// Retiring the old.
    Retirement,
    /// Bringing the old back.
    Restoration,
}

/// Stages that come one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanTrack {
    /// The component; none where it is the release as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
    /// Its stages.
    pub stages: Vec<PlanStage>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStage {
    /// What must be seen before.
    pub requires: Vec<String>,
    /// What is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// How long it stays, in milliseconds, at the least.
    pub hold_millis: u64,
    /// Whether it stays until somebody resumes.
    pub holds_until_resumed: bool,
    /// Which gates must pass, by their place in the deployment's list.
    pub gates: Vec<u32>,
    /// What must be seen at the end.
    pub until: Vec<String>,
}

impl PlanSegment {
    fn of(segment: &Segment) -> Self {
        let (kind, wave) = match segment.kind {
            SegmentKind::Preflight => (PlanSegmentKind::Preflight, 0),
            SegmentKind::Wave(number) => (PlanSegmentKind::Wave, number),
            SegmentKind::Verification => (PlanSegmentKind::Verification, 0),
            SegmentKind::Retirement => (PlanSegmentKind::Retirement, 0),
            SegmentKind::Restoration => (PlanSegmentKind::Restoration, 0),
        };
        let tracks = segment.tracks.iter().map(|(track, stages)| PlanTrack {
            module: track.module().cloned(),
            stages: stages.iter().map(PlanStage::of).collect(),
        });
        Self { kind, wave, tracks: tracks.collect() }
    }
}

impl PlanStage {
    fn of(stage: &Stage) -> Self {
        let (hold_millis, holds_until_resumed) = match stage.hold {
            Hold::For(span) => (millis(span), false),
            Hold::UntilResumed => (0, true),
        };
        Self {
            requires: stage.requires.iter().map(ToString::to_string).collect(),
            change: stage.change.as_ref().map(ToString::to_string),
            hold_millis,
            holds_until_resumed,
            gates: stage.gates.iter().map(|gate| u32::from(gate.0)).collect(),
            until: stage.until.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Deployment {
    pub(crate) fn of(deployment: &RuntimeDeployment, revision: Revision) -> Self {
        let work = deployment.work();
        let plan: &RolloutPlan = work.map_or(deployment.plan(), |(plan, _)| plan);
        let (cause, quarantined) = standing(deployment);
        Self {
            deployment_id: deployment.id(),
            tenant_id: deployment.tenant_id(),
            environment_id: deployment.environment_id(),
            release: ReleaseDocument::of(deployment.release()),
            status: deployment.status().into(),
            cause,
            configuration_id: deployment.configuration_id(),
            rolls_back_to: match deployment.purpose() {
                Purpose::Rollout => None,
                Purpose::Rollback { to } => Some(to),
            },
            previous_deployment_id: deployment.previous_deployment_id(),
            requested_at: deployment.requested_at(),
            started_at: deployment.started_at(),
            completed_at: deployment.completed_at(),
            steps: deployment.steps().into_iter().map(Step::of).collect(),
            gates: deployment.gates().iter().map(GateReport::of).collect(),
            plan: plan.segments.iter().map(PlanSegment::of).collect(),
            segment: work.and_then(|(_, progress)| u32::try_from(progress.segment_number()).ok()),
            quarantined,
            revision: revision.0,
        }
    }
}

fn standing(deployment: &RuntimeDeployment) -> (Option<String>, BTreeMap<ModuleId, ImageDigest>) {
    match deployment.state() {
        DeploymentState::Requested(_) | DeploymentState::InProgress(_) | DeploymentState::Completed(_) => {
            (None, BTreeMap::new())
        }
        DeploymentState::Paused(paused) => {
            let why = match &paused.cause {
                PauseCause::Requested { reason } => reason.clone(),
                PauseCause::Inconclusive { gate, seen } => {
                    let named = deployment.gates().get(usize::from(gate.0));
                    let name = named.map_or("a gate", |gate| gate.name.as_str());
                    format!("{name} could not come to a verdict: {seen}")
                }
            };
            (Some(why), BTreeMap::new())
        }
        DeploymentState::RollingBack(state) => (Some(state.cause.to_string()), BTreeMap::new()),
        DeploymentState::RolledBack(state) => (Some(state.cause.to_string()), state.quarantined.clone()),
        DeploymentState::Rejected(state) => (Some(state.cause.to_string()), BTreeMap::new()),
        DeploymentState::Failed(state) => {
            (Some(format!("{}; {}", state.cause, state.why)), state.quarantined.clone())
        }
    }
}
