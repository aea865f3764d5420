//! The aggregate.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::{ComponentType, ImageDigest, PinnedImage, RevisionId, Version};
use crate::id::{DeploymentId, EnvironmentId, ServiceId, TenantId};
use crate::surface::{ComponentKey, InstanceState, SurfaceKind};
use crate::time::Timestamp;
use crate::value::{ModuleId, Replicas};

/// The live inventory record of one generated component in an environment.
///
/// It comes to be by [`RuntimeService::register`] and changes by [`RuntimeService::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeService {
    pub(super) service_id: ServiceId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) module_id: ModuleId,
    pub(super) registered_at: Timestamp,
    pub(super) current: DeployedRevision,
    /// The versions before it, newest last, so that their instances are recognised while they drain.
    pub(super) former: Vec<DeployedRevision>,
    /// When someone last looked, in vain or not.
    pub(super) looked_at: Timestamp,
    pub(super) state: ServiceState,
}

/// A version that a known deployment brought (SVC-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployedRevision {
    /// The component's revision.
    pub revision: RevisionId,
    /// The part it plays.
    pub component_type: ComponentType,
    /// The code.
    pub image: PinnedImage,
    /// The version that people know it by.
    pub version: Version,
    /// The surface that runs it.
    pub compute_target: SurfaceKind,
    /// How many replicas should serve.
    pub replicas: Replicas,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// How a service is seen to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceState {
    /// Nothing fresh is known.
    Unknown(Unknown),
    /// Instances run, and none was ready yet.
    Starting(Observed),
    /// As many instances are ready as should be (SVC-2).
    Running(Observed),
    /// An instance is ready, and something is wrong (SVC-2).
    Degraded(Degraded),
    /// No instance is ready.
    Unavailable(Observed),
    /// It was taken away on purpose.
    Retired(Retired),
}

/// Nothing fresh is known: neither good nor bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: UnknownCause,
    /// What was seen last, if anything was. It is not how the service is.
    pub last: Option<Observed>,
}

/// Why nothing fresh is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownCause {
    /// It was registered, and not looked at yet.
    NeverObserved,
    /// Another version was deployed: what was seen before is no verdict on it.
    VersionChanged,
    /// The newest observation is too old.
    Stale {
        /// Why there is no newer one, where that is known.
        reason: String,
    },
}

/// What a surface showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// When.
    pub observed_at: Timestamp,
    /// Every instance, in the order of revision and name.
    pub instances: Vec<ServiceInstance>,
    /// Where clients reach the component, where it has an endpoint.
    pub endpoint: Option<EndpointBinding>,
}

/// One instance is ready at least, and something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degraded {
    /// What was seen.
    pub observed: Observed,
    /// What is wrong.
    pub cause: Degradation,
}

/// What is wrong with a service that has a ready instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Degradation {
    /// Fewer instances are ready than should be.
    TooFewReady {
        /// How many are.
        ready: u16,
        /// How many should be.
        wanted: u16,
    },
    /// Requests go to revisions without a ready instance.
    NoneRouted,
    /// No ready instance is of a version that a known deployment brought.
    OnlyUnmanaged,
    /// The surface reports trouble with the present version.
    Trouble {
        /// What it said.
        reason: String,
    },
}

/// It was taken away on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// Since when.
    pub retired_at: Timestamp,
    /// Why.
    pub reason: String,
    /// When it was seen last, if ever.
    pub last_observed_at: Option<Timestamp>,
}

/// One replica of one revision, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceInstance {
    /// The surface's own name for it.
    pub name: String,
    /// The revision that it runs.
    pub revision: RevisionId,
    /// The image that it really runs.
    pub image: ImageDigest,
    /// How it is.
    pub state: InstanceState,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// Where its probes and requests go, where the surface has such an address.
    pub address: Option<String>,
    /// Whether it runs the revision and the very image that a known deployment brought. One that does not is a finding for drift,
    /// and never gives the service its version (SVC-1).
    pub is_managed: bool,
}

/// Where clients reach a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointBinding {
    /// The address: `http://127.0.0.1:8080`.
    pub url: String,
    /// Since when it is seen there without a break.
    pub bound_at: Timestamp,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RuntimeStatus {
    /// Nothing fresh is known.
    Unknown,
    /// Instances run, and none was ready yet.
    Starting,
    /// As many instances are ready as should be.
    Running,
    /// An instance is ready, and something is wrong.
    Degraded,
    /// No instance is ready.
    Unavailable,
    /// It was taken away on purpose.
    Retired,
}

impl RuntimeStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Starting, Self::Running, Self::Degraded, Self::Unavailable, Self::Retired];

    /// The status's name as in spec.md: `Running`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Degraded => "Degraded",
            Self::Unavailable => "Unavailable",
            Self::Retired => "Retired",
        }
    }

    /// True where nothing can happen any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Retired)
    }
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl ServiceState {
    /// The state's name.
    pub const fn status(&self) -> RuntimeStatus {
        match self {
            Self::Unknown(_) => RuntimeStatus::Unknown,
            Self::Starting(_) => RuntimeStatus::Starting,
            Self::Running(_) => RuntimeStatus::Running,
            Self::Degraded(_) => RuntimeStatus::Degraded,
            Self::Unavailable(_) => RuntimeStatus::Unavailable,
            Self::Retired(_) => RuntimeStatus::Retired,
        }
    }

    /// What was seen last, be it fresh or not.
    pub const fn last_observed(&self) -> Option<&Observed> {
        match self {
            Self::Starting(observed) | Self::Running(observed) | Self::Unavailable(observed) => {
                Some(observed)
            }
            Self::Degraded(degraded) => Some(&degraded.observed),
            Self::Unknown(unknown) => unknown.last.as_ref(),
            Self::Retired(_) => None,
        }
    }
}

impl Observed {
    /// How many instances are ready.
    pub fn ready(&self) -> usize {
        self.instances.iter().filter(|instance| instance.is_ready()).count()
    }
}

impl ServiceInstance {
    /// Whether it may be sent requests.
    pub fn is_ready(&self) -> bool {
        self.state == InstanceState::Ready
    }
}

impl RuntimeService {
    /// Its identifier.
    pub fn id(&self) -> ServiceId {
        self.service_id
    }

    /// The tenant. It never changes (SVC-3).
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// The module that the component is generated from.
    pub fn module_id(&self) -> &ModuleId {
        &self.module_id
    }

    /// Its address on its surface.
    pub fn component_key(&self) -> ComponentKey {
        ComponentKey {
            tenant: self.tenant_id,
            environment: self.environment_id,
            module: self.module_id.clone(),
        }
    }

    /// The part it plays.
    pub fn component_type(&self) -> ComponentType {
        self.current.component_type
    }

    /// The code that was deployed.
    pub fn image(&self) -> &PinnedImage {
        &self.current.image
    }

    /// The version that was deployed (SVC-1).
    pub fn version(&self) -> &Version {
        &self.current.version
    }

    /// The revision that was deployed.
    pub fn revision(&self) -> &RevisionId {
        &self.current.revision
    }

    /// The deployment that brought it.
    pub fn deployment_id(&self) -> DeploymentId {
        self.current.revision.deployment
    }

    /// The surface that runs it.
    pub fn compute_target(&self) -> SurfaceKind {
        self.current.compute_target
    }

    /// How many replicas should serve, as it was deployed.
    pub fn replicas(&self) -> Replicas {
        self.current.replicas
    }

    /// The deployed version, whole.
    pub fn current(&self) -> &DeployedRevision {
        &self.current
    }

    /// The versions before it that are remembered, newest last.
    pub fn former(&self) -> &[DeployedRevision] {
        &self.former
    }

    /// When it was registered.
    pub fn registered_at(&self) -> Timestamp {
        self.registered_at
    }

    /// Where clients reach it, as it was seen last.
    pub fn endpoint_url(&self) -> Option<&str> {
        let endpoint = self.state.last_observed()?.endpoint.as_ref()?;
        Some(&endpoint.url)
    }

    /// Its instances, as they were seen last.
    pub fn instances(&self) -> &[ServiceInstance] {
        self.state.last_observed().map_or(&[], |observed| &observed.instances)
    }

    /// When it was seen last, if ever. Observations that showed nothing new may be up to a [`HEARTBEAT`](super::HEARTBEAT) newer.
    pub fn last_observed_at(&self) -> Option<Timestamp> {
        match &self.state {
            ServiceState::Retired(retired) => retired.last_observed_at,
            state => state.last_observed().map(|observed| observed.observed_at),
        }
    }

    /// How it is seen to be, with what is known only then.
    pub fn state(&self) -> &ServiceState {
        &self.state
    }

    /// The state's name.
    pub fn runtime_status(&self) -> RuntimeStatus {
        self.state.status()
    }

    /// Whether nobody has looked since it was registered, or its version changed.
    pub(super) fn awaits_first_look(&self) -> bool {
        matches!(
            &self.state,
            ServiceState::Unknown(Unknown {
                cause: UnknownCause::NeverObserved | UnknownCause::VersionChanged,
                since,
                ..
            }) if *since == self.looked_at
        )
    }

    /// The version that brought a revision, where it is known.
    pub(super) fn known(&self, revision: &RevisionId) -> Option<&DeployedRevision> {
        self.former.iter().chain([&self.current]).find(|known| known.revision == *revision)
    }
}
