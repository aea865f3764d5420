//! What a compute surface can do, is asked to do, and is seen to do.
//!
//! One state machine drives every surface: operating-system processes, Kubernetes, Container Apps, Functions, App Service.
//! A surface says what it can in [`SurfaceCapabilities`]; a plan that needs more is refused before anything moves.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::{ComponentSpec, ConfigurationVersionRef, ImageDigest, RevisionId, SecretVersionRef};
use crate::configuration::DeliveredConfiguration;
use crate::id::{
    ConfigurationId, DeploymentId, DriftFindingId, EnvironmentId, ScalingPolicyId, TenantBindingId, TenantId,
};
use crate::secrets::DeliveredSecret;
use crate::time::Timestamp;
use crate::value::{ModuleId, Percent, RangeError};

/// A kind of compute surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SurfaceKind {
    /// Operating-system processes behind a traffic-splitting proxy: the embedded default.
    Process,
    /// Kubernetes, Azure's (AKS) included.
    Kubernetes,
    /// Azure Container Apps.
    ContainerApps,
    /// Azure Functions.
    Functions,
    /// Azure App Service.
    AppService,
}

impl SurfaceKind {
    /// The surface's name as manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Kubernetes => "kubernetes",
            Self::ContainerApps => "container-apps",
            Self::Functions => "functions",
            Self::AppService => "app-service",
        }
    }
}

impl fmt::Display for SurfaceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How finely a surface can divide traffic between revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TrafficControl {
    /// Every ready instance of the routed revisions gets an equal share; weights are not honoured.
    PerInstance,
    /// All traffic to one revision, moved in one step; no shares between.
    Switch,
    /// Any whole-percent weights.
    Weighted,
}

/// What doing an effect a second time does. Each adapter declares it, and the reconcilers rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EffectClass {
    /// A repeated effect is recognised by its identifier, and one with an older fencing token is refused.
    Fenced,
    /// A repeated effect changes nothing, but a delayed one from a former lease holder may be applied.
    Idempotent,
    /// The adapter looks first and adopts what exists.
    ReadBeforeWrite,
    /// A repeated effect may be done twice.
    AtLeastOnce,
}

/// What a surface can do. A plan that needs more is refused when it is made, never half-way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceCapabilities {
    /// The kind of surface.
    pub kind: SurfaceKind,
    /// How finely traffic can be divided.
    pub traffic: TrafficControl,
    /// The most revisions of one component that can exist at once.
    pub concurrent_revisions: u16,
    /// Whether metrics can be told apart by revision, so that a canary can be judged on its own.
    pub metrics_by_revision: bool,
    /// What doing an effect again does.
    pub effect_class: EffectClass,
}

/// Which component of which environment of which tenant: the address of everything on a surface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ComponentKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The component.
    pub module: ModuleId,
}

impl fmt::Display for ComponentKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.tenant, self.environment, self.module)
    }
}

/// What intends an effect: the aggregate whose state gives the effect its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EffectOwner {
    /// A deployment, and what goes before every other: taking its workloads down.
    Deployment(DeploymentId),
    /// A scaling policy.
    ScalingPolicy(ScalingPolicyId),
    /// A configuration version, which is taken in place.
    Configuration(ConfigurationId),
    /// An environment, which takes down whatever runs in it.
    RuntimeEnvironment(EnvironmentId),
    /// A tenant's binding, which moves where its clients are answered.
    RuntimeTenantBinding(TenantBindingId),
    /// A drift finding, whose repair takes down what nothing desires.
    DriftFinding(DriftFindingId),
}

impl EffectOwner {
    /// Whether one of these was replaced by who holds a later lease of `other`, and must change nothing more. Leases are of aggregates, and
    /// several work on one component: a rollout goes on whatever a scaling policy did meanwhile, while a policy's effect that was decided
    /// before a rollout's latest is decided again. What configuration a revision takes in place is nobody else's.
    pub const fn gives_way_to(self, other: Self) -> bool {
        match (self, other) {
            (Self::Configuration(_), Self::Configuration(_)) => true,
            (Self::Configuration(_), _) | (_, Self::Configuration(_)) => false,
            (own, Self::ScalingPolicy(_)) => matches!(own, Self::ScalingPolicy(_)),
            _ => true,
        }
    }
}

impl fmt::Display for EffectOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(deployment) => deployment.fmt(formatter),
            Self::ScalingPolicy(policy) => policy.fmt(formatter),
            Self::Configuration(configuration) => configuration.fmt(formatter),
            Self::RuntimeEnvironment(environment) => environment.fmt(formatter),
            Self::RuntimeTenantBinding(binding) => binding.fmt(formatter),
            Self::DriftFinding(finding) => finding.fmt(formatter),
        }
    }
}
impl From<DeploymentId> for EffectOwner {
    fn from(deployment: DeploymentId) -> Self {
        Self::Deployment(deployment)
    }
}
impl From<ConfigurationId> for EffectOwner {
    fn from(configuration: ConfigurationId) -> Self {
        Self::Configuration(configuration)
    }
}
impl From<ScalingPolicyId> for EffectOwner {
    fn from(policy: ScalingPolicyId) -> Self {
        Self::ScalingPolicy(policy)
    }
}

impl From<EnvironmentId> for EffectOwner {
    fn from(environment: EnvironmentId) -> Self {
        Self::RuntimeEnvironment(environment)
    }
}
impl From<TenantBindingId> for EffectOwner {
    fn from(binding: TenantBindingId) -> Self {
        Self::RuntimeTenantBinding(binding)
    }
}
impl From<DriftFindingId> for EffectOwner {
    fn from(finding: DriftFindingId) -> Self {
        Self::DriftFinding(finding)
    }
}

/// Identifies one intended effect on the world, so that doing it again after a crash is recognised.
///
/// The same intention always has the same identifier, whichever host performs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectId {
    /// What intends it.
    #[serde(flatten)]
    pub owner: EffectOwner,
    /// Its number among its owner's intentions, from 1.
    pub ordinal: u32,
}

impl EffectId {
    /// The intention of this number of a deployment, a policy or a configuration version, whose one intention is the first.
    pub fn of(owner: impl Into<EffectOwner>, ordinal: u32) -> Self {
        Self { owner: owner.into(), ordinal }
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.ordinal)
    }
}

/// A lease's fencing token: greater than every one that the same store gave before. A surface that fences refuses an effect whose
/// token is smaller than the greatest it has seen for the same component, of an owner that the effect's
/// [gives way to](EffectOwner::gives_way_to), so a host that was paused and came back changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct FencingToken(pub u64);

/// One revision of a component at a number of replicas: what a surface is asked to bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionSpec {
    /// Which component.
    pub key: ComponentKey,
    /// Which revision.
    pub revision: RevisionId,
    /// What it runs.
    pub component: ComponentSpec,
    /// What it gets of the configuration version that the component's release tuple names; `None` where that names none.
    #[serde(default)]
    pub configuration: Option<DeliveredConfiguration>,
    /// The secrets that it is given, of those that the component's release tuple names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<DeliveredSecret>,
}

/// Where a component's traffic goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Every ready instance of these revisions gets an equal share.
    PerInstance(BTreeSet<RevisionId>),
    /// Shares by revision.
    Weighted(TrafficWeights),
}

impl Traffic {
    /// All of it to one revision.
    pub fn all_to(revision: RevisionId) -> Self {
        Self::Weighted(TrafficWeights { weights: BTreeMap::from([(revision, Percent::ALL)]) })
    }

    /// The revisions that may receive requests.
    pub fn revisions(&self) -> Vec<&RevisionId> {
        match self {
            Self::PerInstance(revisions) => revisions.iter().collect(),
            Self::Weighted(weights) => weights
                .weights
                .iter()
                .filter(|(_, share)| **share > Percent::NONE)
                .map(|(revision, _)| revision)
                .collect(),
        }
    }
}

/// Shares of traffic by revision, which sum to exactly 100%.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "BTreeMap<RevisionId, Percent>", into = "BTreeMap<RevisionId, Percent>")]
pub struct TrafficWeights {
    weights: BTreeMap<RevisionId, Percent>,
}

impl TrafficWeights {
    /// Shares that sum to 100%.
    ///
    /// # Errors
    /// Any other sum.
    pub fn new(weights: BTreeMap<RevisionId, Percent>) -> Result<Self, RangeError> {
        let sum: u32 = weights.values().map(|share| u32::from(share.get())).sum();
        if sum == 100 { Ok(Self { weights }) } else { Err(RangeError::sum_of_weights(sum)) }
    }

    /// `share` to `revision` and the rest to `other`.
    pub fn split(revision: RevisionId, share: Percent, other: RevisionId) -> Self {
        Self { weights: BTreeMap::from([(other, share.rest()), (revision, share)]) }
    }

    /// The shares, by revision.
    pub fn iter(&self) -> impl Iterator<Item = (&RevisionId, Percent)> {
        self.weights.iter().map(|(revision, share)| (revision, *share))
    }

    /// The share of one revision.
    pub fn share(&self, revision: &RevisionId) -> Percent {
        self.weights.get(revision).copied().unwrap_or(Percent::NONE)
    }
}

impl TryFrom<BTreeMap<RevisionId, Percent>> for TrafficWeights {
    type Error = RangeError;
    fn try_from(weights: BTreeMap<RevisionId, Percent>) -> Result<Self, Self::Error> {
        Self::new(weights)
    }
}
impl From<TrafficWeights> for BTreeMap<RevisionId, Percent> {
    fn from(weights: TrafficWeights) -> Self {
        weights.weights
    }
}

/// How one instance is seen to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It runs, and its readiness has not been seen to pass yet.
    Starting,
    /// It runs and its readiness passes.
    Ready,
    /// It runs and its readiness fails.
    NotReady,
    /// It was told to stop and finishes its requests.
    Draining,
    /// It ended by itself and waits to be started again.
    Exited {
        /// Its exit code, where the system still knew it.
        code: Option<i32>,
    },
}

/// One replica of a revision, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceObservation {
    /// The surface's own name for it.
    pub name: String,
    /// How it is.
    pub state: InstanceState,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// Where its probes and requests go: `127.0.0.1:40123`, where the surface has such an address.
    pub address: Option<String>,
    /// The configuration version that it was seen to run with: told by itself where it can tell, else what it was started with. `None`
    /// where it has none, or where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationVersionRef>,
    /// The secret versions that it was given; none where it has none, or where that is not known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<SecretVersionRef>,
}

/// One revision of a component, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionObservation {
    /// The image that its instances really run.
    pub image: ImageDigest,
    /// How many replicas the surface was last asked for.
    pub wanted: u16,
    /// Its instances. Retired ones are absent.
    pub instances: Vec<InstanceObservation>,
    /// What keeps it from running, where the surface knows: `exec format error`, `port 8080 in use`. Nothing of its secrets.
    pub trouble: Option<String>,
}

impl RevisionObservation {
    /// How many instances are ready.
    pub fn ready(&self) -> u16 {
        count(self.instances.iter().filter(|instance| instance.state == InstanceState::Ready))
    }

    /// How many instances exist and are not draining or ended.
    pub fn present(&self) -> u16 {
        count(self.instances.iter().filter(|instance| {
            matches!(instance.state, InstanceState::Starting | InstanceState::Ready | InstanceState::NotReady)
        }))
    }

    /// How often its instances were started again, summed.
    pub fn restarts(&self) -> u32 {
        self.instances.iter().map(|instance| instance.restarts).fold(0, u32::saturating_add)
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u16 {
    u16::try_from(items.count()).unwrap_or(u16::MAX)
}

/// A component as a surface shows it: facts, not wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentObservation {
    /// Which component.
    pub key: ComponentKey,
    /// When the surface looked.
    pub observed_at: Timestamp,
    /// Every revision that still exists.
    pub revisions: BTreeMap<RevisionId, RevisionObservation>,
    /// Where the data plane sends requests now; `None` where there is no route. Not what was asked for: what it does.
    pub traffic: Option<Traffic>,
    /// Where clients reach the component, where it has an endpoint: `http://127.0.0.1:8080`.
    pub endpoint: Option<String>,
}

impl ComponentObservation {
    /// How many instances of `revision` are ready; zero where it does not exist.
    pub fn ready(&self, revision: &RevisionId) -> u16 {
        self.revisions.get(revision).map_or(0, RevisionObservation::ready)
    }
}
