//! Tenant bindings.

use std::collections::BTreeMap;

use runtime_domain::environment::IsolationModel;
use runtime_domain::id::{EnvironmentId, TenantBindingId, TenantId};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::{
    BindingState, BindingStatus, MoveStage, PartitionAssignment, PartitionKey, RuntimeTenantBinding,
    TenantMove as Moving, WorkloadDemand,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::isolation::Enforcement;
use runtime_services::tenancy::{NewBinding, TenantIsolation as Isolation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::environments::Quota;
use crate::document::millis;
use crate::problem::{Problem, ProblemKind};

/// Binds the caller's tenant to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BindTenant {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// How the tenant is kept apart; it must be the environment's model.
    pub isolation_model: IsolationModel,
    /// How much it may use.
    pub quota: Quota,
    /// Its part of the network; one that follows from tenant and environment where it is not said.
    #[serde(default)]
    pub network_partition: Option<Name>,
    /// Its part of the data; as the other.
    #[serde(default)]
    pub data_partition: Option<Name>,
}

impl BindTenant {
    pub(crate) fn into_wanted(self, tenant: TenantId) -> Result<NewBinding, Problem> {
        let derived = PartitionAssignment::derived(tenant, self.environment_id, self.isolation_model);
        let key = |named: Option<Name>, derived: PartitionKey| match named {
            Some(name) => PartitionKey::new(name.as_str())
                .map_err(|error| Problem::new(ProblemKind::Unprocessable, error.to_string())),
            None => Ok(derived),
        };
        Ok(NewBinding {
            environment: self.environment_id,
            isolation_model: self.isolation_model,
            quota: self.quota.into_quota()?,
            partitions: PartitionAssignment {
                network: key(self.network_partition, derived.network)?,
                data: key(self.data_partition, derived.data)?,
            },
        })
    }
}

/// Names a tenant binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantBindingRequest {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
}

/// Asks for a list of bindings. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListTenantBindings {
    /// Only to this environment.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Only with one of these statuses.
    #[serde(default)]
    pub status: Vec<Status>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for a binding's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantBindingHistoryRequest {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Changes how much the tenant may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdjustQuota {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
    /// How much.
    pub quota: Quota,
}

/// Keeps a binding from being released, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProtectTenantBinding {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
    /// Whether it is to be kept.
    pub is_protected: bool,
}

/// Moves a tenant into a silo of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveTenant {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
    /// The silo.
    pub target_environment_id: EnvironmentId,
    /// How long the silo serves everything before the old place stops serving, in milliseconds.
    pub observe_millis: u64,
}

/// Names a binding, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantBindingReason {
    /// The binding.
    pub tenant_binding_id: TenantBindingId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// How a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "TenantBindingStatus")]
pub enum Status {
    /// Its quota is being settled.
    Pending,
    /// The tenant has its place.
    Bound,
    /// No new deployment is let in.
    Cordoned,
    /// The tenant moves.
    Moving,
    /// It ended.
    Released,
}

impl Status {
    pub(crate) const fn stored(self) -> BindingStatus {
        match self {
            Self::Pending => BindingStatus::Pending,
            Self::Bound => BindingStatus::Bound,
            Self::Cordoned => BindingStatus::Cordoned,
            Self::Moving => BindingStatus::Moving,
            Self::Released => BindingStatus::Released,
        }
    }
}

impl From<BindingStatus> for Status {
    fn from(status: BindingStatus) -> Self {
        match status {
            BindingStatus::Pending => Self::Pending,
            BindingStatus::Bound => Self::Bound,
            BindingStatus::Cordoned => Self::Cordoned,
            BindingStatus::Moving => Self::Moving,
            BindingStatus::Released => Self::Released,
        }
    }
}

/// A tenant's place in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantBinding {
    /// Its identifier.
    pub tenant_binding_id: TenantBindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// How the tenant is kept apart.
    pub isolation_model: IsolationModel,
    /// How much it may use, while it has its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// How much its workloads are charged.
    pub charged: Quota,
    /// Its part of the network.
    pub network_partition: String,
    /// Its part of the data.
    pub data_partition: String,
    /// How it is.
    pub status: Status,
    /// Why it is cordoned or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The move, while the tenant moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relocation: Option<TenantMove>,
    /// Whether it is kept from being released.
    pub is_protected: bool,
    /// When the tenant got its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_at: Option<Timestamp>,
    /// How often it was written.
    pub revision: u64,
}

/// A tenant's move, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantMove {
    /// Where the tenant moves.
    pub target_environment_id: EnvironmentId,
    /// Its place there.
    pub target_binding_id: TenantBindingId,
    /// How long the silo serves everything before the old place stops serving, in milliseconds.
    pub observe_millis: u64,
    /// How far it has come.
    pub stage: TenantMoveStage,
    /// Since when it is there.
    pub since: Timestamp,
    /// When the stage's step may be tried again, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TenantMoveStage {
    /// The target is getting workloads and data; the source serves.
    Replicating,
    /// Requests are being sent to the target.
    Switching,
    /// The target serves, and is watched.
    Observing,
    /// The source stops serving.
    Cordoning,
    /// What the source has of the tenant is removed.
    Releasing,
    /// The source starts to serve again.
    Uncordoning,
    /// Requests are being sent back to the source.
    SwitchingBack,
}

impl TenantMove {
    fn of(relocation: &Moving) -> Self {
        Self {
            target_environment_id: relocation.target_environment,
            target_binding_id: relocation.target_binding,
            observe_millis: millis(relocation.observe_for),
            stage: match relocation.stage {
                MoveStage::Replicating => TenantMoveStage::Replicating,
                MoveStage::Switching => TenantMoveStage::Switching,
                MoveStage::Observing => TenantMoveStage::Observing,
                MoveStage::Cordoning => TenantMoveStage::Cordoning,
                MoveStage::Releasing => TenantMoveStage::Releasing,
                MoveStage::Uncordoning => TenantMoveStage::Uncordoning,
                MoveStage::SwitchingBack => TenantMoveStage::SwitchingBack,
            },
            since: relocation.since,
            retry_at: relocation.retry_at,
        }
    }
}

fn charged(demand: WorkloadDemand) -> Quota {
    Quota {
        cpu_millicores: demand.cpu_millicores,
        memory_bytes: demand.memory_bytes,
        storage_bytes: demand.storage_bytes,
        requests_per_second: demand.requests_per_second,
    }
}

impl TenantBinding {
    pub(crate) fn of(binding: &RuntimeTenantBinding, revision: Revision) -> Self {
        let cause = match binding.state() {
            BindingState::Cordoned(state) => Some(state.reason.clone()),
            BindingState::Released(state) => Some(state.reason.clone()),
            BindingState::Pending(_) | BindingState::Bound(_) | BindingState::Moving(_) => None,
        };
        Self {
            tenant_binding_id: binding.id(),
            tenant_id: binding.tenant_id(),
            environment_id: binding.environment_id(),
            isolation_model: binding.isolation_model(),
            quota: binding.quota().map(Quota::from),
            charged: charged(binding.workloads().charged()),
            network_partition: binding.network_partition().to_string(),
            data_partition: binding.data_partition().to_string(),
            status: binding.state().status().into(),
            cause,
            relocation: binding.relocation().map(TenantMove::of),
            is_protected: binding.is_protected(),
            bound_at: binding.bound_at(),
            revision: revision.0,
        }
    }
}

/// How a tenant is kept apart, as it is, and what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantIsolation {
    /// What it is promised.
    pub model: IsolationModel,
    /// How much it may use, while it has its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// How much its workloads are charged.
    pub charged: Quota,
    /// What each surface keeps, and what runs on it uses.
    pub surfaces: Vec<SurfaceIsolation>,
}

/// What one surface keeps of a tenant's isolation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SurfaceIsolation {
    /// The surface.
    pub surface: SurfaceKind,
    /// How far each aspect is kept, by its name.
    pub aspects: BTreeMap<String, Kept>,
    /// What the tenant's workloads use now, as it is seen.
    pub used: ResourceUse,
}

/// What a tenant's workloads use; what is not said is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceUse {
    /// When it was looked.
    pub observed_at: Timestamp,
    /// How many processes run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Memory that they hold, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Compute that they have used since they started, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Storage that they fill, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
}

/// How far an aspect of isolation is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "IsolationKept")]
pub struct Kept {
    /// How far.
    pub enforcement: EnforcementLevel,
    /// By what it is, or why it is not.
    pub because: String,
}

/// How far an aspect is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcementLevel {
    /// Always.
    Enforced,
    /// Against accidents.
    Partial,
    /// It is seen where it is broken.
    Observed,
    /// It is not.
    Absent,
}

impl Kept {
    fn of(enforcement: Enforcement) -> Self {
        let (enforcement, because) = match enforcement {
            Enforcement::Enforced { by } => (EnforcementLevel::Enforced, by),
            Enforcement::Partial { by } => (EnforcementLevel::Partial, by),
            Enforcement::Observed { by } => (EnforcementLevel::Observed, by),
            Enforcement::Absent { why } => (EnforcementLevel::Absent, why),
        };
        Self { enforcement, because }
    }
}

impl TenantIsolation {
    pub(crate) fn of(isolation: Isolation) -> Self {
        let surfaces = isolation.surfaces.into_iter().map(|(surface, kept)| SurfaceIsolation {
            surface,
            aspects: kept
                .enforcement
                .into_iter()
                .map(|(aspect, enforcement)| (aspect.name().to_owned(), Kept::of(enforcement)))
                .collect(),
            used: ResourceUse {
                observed_at: kept.used.observed_at,
                processes: kept.used.processes,
                memory_bytes: kept.used.memory_bytes,
                cpu_millis: kept.used.cpu_millis,
                storage_bytes: kept.used.storage_bytes,
            },
        });
        Self {
            model: isolation.model,
            quota: isolation.quota.map(Quota::from),
            charged: charged(isolation.charged),
            surfaces: surfaces.collect(),
        }
    }
}
