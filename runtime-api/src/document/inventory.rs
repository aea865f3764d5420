//! The live inventory.

use std::collections::BTreeMap;

use runtime_domain::component::{ComponentType, ImageReference, RevisionId, Version};
use runtime_domain::id::{EnvironmentId, ServiceId, TenantId};
use runtime_domain::inventory::{
    RuntimeService as Recorded, RuntimeStatus, ServiceInstance as Instance, ServiceState,
};
use runtime_domain::surface::{InstanceState, SurfaceKind, Traffic};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Percent, Replicas, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::releases::pinned;

/// Asks for a list of services. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListServices {
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

/// Asks for a service's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceHistoryRequest {
    /// The service.
    pub service_id: ServiceId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ServiceStatus")]
pub enum Status {
    /// The first instances come up.
    Starting,
    /// As many instances serve as are wanted.
    Running,
    /// Fewer serve, or others than those recorded.
    Degraded,
    /// None serves.
    Unavailable,
    /// Nothing fresh is known.
    Unknown,
    /// It is gone on purpose.
    Retired,
}

impl Status {
    pub(crate) const fn stored(self) -> RuntimeStatus {
        match self {
            Self::Starting => RuntimeStatus::Starting,
            Self::Running => RuntimeStatus::Running,
            Self::Degraded => RuntimeStatus::Degraded,
            Self::Unavailable => RuntimeStatus::Unavailable,
            Self::Unknown => RuntimeStatus::Unknown,
            Self::Retired => RuntimeStatus::Retired,
        }
    }
}

impl From<RuntimeStatus> for Status {
    fn from(status: RuntimeStatus) -> Self {
        match status {
            RuntimeStatus::Starting => Self::Starting,
            RuntimeStatus::Running => Self::Running,
            RuntimeStatus::Degraded => Self::Degraded,
            RuntimeStatus::Unavailable => Self::Unavailable,
            RuntimeStatus::Unknown => Self::Unknown,
            RuntimeStatus::Retired => Self::Retired,
        }
    }
}

/// The live record of one component in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RuntimeService")]
pub struct Service {
    /// Its identifier.
    pub service_id: ServiceId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its module.
    pub module_id: ModuleId,
    /// The part that it plays.
    pub component_type: ComponentType,
    /// The image, by its digest.
    pub image: ImageReference,
    /// The version that people know it by.
    pub version: Version,
    /// The revision that a deployment brought.
    pub deployed_revision: RevisionId,
    /// The surface that runs it.
    pub compute_target: SurfaceKind,
    /// How many replicas it was deployed with.
    pub replicas: Replicas,
    /// Where it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// Which revision gets how much of its traffic, in percent; empty where instances share it evenly.
    pub traffic: BTreeMap<RevisionId, Percent>,
    /// How it is.
    pub status: Status,
    /// Why, where that is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Its instances, as they were seen last.
    pub instances: Vec<ServiceInstance>,
    /// When it was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_observed_at: Option<Timestamp>,
    /// When it was recorded first.
    pub registered_at: Timestamp,
    /// How often it was written.
    pub revision: u64,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInstance {
    /// Its name on the surface.
    pub name: String,
    /// Its revision.
    pub revision: RevisionId,
    /// How it is.
    pub state: InstanceStatus,
    /// With which code it ended, where it did and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Where it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether requests are sent to its revision.
    pub is_routed: bool,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceStatus {
    /// It comes up.
    Starting,
    /// It may be sent requests.
    Ready,
    /// It may not.
    NotReady,
    /// It finishes what it has.
    Draining,
    /// It ended.
    Exited,
}

impl ServiceInstance {
    fn of(instance: &Instance) -> Self {
        let (state, exit_code) = match &instance.state {
            InstanceState::Starting => (InstanceStatus::Starting, None),
            InstanceState::Ready => (InstanceStatus::Ready, None),
            InstanceState::NotReady => (InstanceStatus::NotReady, None),
            InstanceState::Draining => (InstanceStatus::Draining, None),
            InstanceState::Exited { code } => (InstanceStatus::Exited, *code),
        };
        Self {
            name: instance.name.clone(),
            revision: instance.revision.clone(),
            state,
            exit_code,
            restarts: instance.restarts,
            address: instance.address.clone(),
            is_routed: instance.is_routed,
        }
    }
}

impl Service {
    pub(crate) fn of(
        service: &Recorded,
        tenant_id: TenantId,
        environment_id: EnvironmentId,
        at: Revision,
    ) -> Self {
        let cause = match service.state() {
            ServiceState::Starting(_) | ServiceState::Running(_) => None,
            ServiceState::Degraded(state) => Some(state.why.clone()),
            ServiceState::Unavailable(state) => Some(state.why.clone()),
            ServiceState::Unknown(state) => Some(state.why.clone()),
            ServiceState::Retired(state) => Some(state.reason.clone()),
        };
        let endpoint = service.endpoint();
        let traffic = match endpoint.and_then(|endpoint| endpoint.traffic.as_ref()) {
            Some(Traffic::Weighted(weights)) => {
                weights.iter().map(|(revision, share)| (revision.clone(), share)).collect()
            }
            Some(Traffic::PerInstance(_)) | None => BTreeMap::new(),
        };
        let version = service.version();
        Self {
            service_id: service.service_id(),
            tenant_id,
            environment_id,
            module_id: service.module_id().clone(),
            component_type: version.component_type,
            image: pinned(&version.image),
            version: version.version.clone(),
            deployed_revision: version.revision.clone(),
            compute_target: version.compute_target,
            replicas: version.replicas,
            endpoint_url: endpoint.map(|endpoint| endpoint.url.clone()),
            traffic,
            status: service.status().into(),
            cause,
            instances: service.instances().iter().map(ServiceInstance::of).collect(),
            last_observed_at: service.last_observed_at(),
            registered_at: service.registered_at(),
            revision: at.0,
        }
    }
}
