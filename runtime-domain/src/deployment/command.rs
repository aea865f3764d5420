//! What may be asked of a deployment.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::EvidenceRef;
use crate::calendar::{BreakGlass, Clearance};
use crate::component::{ComponentSpec, ReleaseReference, RevisionId};
use crate::configuration::PublishedConfiguration;
use crate::deployment::RollbackPoint;
use crate::environment::Admission;
use crate::id::{AggregateKind, ConfigurationId, DeploymentId, ScalingPolicyId};
use crate::metric::MetricReading;
use crate::rollout::gate::{GateCheck, GateSpec, ProbeResult};
use crate::rollout::{DeploymentStrategy, GateIndex, RolloutLimits, Track};
use crate::scope::Actor;
use crate::surface::{ComponentObservation, EffectId, SurfaceCapabilities, SurfaceKind};
use crate::value::{ModuleId, Name};

/// What is to be rolled out, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Release {
    /// Its name.
    pub reference: ReleaseReference,
    /// Its components, by module.
    pub components: BTreeMap<ModuleId, ComponentSpec>,
    /// How the new replaces the old.
    pub strategy: DeploymentStrategy,
    /// What it is judged by, besides the readiness of every revision.
    #[serde(default)]
    pub gates: Vec<GateSpec>,
    /// How long it may take and how much may go wrong.
    #[serde(default)]
    pub limits: RolloutLimits,
    /// The configuration version that it carries, if it has one: every release tuple that names a version names this one. Where it
    /// carries none, a tuple may keep the one that its component serves with.
    #[serde(default)]
    pub configuration_id: Option<ConfigurationId>,
}

impl Release {
    /// The part that brings these of its components, with what judges them. A job that works for a component which is left out goes with it, and what
    /// a component depends on that is left out serves already.
    #[must_use]
    pub fn part(&self, modules: &BTreeSet<ModuleId>) -> Self {
        let mut part = self.clone();
        part.components.retain(|module, _| modules.contains(module));
        for component in part.components.values_mut() {
            component.depends_on.retain(|module| modules.contains(module));
        }
        part.gates.retain_mut(|gate| {
            let judges_all = gate.modules.is_empty();
            gate.modules.retain(|module| modules.contains(module));
            let works_for = match &gate.check {
                GateCheck::Job(job) => job.component.as_ref(),
                _ => None,
            };
            let is_left_out = works_for.is_some_and(|module| !modules.contains(module));
            (judges_all || !gate.modules.is_empty()) && !is_left_out
        });
        part
    }
}

/// The revisions of a component that exist on its surface, each with the number of replicas that it was last asked for. What serves now is
/// restored at the capacity that is seen here; what nobody remembers is retired with it.
pub type SeenRevisions = BTreeMap<RevisionId, u16>;

/// Asks for a rollout. Consumes the evidence that it is allowed and of what it goes back to.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestDeployment {
    /// The new deployment's identifier.
    pub deployment_id: DeploymentId,
    /// What to roll out.
    pub release: Release,
    /// Proof that the environment accepts deployments (ENV-1, ENV-3).
    pub admission: Admission,
    /// Proof that its calendar is open to one now, or that someone broke the glass. A clearance to rotate is enough where nothing but the
    /// versions of secrets differs from what serves.
    pub clearance: Clearance,
    /// Proof that the configuration version which the release carries is published and in force; `None` where it carries none.
    pub configuration: Option<PublishedConfiguration>,
    /// What the environments before prove of the release, where the admission asks for a promotion: the newest Completed deployment of
    /// each component there.
    pub upstream: Vec<RollbackPoint>,
    /// Who releases what a promotion would hold, and why.
    pub hold_released: Option<BreakGlass>,
    /// What serves now: the newest Completed deployment of each component that has one.
    pub previous: Vec<RollbackPoint>,
    /// What the surfaces show of each component.
    pub seen: BTreeMap<ModuleId, SeenRevisions>,
    /// The scaling policies that own the components' replicas now: how many there are is theirs to say, not the release's.
    pub scaled: BTreeMap<ModuleId, ScalingPolicyId>,
    /// The number of this deployment for each component: one more than the newest one's, however that ended.
    pub numbers: BTreeMap<ModuleId, u32>,
    /// What the host's surfaces can do.
    pub surfaces: BTreeMap<SurfaceKind, SurfaceCapabilities>,
}

/// Asks to go back to a prior Completed deployment (DEP-2), fast: the old release in full, then all traffic at once, judged by
/// readiness alone.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestRollback {
    /// The new deployment's identifier.
    pub deployment_id: DeploymentId,
    /// Where to go back to.
    pub target: RollbackPoint,
    /// Proof that the environment accepts deployments.
    pub admission: Admission,
    /// What serves now.
    pub previous: Vec<RollbackPoint>,
    /// What the surfaces show of each component.
    pub seen: BTreeMap<ModuleId, SeenRevisions>,
    /// As in [`RequestDeployment::scaled`].
    pub scaled: BTreeMap<ModuleId, ScalingPolicyId>,
    /// As in [`RequestDeployment::numbers`].
    pub numbers: BTreeMap<ModuleId, u32>,
    /// What the host's surfaces can do.
    pub surfaces: BTreeMap<SurfaceKind, SurfaceCapabilities>,
}

impl RequestDeployment {
    /// The facts that the request rests on.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        let mut facts = evidence(&self.admission, self.previous.iter().chain(&self.upstream));
        if !facts.contains(&self.clearance.evidence()) {
            facts.push(self.clearance.evidence());
        }
        facts.extend(self.configuration.as_ref().map(PublishedConfiguration::evidence));
        facts
    }
}

impl RequestRollback {
    /// The facts that the request rests on.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        evidence(&self.admission, self.previous.iter().chain([&self.target]))
    }
}

fn evidence<'p>(admission: &Admission, points: impl Iterator<Item = &'p RollbackPoint>) -> Vec<EvidenceRef> {
    let environment = EvidenceRef {
        kind: AggregateKind::RuntimeEnvironment,
        id: admission.environment().uuid(),
        revision: admission.environment_revision(),
    };
    let binding = admission.binding().map(|(binding, revision)| EvidenceRef {
        kind: AggregateKind::RuntimeTenantBinding,
        id: binding.uuid(),
        revision,
    });
    let points = points.map(|point| EvidenceRef {
        kind: AggregateKind::RuntimeDeployment,
        id: point.deployment.uuid(),
        revision: point.at,
    });
    let mut seen = BTreeSet::new();
    [environment]
        .into_iter()
        .chain(binding)
        .chain(points)
        .filter(|fact| seen.insert((fact.kind, fact.id)))
        .collect()
}

/// What may be asked of an existing deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentCommand {
    /// A person agrees.
    Approve {
        /// To which gate.
        gate: Name,
        /// Who.
        by: Actor,
    },
    /// A person disagrees: the gate fails.
    Reject {
        /// Which gate.
        gate: Name,
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Nothing new is begun until it is resumed.
    Pause {
        /// Why.
        reason: String,
    },
    /// Goes on, from a pause or from a hold that waits for a person.
    Resume,
    /// Skips what waits (holds, bakes, pauses), never what judges: every gate must still pass (DEP-1).
    PromoteNow,
    /// Ends the rollout; what served before serves again, at full capacity.
    Abort {
        /// Why.
        reason: String,
    },
    /// Lets the rolled-back images be deployed again.
    ReleaseQuarantine {
        /// Why.
        reason: String,
    },
    /// A reconciler intends the change of a track's stage, or a gate's job.
    RecordIntention {
        /// On which track.
        track: Track,
        /// For which gate's job, where it is one.
        job: Option<GateIndex>,
    },
    /// A reconciler tells how an effect went.
    RecordOutcome {
        /// Which.
        effect: EffectId,
        /// How.
        outcome: EffectOutcome,
    },
    /// A reconciler tells what a surface shows.
    RecordObservation {
        /// What.
        observation: ComponentObservation,
    },
    /// A reconciler tells how probes were answered.
    RecordProbes {
        /// For which gate.
        gate: GateIndex,
        /// By each target.
        results: Vec<ProbeResult>,
    },
    /// A reconciler tells what a metric source answered.
    RecordReading {
        /// For which gate.
        gate: GateIndex,
        /// The reading, or why there is none.
        reading: Result<MetricReading, String>,
    },
    /// A reconciler tells how a job is.
    RecordJob {
        /// For which gate.
        gate: GateIndex,
        /// How it is.
        report: JobReport,
    },
    /// Time has passed.
    Tick,
}

impl DeploymentCommand {
    /// The command's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "Approve",
            Self::Reject { .. } => "Reject",
            Self::Pause { .. } => "Pause",
            Self::Resume => "Resume",
            Self::PromoteNow => "PromoteNow",
            Self::Abort { .. } => "Abort",
            Self::ReleaseQuarantine { .. } => "ReleaseQuarantine",
            Self::RecordIntention { .. } => "RecordIntention",
            Self::RecordOutcome { .. } => "RecordOutcome",
            Self::RecordObservation { .. } => "RecordObservation",
            Self::RecordProbes { .. } => "RecordProbes",
            Self::RecordReading { .. } => "RecordReading",
            Self::RecordJob { .. } => "RecordJob",
            Self::Tick => "Tick",
        }
    }
}

/// How an effect on the world went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectOutcome {
    /// It was accepted.
    Done,
    /// Nothing was done; it may be tried again.
    Deferred {
        /// Why.
        reason: String,
    },
    /// It will never be accepted.
    Refused {
        /// Why.
        reason: String,
    },
    /// It may or may not have been done: only looking tells.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// How a gate's job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobReport {
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed {
        /// What happened.
        detail: String,
    },
    /// It was started, and how it ended is not known.
    Unknown {
        /// Why.
        detail: String,
    },
}
