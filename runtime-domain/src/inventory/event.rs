//! What happens to a service in the inventory.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::id::{EnvironmentId, ServiceId, TenantId};
use crate::inventory::{DeployedRevision, RuntimeStatus, ServiceState};
use crate::value::ModuleId;

/// What a service begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRegistered {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// What was deployed.
    pub deployed: DeployedRevision,
}

/// What is new in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InventoryChange {
    /// The service.
    Registered(ServiceRegistered),
    /// Its version: it is Unknown until it is seen.
    VersionRecorded(DeployedRevision),
    /// How it is seen to be.
    Observed(ServiceState),
}

/// What happens to a service. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum InventoryEvent {
    /// Something about it is new. Published.
    RuntimeInventoryUpdated {
        /// The service.
        service_id: ServiceId,
        /// Its module.
        module_id: ModuleId,
        /// Its status from now on.
        status: RuntimeStatus,
        /// What is new.
        change: InventoryChange,
    },
    /// It was looked at in vain; what was seen last still counts.
    ServiceObservationMissed {
        /// Why nothing was seen.
        reason: String,
    },
    /// It was taken away on purpose. Published.
    RuntimeServiceRetired {
        /// The service.
        service_id: ServiceId,
        /// Its module.
        module_id: ModuleId,
        /// Why.
        reason: String,
    },
}

impl DomainEvent for InventoryEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::RuntimeInventoryUpdated { .. } => "RuntimeInventoryUpdated",
            Self::ServiceObservationMissed { .. } => "ServiceObservationMissed",
            Self::RuntimeServiceRetired { .. } => "RuntimeServiceRetired",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeInventoryUpdated { .. } | Self::RuntimeServiceRetired { .. } => Some(1),
            Self::ServiceObservationMissed { .. } => None,
        }
    }
}
