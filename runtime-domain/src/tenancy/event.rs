//! What happens to a tenant binding.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{PartitionAssignment, ResourceQuota};

/// What a binding begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantBound {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The isolation that the tenant is promised.
    pub isolation_model: IsolationModel,
    /// How much it may use.
    pub quota: ResourceQuota,
    /// Its partitions.
    pub partitions: PartitionAssignment,
}

/// What happens to a tenant binding. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum TenancyEvent {
    /// The tenant has its place. Published.
    RuntimeTenantBound(TenantBound),
    /// The tenant may use more, or less. Published.
    RuntimeTenantQuotaAdjusted {
        /// The binding.
        tenant_binding_id: TenantBindingId,
        /// How much it might use before.
        previous: ResourceQuota,
        /// How much it may use.
        quota: ResourceQuota,
    },
    /// The tenant has left.
    TenantReleased {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for TenancyEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::RuntimeTenantBound(_) => "RuntimeTenantBound",
            Self::RuntimeTenantQuotaAdjusted { .. } => "RuntimeTenantQuotaAdjusted",
            Self::TenantReleased { .. } => "TenantReleased",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeTenantBound(_) | Self::RuntimeTenantQuotaAdjusted { .. } => Some(1),
            Self::TenantReleased { .. } => None,
        }
    }
}
