//! What happens to a secret binding.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::calendar::BreakGlass;
use crate::id::{EnvironmentId, SecretBindingId, ServiceId, TenantId};
use crate::scope::Actor;
use crate::secrets::{
    Consumption, Delivery, KeyVaultReference, ManagedIdentityRef, RotationCause, RotationKind,
    RotationSchedule, SecretVersion, SuspensionCause, VaultFault,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// What a binding begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretBound {
    /// The binding.
    pub secret_binding_id: SecretBindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The component, as the inventory knows it.
    pub service_id: ServiceId,
    /// The component's module.
    pub module: ModuleId,
    /// Where the secret lies.
    pub key_vault_ref: KeyVaultReference,
    /// As whom the component asks for it.
    pub identity: ManagedIdentityRef,
    /// How the component gets it.
    pub delivery: Delivery,
    /// The version.
    pub version: SecretVersion,
    /// When it is rotated.
    pub rotation_schedule: RotationSchedule,
    /// When it is rotated first.
    pub next_rotation_at: Option<Timestamp>,
}

/// What happens to a secret binding. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum SecretEvent {
    /// The component gets the secret. Published.
    SecretBound(Box<SecretBound>),
    /// A new version was asked for.
    SecretRotationRequested {
        /// Why.
        cause: RotationCause,
        /// Who broke the glass, where the calendar was closed.
        break_glass: Option<BreakGlass>,
    },
    /// The rotation under way turned out to be urgent: it gives no grace.
    SecretRotationEscalated {
        /// Why.
        cause: RotationCause,
        /// Who broke the glass, where the calendar was closed.
        break_glass: Option<BreakGlass>,
    },
    /// The vault did not make a new version.
    SecretRotationFailed {
        /// What went wrong.
        fault: VaultFault,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// It is tried again.
    SecretRotationRetried,
    /// The vault has a new version.
    SecretVersionCreated {
        /// Which.
        version: SecretVersion,
    },
    /// Who uses the secret has changed, or at which version.
    SecretConsumptionObserved {
        /// What was seen.
        consumption: Consumption,
    },
    /// Every consumer was seen on the new version.
    SecretDistributed {
        /// Until when the old one stays valid at least.
        grace_until: Timestamp,
    },
    /// The new version is the current one. Published.
    SecretRotated {
        /// The binding.
        secret_binding_id: SecretBindingId,
        /// The component.
        service_id: ServiceId,
        /// The component's module.
        module: ModuleId,
        /// The version before, which is retired now.
        previous: SecretVersion,
        /// The version.
        version: SecretVersion,
        /// What kind of cause it had.
        cause: RotationKind,
    },
    /// The vault did not retire the old version.
    SecretRetirementFailed {
        /// What went wrong.
        fault: VaultFault,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// The vault has retired the old version.
    SecretVersionRetired {
        /// Which.
        version: SecretVersion,
        /// When the secret is rotated next.
        next_rotation_at: Option<Timestamp>,
    },
    /// The rotation was called off.
    SecretRotationAborted {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
        /// When the secret is rotated next, where no new version is to be retired before.
        next_rotation_at: Option<Timestamp>,
    },
    /// It is rotated at other times.
    SecretRotationScheduleChanged {
        /// When.
        rotation_schedule: RotationSchedule,
        /// When it is rotated next, where nothing is under way.
        next_rotation_at: Option<Timestamp>,
    },
    /// It is not rotated any more until it is resumed.
    SecretRotationSuspended {
        /// Why.
        cause: SuspensionCause,
    },
    /// It is rotated again.
    SecretRotationResumed {
        /// By whom.
        by: Actor,
        /// When it is rotated next, where nothing is under way.
        next_rotation_at: Option<Timestamp>,
    },
    /// The component no longer gets the secret.
    SecretUnbound {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for SecretEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::SecretBound(_) => "SecretBound",
            Self::SecretRotationRequested { .. } => "SecretRotationRequested",
            Self::SecretRotationEscalated { .. } => "SecretRotationEscalated",
            Self::SecretRotationFailed { .. } => "SecretRotationFailed",
            Self::SecretRotationRetried => "SecretRotationRetried",
            Self::SecretVersionCreated { .. } => "SecretVersionCreated",
            Self::SecretConsumptionObserved { .. } => "SecretConsumptionObserved",
            Self::SecretDistributed { .. } => "SecretDistributed",
            Self::SecretRotated { .. } => "SecretRotated",
            Self::SecretRetirementFailed { .. } => "SecretRetirementFailed",
            Self::SecretVersionRetired { .. } => "SecretVersionRetired",
            Self::SecretRotationAborted { .. } => "SecretRotationAborted",
            Self::SecretRotationScheduleChanged { .. } => "SecretRotationScheduleChanged",
            Self::SecretRotationSuspended { .. } => "SecretRotationSuspended",
            Self::SecretRotationResumed { .. } => "SecretRotationResumed",
            Self::SecretUnbound { .. } => "SecretUnbound",
        }
    }

    fn published(&self) -> Option<u16> {
        matches!(self, Self::SecretBound(_) | Self::SecretRotated { .. }).then_some(1)
    }
}
