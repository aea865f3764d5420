//! The aggregate.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::InstanceResources;
use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{
    PartitionAssignment, PartitionKey, QuotaAllocation, ResourceQuota, TenantMove, WorkloadLedger,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

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
    pub(super) bound_at: Option<Timestamp>,
    pub(super) is_protected: bool,
    pub(super) workloads: WorkloadLedger,
    pub(super) state: BindingState,
}

/// Where a binding stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindingState {
    /// Its quota is reserved, and waits to be committed.
    Pending(Pending),
    /// The tenant has its place.
    Bound(Bound),
    /// The tenant has its place, which takes no new deployments.
    Cordoned(Cordoned),
    /// The tenant moves to another environment.
    Moving(Moving),
    /// The tenant has left.
    Released(Released),
}

/// Its quota is reserved, and waits to be committed. The tenant may use nothing yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// How much is asked for.
    pub quota: ResourceQuota,
    /// When it is given up.
    pub until: Timestamp,
}

/// The tenant has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// How much it may use. The environment has committed at least this to it (TEN-2).
    pub allocation: QuotaAllocation,
    /// What is not settled with the environment yet.
    #[serde(default)]
    pub exchange: Option<QuotaExchange>,
}

/// What a binding and its environment have not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaExchange {
    /// More was asked for, is reserved, and waits to be committed.
    Increase {
        /// How much, in all.
        quota: ResourceQuota,
        /// When it is given up.
        until: Timestamp,
    },
    /// The environment may hold more than the binding uses, and waits to hear of it.
    Surplus {
        /// Since when.
        since: Timestamp,
    },
}

/// The tenant has its place, which takes no new deployments. What runs there stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cordoned {
    /// The place.
    pub bound: Bound,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// The tenant moves to another environment. Its place here takes no new deployments, so that what was replicated stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moving {
    /// The place it moves from.
    pub bound: Bound,
    /// The plan, and how far it has come.
    pub relocation: TenantMove,
}

/// The tenant has left; nothing is allocated to it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// Since when.
    pub released_at: Timestamp,
    /// Why.
    pub reason: String,
    /// Whether the environment is known to hold nothing for it. A binding that was stored without it never held anything.
    #[serde(default = "returned")]
    pub is_quota_returned: bool,
}

const fn returned() -> bool {
    true
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BindingStatus {
    /// Its quota waits to be committed.
    Pending,
    /// The tenant has its place.
    Bound,
    /// The tenant has its place, which takes no new deployments.
    Cordoned,
    /// The tenant moves to another environment.
    Moving,
    /// The tenant has left.
    Released,
}

impl BindingStatus {
    /// Every status, in the order of a binding's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Bound, Self::Cordoned, Self::Moving, Self::Released];

    /// Those in which the tenant has, or is getting, its place.
    pub const CURRENT: [Self; 4] = [Self::Pending, Self::Bound, Self::Cordoned, Self::Moving];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Bound => "Bound",
            Self::Cordoned => "Cordoned",
            Self::Moving => "Moving",
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
            Self::Pending(_) => BindingStatus::Pending,
            Self::Bound(_) => BindingStatus::Bound,
            Self::Cordoned(_) => BindingStatus::Cordoned,
            Self::Moving(_) => BindingStatus::Moving,
            Self::Released(_) => BindingStatus::Released,
        }
    }

    /// The tenant's place, while it has one.
    pub const fn bound(&self) -> Option<&Bound> {
        match self {
            Self::Bound(bound)
            | Self::Cordoned(Cordoned { bound, .. })
            | Self::Moving(Moving { bound, .. }) => Some(bound),
            Self::Pending(_) | Self::Released(_) => None,
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

    /// How much the tenant may use, while it is bound. The environment's ledger has committed at least this to it (TEN-2).
    pub fn quota(&self) -> Option<ResourceQuota> {
        self.state.bound().map(|bound| bound.allocation.quota)
    }

    /// Whether its environment and it have something to settle about its quota: what is claimed waits to be committed and confirmed, or
    /// what was released waits to be returned.
    pub fn is_settled(&self) -> bool {
        match &self.state {
            BindingState::Pending(_) => false,
            BindingState::Released(released) => released.is_quota_returned,
            BindingState::Bound(bound)
            | BindingState::Cordoned(Cordoned { bound, .. })
            | BindingState::Moving(Moving { bound, .. }) => bound.exchange.is_none(),
        }
    }

    /// Whether it is protected from release.
    pub fn is_protected(&self) -> bool {
        self.is_protected
    }

    /// What its workloads are charged, by component. Never more than its quota in any unit (TEN-2).
    pub fn workloads(&self) -> &WorkloadLedger {
        &self.workloads
    }

    /// The most replicas of a component for which the quota has room beside all else, where each needs as much; `None` where what serves of it
    /// is not charged for.
    pub fn room(&self, module: &ModuleId, each: InstanceResources) -> Option<u16> {
        self.workloads.room(self.state.bound()?.allocation.quota, module, each)
    }

    /// The tenant's move, while it moves.
    pub fn relocation(&self) -> Option<&TenantMove> {
        match &self.state {
            BindingState::Moving(moving) => Some(&moving.relocation),
            _ => None,
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

    /// When the tenant got its place; `None` where it has not yet, or never did.
    pub fn bound_at(&self) -> Option<Timestamp> {
        self.bound_at
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &BindingState {
        &self.state
    }
}
