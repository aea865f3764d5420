//! The aggregate: what every inventory record has, and what it has in each state; and how a status is concluded.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::{ComponentType, PinnedImage, RevisionId, Version};
use crate::deployment::DeployedVersion;
use crate::id::{EnvironmentId, ServiceId, TenantId};
use crate::surface::{ComponentObservation, InstanceState, SurfaceKind, Traffic};
use crate::time::{Span, Timestamp};
use crate::value::{ModuleId, Replicas};

/// How often an unchanged component is recorded as seen.
pub const HEARTBEAT: Span = Span::from_secs(60);

/// How long what was seen stays true without being seen again. Three heartbeats, so that one that is late changes nothing.
pub const FRESHNESS: Span = Span::from_secs(180);

/// The live record of one component in an environment.
///
/// - **SVC-1** only [`RegisterService`](crate::inventory::RegisterService) and
///   [`RecordDeployedVersion`](crate::inventory::InventoryCommand::RecordDeployedVersion) set the version; both consume evidence.
/// - **SVC-2** Running only with a ready instance: `state.rs`, `evolve.rs`, `record.rs`.
/// - **SVC-3** the tenant is set once: `evolve.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeService {
    pub(super) service_id: ServiceId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) module_id: ModuleId,
    pub(super) version: RecordedVersion,
    pub(super) registered_at: Timestamp,
    pub(super) state: ServiceState,
}

/// What a deployment brought, as the inventory keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordedVersion {
    /// The revision: module and deployment.
    pub revision: RevisionId,
    /// The part it plays.
    pub component_type: ComponentType,
    /// What it runs.
    pub image: PinnedImage,
    /// The version that people know it by.
    pub version: Version,
    /// The surface that runs it.
    pub compute_target: SurfaceKind,
    /// How many replicas it was declared with. What a surface is really asked for is [`Snapshot::wanted`].
    pub replicas: Replicas,
}

impl From<&DeployedVersion> for RecordedVersion {
    fn from(evidence: &DeployedVersion) -> Self {
        let component = evidence.component();
        Self {
            revision: evidence.revision().clone(),
            component_type: component.component_type,
            image: component.tuple.image.clone(),
            version: component.version.clone(),
            compute_target: component.surface,
            replicas: component.replicas,
        }
    }
}

/// One replica, as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceInstance {
    /// The surface's own name for it.
    pub name: String,
    /// What it runs; not always the recorded version.
    pub revision: RevisionId,
    /// How it is.
    pub state: InstanceState,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// Where its requests go, where the surface has such an address.
    pub address: Option<String>,
    /// Whether requests may be sent to its revision.
    pub is_routed: bool,
}

impl ServiceInstance {
    /// Whether it serves: ready, and of a revision that requests may be sent to.
    pub fn serves(&self) -> bool {
        self.is_routed && self.state == InstanceState::Ready
    }
}

/// Where clients reach a component, as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EndpointBinding {
    /// The address: `http://127.0.0.1:8080`.
    pub url: String,
    /// Where the data plane sends its requests; `None` where there is no route.
    pub traffic: Option<Traffic>,
}

/// A component as a surface last showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// When the surface looked.
    pub observed_at: Timestamp,
    /// How many replicas the surface was last asked for, of the revisions that requests may be sent to.
    pub wanted: u16,
    /// Every instance of every revision, by revision and name.
    pub instances: Vec<ServiceInstance>,
    /// Where clients reach it, where it has an endpoint.
    pub endpoint: Option<EndpointBinding>,
    /// What keeps revisions from running, where the surface knows.
    pub troubles: BTreeMap<RevisionId, String>,
}

impl Snapshot {
    /// What an observation shows. Requests may be sent to the routed revisions; without a route, as for a worker, every revision counts.
    ///
    /// An observation from a clock that runs ahead counts as made `now`: one from the future would stay fresh for too long.
    pub(super) fn of(observation: &ComponentObservation, now: Timestamp) -> Self {
        let routed = observation.traffic.as_ref().map(Traffic::revisions);
        let is_routed =
            |revision: &RevisionId| routed.as_ref().is_none_or(|routed| routed.contains(&revision));
        let mut instances: Vec<ServiceInstance> = observation
            .revisions
            .iter()
            .flat_map(|(revision, seen)| {
                let is_routed = is_routed(revision);
                seen.instances.iter().map(move |instance| ServiceInstance {
                    name: instance.name.clone(),
                    revision: revision.clone(),
                    state: instance.state.clone(),
                    restarts: instance.restarts,
                    address: instance.address.clone(),
                    is_routed,
                })
            })
            .collect();
        instances.sort_by(|one, other| (&one.revision, &one.name).cmp(&(&other.revision, &other.name)));
        let wanted = observation.revisions.iter().filter(|(revision, _)| is_routed(revision));
        let trouble = |(revision, trouble): (&RevisionId, &Option<String>)| {
            trouble.as_ref().map(|trouble| (revision.clone(), trouble.clone()))
        };
        Self {
            observed_at: observation.observed_at.min(now),
            wanted: wanted.map(|(_, seen)| seen.wanted).fold(0, u16::saturating_add),
            instances,
            endpoint: observation
                .endpoint
                .as_ref()
                .map(|url| EndpointBinding { url: url.clone(), traffic: observation.traffic.clone() }),
            troubles: observation
                .revisions
                .iter()
                .map(|(revision, seen)| (revision, &seen.trouble))
                .filter_map(trouble)
                .collect(),
        }
    }

    /// How many instances serve.
    pub fn serving(&self) -> usize {
        self.instances.iter().filter(|instance| instance.serves()).count()
    }

    /// Whether an instance of this revision serves.
    pub fn serves(&self, revision: &RevisionId) -> bool {
        self.instances.iter().any(|instance| instance.serves() && instance.revision == *revision)
    }

    /// Whether it shows the same as another, whenever that was.
    pub(super) fn shows_the_same(&self, other: &Self) -> bool {
        *self == Self { observed_at: self.observed_at, ..other.clone() }
    }
}

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RuntimeStatus {
    /// Its first instances come up.
    Starting,
    /// As many instances serve as are wanted, and the recorded version is among them.
    Running,
    /// Fewer instances serve than are wanted, or only ones of another version.
    Degraded,
    /// No instance serves.
    Unavailable,
    /// Nothing was seen for too long.
    Unknown,
    /// Gone for good.
    Retired,
}

impl RuntimeStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Running, Self::Degraded, Self::Unavailable, Self::Unknown, Self::Retired];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Degraded => "Degraded",
            Self::Unavailable => "Unavailable",
            Self::Unknown => "Unknown",
            Self::Retired => "Retired",
        }
    }
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a record has in each state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status")]
pub enum ServiceState {
    /// Its first instances come up.
    Starting(Starting),
    /// As many instances serve as are wanted.
    Running(Running),
    /// Fewer instances serve than are wanted, or only ones of another version.
    Degraded(Degraded),
    /// No instance serves.
    Unavailable(Unavailable),
    /// Nothing was seen for too long.
    Unknown(Unknown),
    /// Gone for good. Final.
    Retired(Retired),
}

/// Its first instances come up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    /// Since when.
    pub since: Timestamp,
    /// What was seen, if anything was.
    pub seen: Option<Snapshot>,
}

/// As many instances serve as are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Since when.
    pub since: Timestamp,
    /// What was seen: an instance of the recorded version serves (SVC-2).
    pub seen: Snapshot,
}

/// Fewer instances serve than are wanted, or only ones of another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Since when.
    pub since: Timestamp,
    /// What was seen.
    pub seen: Snapshot,
    /// What is missing.
    pub why: String,
}

/// No instance serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Since when.
    pub since: Timestamp,
    /// What was seen.
    pub seen: Snapshot,
    /// What is wrong.
    pub why: String,
}

/// Nothing was seen for too long: neither well nor ill can be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Since when.
    pub since: Timestamp,
    /// What was seen last, if anything ever was.
    pub seen: Option<Snapshot>,
    /// How long nothing was seen.
    pub why: String,
}

/// Gone for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// When.
    pub retired_at: Timestamp,
    /// Why.
    pub reason: String,
    /// When it was last seen, if it ever was.
    pub last_observed_at: Option<Timestamp>,
}

impl ServiceState {
    /// The status alone.
    pub const fn status(&self) -> RuntimeStatus {
        match self {
            Self::Starting(_) => RuntimeStatus::Starting,
            Self::Running(_) => RuntimeStatus::Running,
            Self::Degraded(_) => RuntimeStatus::Degraded,
            Self::Unavailable(_) => RuntimeStatus::Unavailable,
            Self::Unknown(_) => RuntimeStatus::Unknown,
            Self::Retired(_) => RuntimeStatus::Retired,
        }
    }

    /// What was seen last, if anything was; nothing is kept of a retired one.
    pub const fn seen(&self) -> Option<&Snapshot> {
        match self {
            Self::Starting(Starting { seen, .. }) | Self::Unknown(Unknown { seen, .. }) => seen.as_ref(),
            Self::Running(Running { seen, .. })
            | Self::Degraded(Degraded { seen, .. })
            | Self::Unavailable(Unavailable { seen, .. }) => Some(seen),
            Self::Retired(_) => None,
        }
    }

    pub(super) const fn since(&self) -> Timestamp {
        match self {
            Self::Starting(Starting { since, .. })
            | Self::Running(Running { since, .. })
            | Self::Degraded(Degraded { since, .. })
            | Self::Unavailable(Unavailable { since, .. })
            | Self::Unknown(Unknown { since, .. }) => *since,
            Self::Retired(Retired { retired_at, .. }) => *retired_at,
        }
    }
}

impl RuntimeService {
    /// Its identifier.
    pub fn service_id(&self) -> ServiceId {
        self.service_id
    }

    /// The module it runs.
    pub fn module_id(&self) -> &ModuleId {
        &self.module_id
    }

    /// What a deployment brought last.
    pub fn version(&self) -> &RecordedVersion {
        &self.version
    }

    /// When it was registered.
    pub fn registered_at(&self) -> Timestamp {
        self.registered_at
    }

    /// What it has in its present state.
    pub fn state(&self) -> &ServiceState {
        &self.state
    }

    /// How it is.
    pub fn status(&self) -> RuntimeStatus {
        self.state.status()
    }

    /// When it was last seen, if it ever was. At most [`HEARTBEAT`] behind what was really looked at.
    pub fn last_observed_at(&self) -> Option<Timestamp> {
        match &self.state {
            ServiceState::Retired(state) => state.last_observed_at,
            state => state.seen().map(|seen| seen.observed_at),
        }
    }

    /// Its instances as last seen, of every version.
    pub fn instances(&self) -> &[ServiceInstance] {
        self.state.seen().map_or(&[], |seen| &seen.instances)
    }

    /// Where clients reach it, where it has an endpoint.
    pub fn endpoint(&self) -> Option<&EndpointBinding> {
        self.state.seen().and_then(|seen| seen.endpoint.as_ref())
    }
}

/// Concludes the status of a component from what a surface showed.
///
/// `may_start` is true while nothing of the recorded version was ever expected to serve yet: only then do instances that come up
/// for the first time make it Starting, not Unavailable.
pub(super) fn conclude(seen: &Snapshot, recorded: &RevisionId, may_start: bool) -> (RuntimeStatus, String) {
    let (serving, wanted) = (seen.serving(), usize::from(seen.wanted));
    if serving == 0 {
        let comes_up =
            |instance: &ServiceInstance| instance.state == InstanceState::Starting && instance.restarts == 0;
        if may_start && seen.instances.iter().any(comes_up) {
            return (RuntimeStatus::Starting, "the first instances come up".to_string());
        }
        let trouble =
            seen.troubles.iter().next().map(|(revision, trouble)| format!("; {revision}: {trouble}"));
        let why = format!("no instance serves of {wanted} wanted{}", trouble.unwrap_or_default());
        return (RuntimeStatus::Unavailable, why);
    }
    if !seen.serves(recorded) {
        return (
            RuntimeStatus::Degraded,
            format!("no instance of the recorded {recorded} serves, only others"),
        );
    }
    let why = format!("{serving} of {wanted} wanted instances serve");
    if serving < wanted { (RuntimeStatus::Degraded, why) } else { (RuntimeStatus::Running, why) }
}
