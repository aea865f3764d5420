//! What a tenant binding proves to others.

use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{BindingState, RuntimeTenantBinding, TenancyRefusal};
use crate::value::Revision;

/// Proof that a tenant has its place in an environment (ENV-3).
///
/// Only [`RuntimeTenantBinding::prove`] hands it out. It can stop being true: a commit that rests on it re-checks that the binding is
/// still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct BoundTenant {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) isolation_model: IsolationModel,
    pub(crate) binding: TenantBindingId,
    pub(crate) at: Revision,
}

impl BoundTenant {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The isolation that the tenant is promised.
    pub fn isolation_model(&self) -> IsolationModel {
        self.isolation_model
    }

    /// The binding.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// The binding's stored revision when it said so.
    pub fn at(&self) -> Revision {
        self.at
    }
}

impl RuntimeTenantBinding {
    /// Shows that the tenant has its place. `at` is the binding's stored revision.
    ///
    /// # Errors
    /// The tenant was released.
    pub fn prove(&self, at: Revision) -> Result<BoundTenant, TenancyRefusal> {
        match &self.state {
            BindingState::Bound(_) => Ok(BoundTenant {
                tenant: self.tenant_id,
                environment: self.environment_id,
                isolation_model: self.isolation_model,
                binding: self.tenant_binding_id,
                at,
            }),
            BindingState::Released(_) => Err(TenancyRefusal::NotBound { environment: self.environment_id }),
        }
    }
}
