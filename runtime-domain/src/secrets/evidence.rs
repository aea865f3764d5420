//! What a secret binding proves to others.

use crate::aggregate::EvidenceRef;
use crate::id::{AggregateKind, EnvironmentId, SecretBindingId, TenantId};
use crate::secrets::{SecretBinding, SecretRefusal, SecretState};
use crate::value::{ModuleId, Revision};

/// Proof that a component's secret is bound in an environment, so that a configuration may refer to it (CFG-2).
///
/// Only [`SecretBinding::prove`] hands it out. It can stop being true: a commit that rests on it re-checks that the binding is still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct BoundSecret {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) module: ModuleId,
    pub(crate) binding: SecretBindingId,
    pub(crate) at: Revision,
}

impl BoundSecret {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The component that the secret is bound to.
    pub fn module(&self) -> &ModuleId {
        &self.module
    }

    /// The binding.
    pub fn binding(&self) -> SecretBindingId {
        self.binding
    }

    /// The fact to re-check: the binding's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef { kind: AggregateKind::SecretBinding, id: self.binding.uuid(), revision: self.at }
    }
}

impl SecretBinding {
    /// Shows that the secret is bound. `at` is the binding's stored revision.
    ///
    /// # Errors
    /// It was unbound.
    pub fn prove(&self, at: Revision) -> Result<BoundSecret, SecretRefusal> {
        if let SecretState::Unbound(_) = self.state {
            return Err(SecretRefusal::NotBound);
        }
        Ok(BoundSecret {
            tenant: self.tenant_id,
            environment: self.environment_id,
            module: self.module.clone(),
            binding: self.secret_binding_id,
            at,
        })
    }
}
