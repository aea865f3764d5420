//! What a revision of a component is given of its secrets.

use serde::{Deserialize, Serialize};

use crate::component::SecretVersionRef;
use crate::id::SecretBindingId;
use crate::secrets::{
    Delivery, ManagedIdentityRef, SecretBinding, SecretReference, SecretState, SecretVersion,
};

/// A secret that a revision is given: which version of what, as whom it is asked for, and by which name the workload knows it. Never what it
/// is worth (SEC-1): whoever delivers it asks the vault.
///
/// It is all that a surface needs, so that a surface never asks a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveredSecret {
    /// The binding.
    pub binding: SecretBindingId,
    /// Where it lies, and which version.
    pub secret: SecretReference,
    /// As whom the vault is asked.
    pub identity: ManagedIdentityRef,
    /// How the workload gets it.
    pub delivery: Delivery,
}

impl DeliveredSecret {
    /// What a release's tuple names it by.
    pub fn to_version_ref(&self) -> SecretVersionRef {
        SecretVersionRef { binding: self.binding, version: self.secret.version() }
    }
}

impl SecretBinding {
    /// What a revision whose release tuple names `version` is given: that one while it is valid, else the one that a component that starts now
    /// is given. A release may come back after its secret was rotated, and a version that was retired cannot come back with it.
    ///
    /// `None` once it is unbound.
    pub fn delivered(&self, version: SecretVersion) -> Option<DeliveredSecret> {
        let newest = self.version_to_deliver()?.version;
        let is_valid = [self.current_version(), newest].contains(&version);
        let version = if is_valid { version } else { newest };
        Some(DeliveredSecret {
            binding: self.id(),
            secret: SecretReference::new(self.key_vault_ref().clone(), version).ok()?,
            identity: self.identity().clone(),
            delivery: self.delivery().clone(),
        })
    }

    /// The version that the vault is to retire now.
    pub fn version_to_retire(&self) -> Option<SecretVersion> {
        match self.state() {
            SecretState::Retiring(state) => Some(state.version),
            _ => None,
        }
    }
}
