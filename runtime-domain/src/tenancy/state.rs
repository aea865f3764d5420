//! The aggregate.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{PartitionAssignment, PartitionKey, QuotaAllocation, ResourceQuota};
use crate::time::Timestamp;

/// A tenant's place in an environment, with the isolation it is promised.
///
/// It comes to be by [`RuntimeTenantBinding::bind`] and changes by [`RuntimeTenantBinding::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeTenantBinding {
    pub(super) tenant_binding_id: TenantBindingId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) isolation_model: IsolationModel,
    pub(super) partitions: PartitionAssignment,
    pub(super) bound_at: Timestamp,
    pub(super) state: BindingState,
}

/// Where a binding stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindingState {
    /// The tenant has its place.
    Bound(Bound),
    /// The tenant has left.
    Released(Released),
}

/// The tenant has its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// How much it may use.
    pub allocation: QuotaAllocation,
}

/// The tenant has left; nothing is allocated to it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// Since when.
    pub released_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BindingStatus {
    /// The tenant has its place.
    Bound,
    /// The tenant has left.
    Released,
}

impl BindingStatus {
    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bound => "Bound",
            Self::Released => "Released",
        }
    }
}

impl fmt::Display for BindingStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl BindingState {
    /// The state's name.
    pub const fn status(&self) -> BindingStatus {
        match self {
            Self::Bound(_) => BindingStatus::Bound,
            Self::Released(_) => BindingStatus::Released,
        }
    }
}

impl RuntimeTenantBinding {
    /// Its identifier.
    pub fn id(&self) -> TenantBindingId {
        self.tenant_binding_id
    }

    /// The tenant that is bound. It never changes.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// The isolation that the tenant is promised.
    pub fn isolation_model(&self) -> IsolationModel {
        self.isolation_model
    }

    /// How much the tenant may use, while it is bound.
    pub fn quota(&self) -> Option<ResourceQuota> {
        match &self.state {
            BindingState::Bound(state) => Some(state.allocation.quota),
            BindingState::Released(_) => None,
        }
    }

    /// Both partitions.
    pub fn partitions(&self) -> &PartitionAssignment {
        &self.partitions
    }

    /// Where its workloads run.
    pub fn network_partition(&self) -> &PartitionKey {
        &self.partitions.network
    }

    /// Where its data lies.
    pub fn data_partition(&self) -> &PartitionKey {
        &self.partitions.data
    }

    /// When it was bound.
    pub fn bound_at(&self) -> Timestamp {
        self.bound_at
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &BindingState {
        &self.state
    }
}
