//! What a tenant binding proves to others.

use crate::aggregate::EvidenceRef;
use crate::environment::IsolationModel;
use crate::id::{AggregateKind, EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{
    BindingState, Cordoned, Moving, QuotaExchange, ResourceQuota, RuntimeTenantBinding, TenancyRefusal,
};
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
    pub(crate) is_cordoned: bool,
    pub(crate) binding: TenantBindingId,
    pub(crate) at: Revision,
}

/// Proof of what a tenant binding claims of its environment: all that it uses, and all that it waits for (TEN-2).
///
/// Only [`RuntimeTenantBinding::claim`] hands it out. It can stop being true: a commit that rests on it re-checks that the binding is
/// still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct ClaimedQuota {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) binding: TenantBindingId,
    pub(crate) quota: ResourceQuota,
    pub(crate) at: Revision,
}

/// Proof that a tenant has left an environment and uses nothing of it.
///
/// Only [`RuntimeTenantBinding::released`] hands it out. It stays true: a binding that was released is never bound again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct ReleasedTenant {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) binding: TenantBindingId,
    pub(crate) at: Revision,
}

fn revision_of(binding: TenantBindingId, at: Revision) -> EvidenceRef {
    EvidenceRef { kind: AggregateKind::RuntimeTenantBinding, id: binding.uuid(), revision: at }
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

    /// Whether the place takes no new deployments: it is cordoned, or the tenant is moving away.
    pub fn is_cordoned(&self) -> bool {
        self.is_cordoned
    }

    /// The binding.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// The binding's stored revision when it said so.
    pub fn at(&self) -> Revision {
        self.at
    }

    /// The fact to re-check.
    pub fn evidence(&self) -> EvidenceRef {
        revision_of(self.binding, self.at)
    }
}

impl ClaimedQuota {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The binding.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// How much it claims.
    pub fn quota(&self) -> ResourceQuota {
        self.quota
    }

    /// The fact to re-check: the binding's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        revision_of(self.binding, self.at)
    }
}

impl ReleasedTenant {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The binding.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// The fact to re-check: the binding's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        revision_of(self.binding, self.at)
    }
}

impl RuntimeTenantBinding {
    /// Shows that the tenant has its place. `at` is the binding's stored revision.
    ///
    /// # Errors
    /// ENV-3 where the tenant has no place yet, or was released.
    pub fn prove(&self, at: Revision) -> Result<BoundTenant, TenancyRefusal> {
        let is_cordoned = match &self.state {
            BindingState::Bound(_) => false,
            BindingState::Cordoned(_) | BindingState::Moving(_) => true,
            BindingState::Pending(_) | BindingState::Released(_) => {
                return Err(TenancyRefusal::NotBound { environment: self.environment_id });
            }
        };
        Ok(BoundTenant {
            tenant: self.tenant_id,
            environment: self.environment_id,
            isolation_model: self.isolation_model,
            is_cordoned,
            binding: self.tenant_binding_id,
            at,
        })
    }

    /// Shows what the binding claims of its environment. `at` is the binding's stored revision.
    ///
    /// # Errors
    /// ENV-3 where the tenant was released.
    pub fn claim(&self, at: Revision) -> Result<ClaimedQuota, TenancyRefusal> {
        let quota = self.claimed().ok_or(TenancyRefusal::NotBound { environment: self.environment_id })?;
        Ok(ClaimedQuota {
            tenant: self.tenant_id,
            environment: self.environment_id,
            binding: self.tenant_binding_id,
            quota,
            at,
        })
    }

    pub(super) fn claimed(&self) -> Option<ResourceQuota> {
        match &self.state {
            BindingState::Pending(pending) => Some(pending.quota),
            BindingState::Bound(bound)
            | BindingState::Cordoned(Cordoned { bound, .. })
            | BindingState::Moving(Moving { bound, .. }) => Some(match bound.exchange {
                Some(QuotaExchange::Increase { quota, .. }) => bound.allocation.quota.covering(quota),
                Some(QuotaExchange::Surplus { .. }) | None => bound.allocation.quota,
            }),
            BindingState::Released(_) => None,
        }
    }

    /// Shows that the tenant has left. `at` is the binding's stored revision.
    ///
    /// # Errors
    /// LIFECYCLE where it has not.
    pub fn released(&self, at: Revision) -> Result<ReleasedTenant, TenancyRefusal> {
        match &self.state {
            BindingState::Released(_) => Ok(ReleasedTenant {
                tenant: self.tenant_id,
                environment: self.environment_id,
                binding: self.tenant_binding_id,
                at,
            }),
            _ => Err(self.lifecycle("ReleaseQuota", "release the tenant first")),
        }
    }
}
