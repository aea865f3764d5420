//! The aggregate: what every deployment has, and what it has in each state.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::claim::Claim;
use crate::component::{ImageDigest, RevisionId};
use crate::deployment::event::{PauseCause, RollbackCause};
use crate::deployment::{DeployedVersion, DeploymentRefusal, Release, ReleasedScaling, RollbackPoint};
use crate::id::{ConfigurationId, DeploymentId, EnvironmentId, TenantId};
use crate::rollout::compile::RestorePoint;
use crate::rollout::{HealthGate, Next, Progress, RolloutPlan, SegmentKind, Track, compile_restoration};
use crate::surface::TrafficControl;
use crate::time::Timestamp;
use crate::value::{ModuleId, Revision};

/// Why a deployment was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To bring a release.
    Rollout,
    /// To go back to what a Completed deployment had brought.
    Rollback {
        /// That deployment.
        to: DeploymentId,
    },
}

/// One rollout of one or more components, health-gated and reversible.
///
/// - **DEP-1** Completed only with every gate passed: `decide/consequence.rs`, `evolve.rs`, `record.rs`.
/// - **DEP-2** [`RuntimeDeployment::rollback_point`] is the only source of a [`RollbackPoint`].
/// - **DEP-3** [`Claim::in_flight`] in [`Aggregate::claims`](crate::aggregate::Aggregate::claims).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDeployment {
    pub(super) deployment_id: DeploymentId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    // Agreed once and never changed: shared by the copies that a preview makes.
    pub(super) release: Arc<Release>,
    pub(super) purpose: Purpose,
    pub(super) numbers: Arc<BTreeMap<ModuleId, u32>>,
    pub(super) restore_points: Arc<BTreeMap<ModuleId, RestorePoint>>,
    pub(super) traffic_controls: Arc<BTreeMap<ModuleId, TrafficControl>>,
    pub(super) requested_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) plan: Arc<RolloutPlan>,
    pub(super) gates: Vec<HealthGate>,
    pub(super) touched: BTreeSet<ModuleId>,
    pub(super) intentions: u32,
    pub(super) state: DeploymentState,
}

/// What a deployment has in each state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status")]
pub enum DeploymentState {
    /// Accepted; no workload was touched yet.
    Requested(Requested),
    /// Rolling out.
    InProgress(InProgress),
    /// Nothing new is begun until it is resumed.
    Paused(Paused),
    /// Going back.
    RollingBack(RollingBack),
    /// Everything is in place and every gate has passed. Final.
    Completed(Completed),
    /// What served before serves again. Final.
    RolledBack(RolledBack),
    /// It ended before a workload was touched. Final.
    Rejected(Rejected),
    /// What served before could not be restored in time: someone must look. Final.
    Failed(Failed),
}

/// Accepted; approvals and jobs come first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// Where the plan stands.
    pub progress: Progress,
}

/// Rolling out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProgress {
    /// Where the plan stands.
    pub progress: Progress,
}

/// Paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Where the plan stands.
    pub progress: Progress,
    /// Why.
    pub cause: PauseCause,
    /// Since when.
    pub since: Timestamp,
}

/// Going back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingBack {
    /// What will be done.
    pub plan: Arc<RolloutPlan>,
    /// Where that stands.
    pub progress: Progress,
    /// Why.
    pub cause: RollbackCause,
    /// Since when.
    pub since: Timestamp,
}

/// Completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// When.
    pub completed_at: Timestamp,
}

/// Rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// When.
    pub completed_at: Timestamp,
    /// Why.
    pub cause: RollbackCause,
    /// The images that stay out until they are released.
    pub quarantined: BTreeMap<ModuleId, ImageDigest>,
    /// What could not be removed in time.
    pub leftovers: Vec<String>,
}

/// Rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// When.
    pub completed_at: Timestamp,
    /// Why.
    pub cause: RollbackCause,
}

/// Failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub completed_at: Timestamp,
    /// Why it went back.
    pub cause: RollbackCause,
    /// Why it could not.
    pub why: String,
    /// The images that stay out until they are released.
    pub quarantined: BTreeMap<ModuleId, ImageDigest>,
}

/// The name of a deployment's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeploymentStatus {
    /// See [`DeploymentState::Requested`].
    Requested,
    /// See [`DeploymentState::InProgress`].
    InProgress,
    /// See [`DeploymentState::Paused`].
    Paused,
    /// See [`DeploymentState::RollingBack`].
    RollingBack,
    /// See [`DeploymentState::Completed`].
    Completed,
    /// See [`DeploymentState::RolledBack`].
    RolledBack,
    /// See [`DeploymentState::Rejected`].
    Rejected,
    /// See [`DeploymentState::Failed`].
    Failed,
}

impl DeploymentStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Requested,
        Self::InProgress,
        Self::Paused,
        Self::RollingBack,
        Self::Completed,
        Self::RolledBack,
        Self::Rejected,
        Self::Failed,
    ];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "Requested",
            Self::InProgress => "InProgress",
            Self::Paused => "Paused",
            Self::RollingBack => "RollingBack",
            Self::Completed => "Completed",
            Self::RolledBack => "RolledBack",
            Self::Rejected => "Rejected",
            Self::Failed => "Failed",
        }
    }

    /// True where nothing will happen any more by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Rejected | Self::Failed)
    }
}

/// How one component of a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStep {
    /// The component.
    pub module: ModuleId,
    /// The revision that the deployment brings.
    pub revision: RevisionId,
    /// What it replaces, and goes back to.
    pub restore_point: Option<RestorePoint>,
    /// How far it is.
    pub status: StepStatus,
    /// What is done now, in words; `None` where nothing is.
    pub activity: Option<String>,
}

/// How far one component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// Not touched yet.
    Waiting,
    /// Being rolled out.
    RollingOut,
    /// Rolled out.
    RolledOut,
    /// Being restored.
    Restoring,
    /// Restored to what was before, or never touched by a deployment that went back.
    Restored,
}

impl RuntimeDeployment {
    /// Its identifier.
    pub fn id(&self) -> DeploymentId {
        self.deployment_id
    }

    /// The tenant.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// What is rolled out, and how.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Why it was asked for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The configuration version that it carries.
    pub fn configuration_id(&self) -> Option<ConfigurationId> {
        self.release.configuration_id
    }

    /// When it was asked for.
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// When the first workload was touched; `None` before.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it ended; `None` before.
    pub fn completed_at(&self) -> Option<Timestamp> {
        match &self.state {
            DeploymentState::Completed(state) => Some(state.completed_at),
            DeploymentState::RolledBack(state) => Some(state.completed_at),
            DeploymentState::Rejected(state) => Some(state.completed_at),
            DeploymentState::Failed(state) => Some(state.completed_at),
            _ => None,
        }
    }

    /// Whether it is of a component that the other is of, too, and came later (DEP-3: one at a time). The clocks of the hosts that carried
    /// them out may say otherwise.
    pub fn came_after(&self, other: &Self) -> bool {
        let mut of_both =
            self.numbers.iter().filter_map(|(module, own)| Some((own, other.numbers.get(module)?)));
        self.environment_id == other.environment_id && of_both.any(|(own, others)| own > others)
    }

    /// The deployment that it follows on: the one that a component goes back to, and where there are several, the one of them that was completed
    /// last by the hosts' clocks.
    pub fn previous_deployment_id(&self) -> Option<DeploymentId> {
        self.restore_points
            .values()
            .max_by_key(|point| point.completed_at)
            .map(|point| point.revision.deployment)
    }

    /// What each component goes back to.
    pub fn restore_points(&self) -> &BTreeMap<ModuleId, RestorePoint> {
        &self.restore_points
    }

    /// Its number for each component: 1 for a component's first deployment in the environment.
    pub fn numbers(&self) -> &BTreeMap<ModuleId, u32> {
        &self.numbers
    }

    /// The plan forward.
    pub fn plan(&self) -> &RolloutPlan {
        &self.plan
    }

    /// Every gate, with its verdict.
    pub fn gates(&self) -> &[HealthGate] {
        &self.gates
    }

    /// What it has in its present state.
    pub fn state(&self) -> &DeploymentState {
        &self.state
    }

    /// The name of its present state.
    pub fn status(&self) -> DeploymentStatus {
        match &self.state {
            DeploymentState::Requested(_) => DeploymentStatus::Requested,
            DeploymentState::InProgress(_) => DeploymentStatus::InProgress,
            DeploymentState::Paused(_) => DeploymentStatus::Paused,
            DeploymentState::RollingBack(_) => DeploymentStatus::RollingBack,
            DeploymentState::Completed(_) => DeploymentStatus::Completed,
            DeploymentState::RolledBack(_) => DeploymentStatus::RolledBack,
            DeploymentState::Rejected(_) => DeploymentStatus::Rejected,
            DeploymentState::Failed(_) => DeploymentStatus::Failed,
        }
    }

    /// What to do next. The same state and time always give the same answer, on every host.
    pub fn next(&self, now: Timestamp) -> Next {
        let deadline = self.release.limits.deadline.after(self.requested_at);
        match &self.state {
            DeploymentState::Requested(_) | DeploymentState::InProgress(_) => {
                let Some((plan, progress)) = self.work() else { return Next::Done };
                match progress.next(plan, &self.gates, now) {
                    next if progress.kind(plan) == Some(SegmentKind::Retirement) => next,
                    Next::Wait(until) => Next::Wait(until.min(deadline)),
                    Next::WaitForPeople | Next::Done if deadline <= now => {
                        Next::Act(alloc::vec![crate::rollout::Action::Tick])
                    }
                    Next::WaitForPeople => Next::Wait(deadline),
                    next => next,
                }
            }
            DeploymentState::Paused(_) if deadline <= now => {
                Next::Act(alloc::vec![crate::rollout::Action::Tick])
            }
            DeploymentState::Paused(_) => Next::Wait(deadline),
            DeploymentState::RollingBack(state) => state.progress.next(&state.plan, &[], now),
            DeploymentState::Completed(_)
            | DeploymentState::RolledBack(_)
            | DeploymentState::Rejected(_)
            | DeploymentState::Failed(_) => Next::Done,
        }
    }

    /// The plan that is worked on and where it stands; `None` in a final state.
    pub fn work(&self) -> Option<(&RolloutPlan, &Progress)> {
        match &self.state {
            DeploymentState::Requested(state) => Some((&self.plan, &state.progress)),
            DeploymentState::InProgress(state) => Some((&self.plan, &state.progress)),
            DeploymentState::Paused(state) => Some((&self.plan, &state.progress)),
            DeploymentState::RollingBack(state) => Some((&state.plan, &state.progress)),
            _ => None,
        }
    }

    /// How each component is.
    pub fn steps(&self) -> Vec<DeploymentStep> {
        self.release
            .components
            .keys()
            .map(|module| DeploymentStep {
                module: module.clone(),
                revision: RevisionId::new(module.clone(), self.deployment_id),
                restore_point: self.restore_points.get(module).cloned(),
                status: self.step_status(module),
                activity: self.activity(module),
            })
            .collect()
    }

    fn step_status(&self, module: &ModuleId) -> StepStatus {
        let is_working = self.activity(module).is_some();
        match &self.state {
            DeploymentState::Completed(_) => StepStatus::RolledOut,
            DeploymentState::RollingBack(_) if is_working => StepStatus::Restoring,
            DeploymentState::Failed(_) => StepStatus::Restoring,
            DeploymentState::RollingBack(_)
            | DeploymentState::RolledBack(_)
            | DeploymentState::Rejected(_) => StepStatus::Restored,
            _ if !self.touched.contains(module) => StepStatus::Waiting,
            _ if is_working => StepStatus::RollingOut,
            _ => StepStatus::RolledOut,
        }
    }

    fn activity(&self, module: &ModuleId) -> Option<String> {
        let (plan, progress) = self.work()?;
        let (stage, _) = progress.at(plan, &Track::Component(module.clone()))?;
        Some(match &stage.change {
            Some(change) => change.to_string(),
            None if stage.gates.is_empty() => "hold".to_string(),
            None => "judge".to_string(),
        })
    }

    /// Proof that this deployment can be gone back to (DEP-2).
    ///
    /// # Errors
    /// It is not Completed.
    pub fn rollback_point(&self, at: Revision) -> Result<RollbackPoint, DeploymentRefusal> {
        match &self.state {
            DeploymentState::Completed(state) => Ok(RollbackPoint {
                tenant: self.tenant_id,
                environment: self.environment_id,
                deployment: self.deployment_id,
                at,
                completed_at: state.completed_at,
                release: Release::clone(&self.release),
                left: self.left(),
                numbers: BTreeMap::clone(&self.numbers),
            }),
            _ => Err(DeploymentRefusal::NotCompleted {
                deployment: self.deployment_id,
                status: self.status().name(),
            }),
        }
    }

    /// Proof that this deployment brought a component to its environment (SVC-1); `None` where it has not touched it.
    pub fn deployed_version(&self, module: &ModuleId, at: Revision) -> Option<DeployedVersion> {
        let component = self.release.components.get(module).filter(|_| self.touched.contains(module))?;
        Some(DeployedVersion {
            tenant: self.tenant_id,
            environment: self.environment_id,
            deployment: self.deployment_id,
            at,
            revision: RevisionId::new(module.clone(), self.deployment_id),
            component: component.clone(),
        })
    }

    /// Proof of how a component is to scale by what it has brought; `None` where it is not Completed, or leaves that open: its release
    /// declares nothing, and it is no way back.
    pub fn released_scaling(&self, module: &ModuleId, at: Revision) -> Option<ReleasedScaling> {
        let DeploymentState::Completed(_) = &self.state else { return None };
        let policy = self.release.components.get(module)?.tuple.scaling.clone();
        if policy.is_none() && self.purpose == Purpose::Rollout {
            return None;
        }
        Some(ReleasedScaling {
            tenant: self.tenant_id,
            environment: self.environment_id,
            module: module.clone(),
            deployment: self.deployment_id,
            at,
            number: self.numbers.get(module).copied()?,
            requested_at: self.requested_at,
            policy,
        })
    }

    /// Whether it was asked to bring exactly this release: the natural key of a request. Which policy scales a component, and to how
    /// many replicas, is no part of what was asked; by which terms it is.
    pub fn brings(&self, release: &Release) -> bool {
        self.purpose == Purpose::Rollout && (*self.release == *release || self.is_as_asked(release.clone()))
    }

    fn is_as_asked(&self, mut asked: Release) -> bool {
        for (module, own) in self.release.components.iter().filter(|(_, own)| own.tuple.is_scaled()) {
            if let Some(component) = asked.components.get_mut(module) {
                component.tuple.scaling_policy = own.tuple.scaling_policy;
                component.replicas = own.replicas;
            }
        }
        *self.release == asked
    }

    /// The images that a rollback quarantines: those that were not serving before.
    pub(super) fn to_quarantine(&self) -> BTreeMap<ModuleId, ImageDigest> {
        if self.purpose != Purpose::Rollout {
            return BTreeMap::new();
        }
        self.new_images().filter(|(module, _)| self.touched.contains(module)).collect()
    }

    fn new_images(&self) -> impl Iterator<Item = (ModuleId, ImageDigest)> {
        self.release.components.values().filter_map(|component| {
            let digest = component.tuple.image.digest();
            let served =
                self.restore_points.get(&component.module).map(|point| point.component.tuple.image.digest());
            (served != Some(digest)).then(|| (component.module.clone(), digest.clone()))
        })
    }

    pub(super) fn held_claims(&self) -> BTreeSet<Claim> {
        let environment = self.environment_id;
        let numbers = self
            .numbers
            .iter()
            .map(|(module, number)| Claim::deployment_number(environment, module, *number));
        let mut claims: BTreeSet<Claim> = numbers.collect();
        let quarantine = |images: &BTreeMap<ModuleId, ImageDigest>| -> Vec<Claim> {
            images.iter().map(|(module, digest)| Claim::quarantine(environment, module, digest)).collect()
        };
        match &self.state {
            DeploymentState::Completed(_) | DeploymentState::Rejected(_) => {}
            DeploymentState::RolledBack(state) => claims.extend(quarantine(&state.quarantined)),
            DeploymentState::Failed(state) => claims.extend(quarantine(&state.quarantined)),
            DeploymentState::Requested(_)
            | DeploymentState::InProgress(_)
            | DeploymentState::Paused(_)
            | DeploymentState::RollingBack(_) => {
                claims.extend(
                    self.release.components.keys().map(|module| Claim::in_flight(environment, module)),
                );
                claims.extend(quarantine(&self.new_images().collect()));
            }
        }
        claims
    }

    pub(super) fn restoration(&self) -> RolloutPlan {
        compile_restoration(self.deployment_id, &self.touched, &self.restore_points, |module| {
            self.traffic_controls.get(module).copied().unwrap_or(TrafficControl::PerInstance)
        })
    }

    /// The images that a rollback went back from.
    fn left(&self) -> BTreeMap<ModuleId, ImageDigest> {
        let is_rollback = matches!(self.purpose, Purpose::Rollback { .. });
        let points = self.restore_points.iter().filter(|_| is_rollback);
        let left = points.filter_map(|(module, point)| {
            let (left, brought) =
                (point.component.tuple.image.digest(), self.release.components.get(module)?);
            (left != brought.tuple.image.digest()).then(|| (module.clone(), left.clone()))
        });
        left.collect()
    }
}
