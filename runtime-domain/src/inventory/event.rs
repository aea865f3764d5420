//! What happens to an inventory record.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::id::{EnvironmentId, ServiceId, TenantId};
use crate::inventory::state::{RecordedVersion, RuntimeStatus, Snapshot};
use crate::time::Timestamp;

/// What a record begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Registered {
    /// The record.
    pub service_id: ServiceId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// What a deployment brought.
    pub version: RecordedVersion,
}

/// What changed in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "change", rename_all = "PascalCase")]
pub enum InventoryUpdate {
    /// The record exists, or exists again after it was retired.
    Registered(Registered),
    /// A deployment brought another version.
    VersionRecorded {
        /// Which.
        version: RecordedVersion,
        /// The status that follows from what was last seen.
        status: RuntimeStatus,
        /// What it was concluded from.
        why: String,
    },
    /// What a surface shows has changed.
    Observed {
        /// What it shows.
        snapshot: Snapshot,
        /// The status that follows from it.
        status: RuntimeStatus,
        /// What it was concluded from.
        why: String,
    },
    /// Nothing was seen for too long.
    Unobserved {
        /// How long.
        why: String,
    },
}

/// What happens to an inventory record. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum InventoryEvent {
    /// The inventory has changed. Published.
    RuntimeInventoryUpdated(InventoryUpdate),
    /// All is as it was, and was seen to be.
    ServiceSeen {
        /// When.
        observed_at: Timestamp,
    },
    /// The component is gone, until a deployment brings it again. Published.
    RuntimeServiceRetired {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for InventoryEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::RuntimeInventoryUpdated(_) => "RuntimeInventoryUpdated",
            Self::ServiceSeen { .. } => "ServiceSeen",
            Self::RuntimeServiceRetired { .. } => "RuntimeServiceRetired",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeInventoryUpdated(_) | Self::RuntimeServiceRetired { .. } => Some(1),
            Self::ServiceSeen { .. } => None,
        }
    }
}
