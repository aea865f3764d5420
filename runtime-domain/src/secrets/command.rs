//! What may be asked of a secret binding.

use alloc::string::String;

use crate::aggregate::EvidenceRef;
use crate::calendar::Clearance;
use crate::environment::HostedEnvironment;
use crate::id::{AggregateKind, SecretBindingId, TenantId};
use crate::scope::Actor;
use crate::secrets::{
    Consumption, Delivery, ManagedIdentityRef, RotationCause, RotationSchedule, SecretReference,
    SecretVersion, VaultFault,
};
use crate::time::{Span, Timestamp};
use crate::value::ModuleId;

/// Asks that a component gets a secret. Its natural key is the environment, the module and the delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct BindSecret {
    /// The new binding's identifier.
    pub secret_binding_id: SecretBindingId,
    /// The tenant, who must own the environment.
    pub tenant_id: TenantId,
    /// Proof of the environment. The commit re-checks it.
    pub environment: HostedEnvironment,
    /// The component.
    pub module: ModuleId,
    /// The secret and the version that is the current one.
    pub secret: SecretReference,
    /// As whom the component asks the vault.
    pub identity: ManagedIdentityRef,
    /// How it gets it.
    pub delivery: Delivery,
    /// When it is rotated.
    pub rotation_schedule: RotationSchedule,
}

impl BindSecret {
    /// The fact that the request rests on: its commit re-checks that the environment is still at exactly this revision.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            kind: AggregateKind::RuntimeEnvironment,
            id: self.environment.environment().uuid(),
            revision: self.environment.at(),
        }
    }
}

/// Asks for a new version of the secret.
#[derive(Debug, PartialEq, Eq)]
pub struct RotateSecret {
    /// Why.
    pub cause: RotationCause,
    /// Proof that the calendar is open to rotation, or that someone broke the glass.
    pub clearance: Clearance,
}

/// What may be asked of an existing binding.
#[derive(Debug, PartialEq, Eq)]
pub enum SecretCommand {
    /// Make a new version, and bring it to every consumer.
    RotateSecret(RotateSecret),
    /// The vault has made a new version.
    RecordNewVersion {
        /// Which.
        version: SecretVersion,
    },
    /// Who uses the secret, at which version.
    RecordConsumption {
        /// When that was seen.
        observed_at: Timestamp,
        /// What was seen.
        consumption: Consumption,
    },
    /// The vault did not make a new version, or did not retire the old one.
    RecordVaultFailure {
        /// What went wrong.
        fault: VaultFault,
        /// How long the vault asked to be left alone.
        retry_after: Option<Span>,
    },
    /// The vault has retired a version.
    RecordRetired {
        /// Which.
        version: SecretVersion,
    },
    /// Rotate at other times, or with another grace.
    ChangeSchedule {
        /// When.
        rotation_schedule: RotationSchedule,
    },
    /// Call the rotation off: the old version stays the current one.
    AbortRotation {
        /// Who asks.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Rotate no more until it is resumed.
    SuspendRotation {
        /// Who asks.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Rotate again, with a fresh budget.
    ResumeRotation {
        /// Who asks.
        by: Actor,
    },
    /// The component no longer gets the secret. Nothing is revoked in the vault.
    Unbind {
        /// Why.
        reason: String,
    },
    /// Time has passed.
    Tick,
}

impl SecretCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RotateSecret(_) => "RotateSecret",
            Self::RecordNewVersion { .. } => "RecordNewVersion",
            Self::RecordConsumption { .. } => "RecordConsumption",
            Self::RecordVaultFailure { .. } => "RecordVaultFailure",
            Self::RecordRetired { .. } => "RecordRetired",
            Self::ChangeSchedule { .. } => "ChangeSchedule",
            Self::AbortRotation { .. } => "AbortRotation",
            Self::SuspendRotation { .. } => "SuspendRotation",
            Self::ResumeRotation { .. } => "ResumeRotation",
            Self::Unbind { .. } => "Unbind",
            Self::Tick => "Tick",
        }
    }

    /// The fact that the command rests on, for the commands that rest on one: the commit re-checks it.
    pub fn evidence(&self) -> Option<EvidenceRef> {
        match self {
            Self::RotateSecret(rotate) => Some(rotate.clearance.evidence()),
            _ => None,
        }
    }
}
