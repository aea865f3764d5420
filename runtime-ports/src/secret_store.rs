//! Vaults: where secrets lie, in versions.
//!
//! ```text
//!   create_version ─► versions … ─► deliver ─► SecretSink (a file, a variable of one process) ─► wiped
//!                          └─► retire_version: no longer delivered to anyone
//! ```
//!
//! What a secret is worth leaves a vault on one way only: from [`SecretStore::deliver`] into a [`SecretSink`], as a [`SecretValue`]. Services
//! name versions; they call neither.

use std::fmt;

use async_trait::async_trait;
use runtime_domain::bug;
use runtime_domain::id::{SecretBindingId, TenantId};
use runtime_domain::secrets::{
    KeyVaultReference, ManagedIdentityRef, SecretReference, SecretVersion, VaultKind,
};
use runtime_domain::surface::{EffectClass, FencingToken};
use runtime_domain::time::Timestamp;
use zeroize::Zeroizing;

use crate::PortResult;

/// What a secret is worth, on its way from a vault to a workload.
///
/// Its memory is wiped when it is dropped. It has no `Clone`, `Display`, `PartialEq` or serde, and its `Debug` tells nothing, its length neither.
///
/// ```compile_fail
/// let value = runtime_ports::secret_store::SecretValue::new(vec![1, 2, 3]);
/// let copy = value.clone();
/// ```
/// ```compile_fail
/// let value = runtime_ports::secret_store::SecretValue::new(vec![1, 2, 3]);
/// println!("{value}");
/// ```
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes bytes, to wipe them in the end.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Whoever asks for them answers for every copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if bug!("key-printed-by-formatting") {
            return write!(formatter, "SecretValue({:?})", self.0);
        }
        formatter.write_str("SecretValue(…)")
    }
}

/// Takes what a vault delivers, for one workload.
pub trait SecretSink: Send {
    /// Takes the value, once.
    ///
    /// # Errors
    /// It could not be kept where the workload finds it. The error holds nothing of the value.
    fn receive(self: Box<Self>, value: SecretValue) -> PortResult<()>;
}

/// As whom a vault is asked: another tenant's secrets are answered as if they did not exist (X-1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretAccess {
    /// The tenant.
    pub tenant: TenantId,
    /// The workload's identity.
    pub identity: ManagedIdentityRef,
}

/// Identifies one rotation of one binding: the same rotation asks with the same identifier, whichever host performs it, and however often.
///
/// Displayed as `sec_…/<version before>/<microseconds since 1970>`, for vaults that keep a text beside each version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RotationId {
    /// The binding.
    pub binding: SecretBindingId,
    /// The version that was the current one.
    pub previous: SecretVersion,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

impl fmt::Display for RotationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { binding, previous, requested_at } = self;
        write!(formatter, "{binding}/{previous}/{}", requested_at.timestamp_micros())
    }
}

impl RotationId {
    /// Reads what is displayed; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (binding, previous, micros) = (parts.next()?, parts.next()?, parts.next()?);
        let id = Self {
            binding: binding.parse().ok()?,
            previous: previous.parse().ok()?,
            requested_at: Timestamp::from_timestamp_micros(micros.parse().ok()?)?,
        };
        (parts.next().is_none() && id.to_string() == text).then_some(id)
    }
}

/// Who changes something in a vault, and for which rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultContext {
    /// The rotation.
    pub rotation: RotationId,
    /// The token of the lease that the host holds.
    pub fence: FencingToken,
}

/// One version of a secret, as its vault lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// Which.
    pub version: SecretVersion,
    /// Since when.
    pub created_at: Timestamp,
    /// The rotation that it was made for; `None` for what a person put in, and where the vault does not know.
    pub made_for: Option<RotationId>,
    /// Whether it is no longer delivered.
    pub is_retired: bool,
}

/// A vault.
///
/// # Flow
/// A rotation: `versions`, to retire what an earlier one left → `create_version` → the workload is given the new one by `deliver`, on the way
/// that its surface has → `retire_version`, once nobody uses the old one.
///
/// # Guarantees
/// - `create_version` for a rotation that it was done for before gives the version that was made then, and makes none: so a host that died
///   after it is continued.
/// - A version is delivered as it was made, until it is retired; from then on to nobody. Retiring what is retired is a success.
/// - Versions of one secret differ for ever; where they are counted, the later has the greater number.
/// - What an identity may not have is [`Denied`](crate::PortErrorKind::Denied); what is another tenant's does not exist.
/// - No error, log or `Debug` holds anything of a value.
///
/// # Errors
/// [`NotFound`](crate::PortErrorKind::NotFound) for a secret or version that does not exist or was retired,
/// [`Denied`](crate::PortErrorKind::Denied), [`Exhausted`](crate::PortErrorKind::Exhausted) where the vault asks to be left alone,
/// [`Unsupported`](crate::PortErrorKind::Unsupported) where it cannot make this secret's next value,
/// [`Fenced`](crate::PortErrorKind::Fenced) for a token that is older than one already seen for the same secret,
/// [`Corrupt`](crate::PortErrorKind::Corrupt) for what was tampered with. A change that was cut off answers with
/// [`Retry::OutcomeUnknown`](crate::Retry::OutcomeUnknown).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// The kind of vault. A host has one of each.
    fn kind(&self) -> VaultKind;

    /// What making or retiring a version a second time does.
    fn effect_class(&self) -> EffectClass;

    /// Whether the vault can be used now.
    async fn check(&self) -> PortResult<()>;

    /// Every version of a secret, the oldest first, the retired ones too.
    async fn versions(
        &self,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<Vec<VersionEntry>>;

    /// Makes the next version for a rotation, by the vault's own rule for this secret, and tells which. Nobody is given it by this.
    async fn create_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<SecretVersion>;

    /// Delivers a version to nobody from now on.
    async fn retire_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &SecretReference,
    ) -> PortResult<()>;

    /// Gives a version's value to a workload's sink.
    async fn deliver(
        &self,
        access: &SecretAccess,
        secret: &SecretReference,
        sink: Box<dyn SecretSink>,
    ) -> PortResult<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_read_back_as_it_is_written_and_otherwise_not() {
        let id = RotationId {
            binding: SecretBindingId::from_uuid(uuid::Uuid::from_u128(7)),
            previous: "3".parse().unwrap(),
            requested_at: Timestamp::from_timestamp_micros(1_800_000_000_000_001).unwrap(),
        };
        assert_eq!(RotationId::parse(&id.to_string()), Some(id));
        for odd in ["", "3/4", &format!("{id}/"), &format!("0{id}"), &id.to_string().replace("/3/", "/03/")] {
            assert_eq!(RotationId::parse(odd), None, "{odd}");
        }
    }

    /// Buried: argo-cd#12309. Theirs: a private key was printed with the struct that held it. Ours: a value has no text: `Debug` writes
    /// `SecretValue(…)`, however deep it stands.
    #[test]
    fn a_value_tells_nothing_of_itself() {
        let value = SecretValue::new(b"hunter2".to_vec());
        assert_eq!(format!("{value:?} {:#?}", [&value]), "SecretValue(…) [\n    SecretValue(…),\n]");
        assert_eq!(value.expose(), b"hunter2");
    }
}
