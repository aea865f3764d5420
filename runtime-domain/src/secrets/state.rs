//! The aggregate.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::SecretVersionRef;
use crate::id::{EnvironmentId, SecretBindingId, ServiceId, TenantId};
use crate::scope::Actor;
use crate::secrets::{
    Consumption, Delivery, KeyVaultReference, ManagedIdentityRef, Rotation, RotationRecord, RotationSchedule,
    SecretReference, SecretVersion, VaultFault,
};
use crate::time::{Span, Timestamp};
use crate::value::ModuleId;

/// A component's secret in an environment: where it lies, at which version, and how it is rotated. Never its value (SEC-1).
///
/// It comes to be by [`SecretBinding::bind`] and changes by [`SecretBinding::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretBinding {
    pub(super) secret_binding_id: SecretBindingId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) module: ModuleId,
    pub(super) current: SecretReference,
    pub(super) identity: ManagedIdentityRef,
    pub(super) delivery: Delivery,
    pub(super) rotation_schedule: RotationSchedule,
    pub(super) bound_at: Timestamp,
    pub(super) rotations: Vec<RotationRecord>,
    pub(super) state: SecretState,
}

/// Where a binding stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretState {
    /// Nothing is under way.
    Bound(Bound),
    /// The vault is to make a new version.
    Requested(Requested),
    /// The vault did not make one, and is asked again.
    RotationFailed(RotationFailed),
    /// The new version is brought to every consumer.
    Distributing(Distributing),
    /// Every consumer was seen on the new version; the old one stays valid for a while.
    Grace(Grace),
    /// The vault is to retire the old version, or the new one of a rotation that was called off.
    Retiring(Retiring),
    /// It is not rotated until a person resumes it.
    Suspended(Suspended),
    /// The component no longer gets the secret.
    Unbound(Unbound),
}

/// Nothing is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Since when.
    pub since: Timestamp,
    /// When it is rotated next; `None` where on demand only.
    pub next_rotation_at: Option<Timestamp>,
}

/// Waits for the vault to make a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requested {
    /// The rotation.
    pub rotation: Rotation,
    /// Since when.
    pub since: Timestamp,
    /// How often the vault has failed before.
    pub failures: u32,
}

/// Waits to ask the vault again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationFailed {
    /// The rotation.
    pub rotation: Rotation,
    /// What went wrong last.
    pub fault: VaultFault,
    /// How often the vault has failed.
    pub failures: u32,
    /// When it is asked again.
    pub retry_at: Timestamp,
}

/// Waits until every consumer was seen on the new version. The old one is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distributing {
    /// The rotation.
    pub rotation: Rotation,
    /// The new version.
    pub version: SecretVersion,
    /// Since when. What was seen before says nothing.
    pub since: Timestamp,
    /// Who was seen last, and on which version; `None` before the first look.
    pub consumption: Option<Consumption>,
}

/// Waits until the grace is over. The old version is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grace {
    /// The rotation.
    pub rotation: Rotation,
    /// The new version.
    pub version: SecretVersion,
    /// Since when.
    pub since: Timestamp,
    /// Until when: a look at the consumers at or after this ends it.
    pub until: Timestamp,
}

/// Waits for the vault to retire a version: the old one, which the current one has replaced, or the new one of a rotation that was called
/// off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retiring {
    /// The version that nobody is to use any more.
    pub version: SecretVersion,
    /// When the vault is asked, or asked again.
    pub retry_at: Timestamp,
    /// How often the vault has failed.
    pub failures: u32,
    /// What went wrong last.
    pub fault: Option<VaultFault>,
}

/// Waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspended {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: SuspensionCause,
    /// A version that the vault has not retired yet; resuming goes on with that.
    pub unretired: Option<SecretVersion>,
}

/// Why a binding is not rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub enum SuspensionCause {
    /// Someone asked.
    Asked {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// The vault failed too often, or in a way that only a person can mend.
    VaultFailed {
        /// What went wrong last.
        fault: VaultFault,
    },
}

/// The component no longer gets the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unbound {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SecretStatus {
    /// Nothing is under way.
    Bound,
    /// The vault is to make a new version.
    Requested,
    /// The vault did not make one, and is asked again.
    RotationFailed,
    /// The new version is brought to every consumer.
    Distributing,
    /// The old version stays valid for a while.
    Grace,
    /// The vault is to retire the old version.
    Retiring,
    /// It is not rotated until a person resumes it.
    Suspended,
    /// The component no longer gets the secret.
    Unbound,
}

impl SecretStatus {
    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bound => "Bound",
            Self::Requested => "Requested",
            Self::RotationFailed => "RotationFailed",
            Self::Distributing => "Distributing",
            Self::Grace => "Grace",
            Self::Retiring => "Retiring",
            Self::Suspended => "Suspended",
            Self::Unbound => "Unbound",
        }
    }
}

impl fmt::Display for SecretStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl SecretState {
    /// The state's name.
    pub const fn status(&self) -> SecretStatus {
        match self {
            Self::Bound(_) => SecretStatus::Bound,
            Self::Requested(_) => SecretStatus::Requested,
            Self::RotationFailed(_) => SecretStatus::RotationFailed,
            Self::Distributing(_) => SecretStatus::Distributing,
            Self::Grace(_) => SecretStatus::Grace,
            Self::Retiring(_) => SecretStatus::Retiring,
            Self::Suspended(_) => SecretStatus::Suspended,
            Self::Unbound(_) => SecretStatus::Unbound,
        }
    }
}

impl SecretBinding {
    /// How often a vault may fail in a row before a person must look.
    pub const MOST_FAILURES: u32 = 8;
    /// How long the first failure waits; each one after waits twice as long.
    pub const SHORTEST_BACKOFF: Span = Span::from_secs(60);
    /// The longest that a failure waits, and that a vault may ask to be left alone.
    pub const LONGEST_BACKOFF: Span = Span::from_secs(6 * 3_600);
    /// How many past rotations are kept.
    pub const MOST_RECORDS: usize = 20;

    /// Its identifier.
    pub fn id(&self) -> SecretBindingId {
        self.secret_binding_id
    }

    /// The tenant. It never changes (SEC-3).
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment. It never changes (SEC-3).
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// The component, as the inventory knows it.
    pub fn service_id(&self) -> ServiceId {
        ServiceId::of(self.environment_id, &self.module)
    }

    /// The component's module.
    pub fn module(&self) -> &ModuleId {
        &self.module
    }

    /// Where the secret lies.
    pub fn key_vault_ref(&self) -> &KeyVaultReference {
        self.current.key_vault_ref()
    }

    /// The secret's name in its vault.
    pub fn secret_name(&self) -> &str {
        self.key_vault_ref().secret_name()
    }

    /// The current version and where it lies.
    pub fn current(&self) -> &SecretReference {
        &self.current
    }

    /// The current version: during a rotation the old one, until every consumer is on the new one and the grace is over.
    pub fn current_version(&self) -> SecretVersion {
        self.current.version()
    }

    /// The version that a rotation under way brings.
    pub fn new_version(&self) -> Option<SecretVersion> {
        match &self.state {
            SecretState::Distributing(state) => Some(state.version),
            SecretState::Grace(state) => Some(state.version),
            _ => None,
        }
    }

    /// What a component that starts now must be given: the new version while one is brought, else the current one. `None` once unbound.
    pub fn version_to_deliver(&self) -> Option<SecretVersionRef> {
        if let SecretState::Unbound(_) = self.state {
            return None;
        }
        let version = self.new_version().unwrap_or(self.current_version());
        Some(SecretVersionRef { binding: self.secret_binding_id, version })
    }

    /// As whom the component asks the vault.
    pub fn identity(&self) -> &ManagedIdentityRef {
        &self.identity
    }

    /// How the component gets it.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// When it is rotated.
    pub fn rotation_schedule(&self) -> &RotationSchedule {
        &self.rotation_schedule
    }

    /// When it was bound.
    pub fn bound_at(&self) -> Timestamp {
        self.bound_at
    }

    /// The last rotations, the oldest first.
    pub fn rotations(&self) -> &[RotationRecord] {
        &self.rotations
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &SecretState {
        &self.state
    }

    pub(super) fn has_seen(&self, version: SecretVersion) -> bool {
        self.current_version() == version
            || self.rotations.iter().any(|past| past.previous == version || past.version == Some(version))
    }
}
