//! What may be asked of a service in the inventory.

use alloc::string::String;

use crate::deployment::DeployedVersion;
use crate::id::{EnvironmentId, ServiceId, TenantId};
use crate::surface::ComponentObservation;

/// Asks for an inventory record. Its natural key is the environment and the version's module.
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterService {
    /// The new record's identifier.
    pub service_id: ServiceId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Proof of what a deployment brought there (SVC-1).
    pub version: DeployedVersion,
}

/// What may be asked of an existing service.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a command is made, decided upon and dropped: never stored in numbers"
)]
pub enum InventoryCommand {
    /// A deployment brought another version.
    RecordDeployedVersion {
        /// Proof of what it brought (SVC-1).
        version: DeployedVersion,
    },
    /// A surface was looked at.
    RecordObservation {
        /// What it showed.
        observation: ComponentObservation,
    },
    /// A surface was looked at in vain.
    MarkUnobserved {
        /// Why nothing was seen. Never a secret.
        reason: String,
    },
    /// The component was taken away on purpose.
    RetireService {
        /// Why.
        reason: String,
    },
}

impl InventoryCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RecordDeployedVersion { .. } => "RecordDeployedVersion",
            Self::RecordObservation { .. } => "RecordObservation",
            Self::MarkUnobserved { .. } => "MarkUnobserved",
            Self::RetireService { .. } => "RetireService",
        }
    }
}
