//! What may be asked of a tenant binding.

use alloc::string::String;

use crate::aggregate::EvidenceRef;
use crate::environment::{HostedEnvironment, IsolationModel};
use crate::id::{AggregateKind, TenantBindingId, TenantId};
use crate::tenancy::{PartitionAssignment, ResourceQuota};

/// Asks for a tenant's place in an environment. Its natural key is the tenant and the environment (TEN-3).
#[derive(Debug, PartialEq, Eq)]
pub struct BindTenant {
    /// The new binding's identifier.
    pub tenant_binding_id: TenantBindingId,
    /// The tenant that is bound.
    pub tenant_id: TenantId,
    /// Proof that the environment can host it. The commit re-checks it.
    pub environment: HostedEnvironment,
    /// The isolation that the tenant is promised; it must be the environment's.
    pub isolation_model: IsolationModel,
    /// How much it may use.
    pub quota: ResourceQuota,
    /// Its partitions.
    pub partitions: PartitionAssignment,
}

impl BindTenant {
    /// The fact that the request rests on: its commit re-checks that the environment is still at exactly this revision.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            kind: AggregateKind::RuntimeEnvironment,
            id: self.environment.environment().uuid(),
            revision: self.environment.at(),
        }
    }
}

/// What may be asked of an existing binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenancyCommand {
    /// The tenant may use more, or less.
    AdjustQuota {
        /// How much.
        quota: ResourceQuota,
    },
    /// The tenant leaves the environment.
    ReleaseTenant {
        /// Why.
        reason: String,
    },
}

impl TenancyCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AdjustQuota { .. } => "AdjustQuota",
            Self::ReleaseTenant { .. } => "ReleaseTenant",
        }
    }
}
