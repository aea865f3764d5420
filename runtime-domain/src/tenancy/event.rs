//! What happens to a tenant binding.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::environment::IsolationModel;
use crate::id::{DeploymentId, EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{MoveStage, MoveStep, PartitionAssignment, ResourceQuota, TenantPlace, WorkloadDemand};
use crate::time::{Span, Timestamp};
use crate::value::ModuleId;

/// A tenant's place in an environment, as others are told of it.
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
    /// A place was asked for, and its quota is reserved.
    TenantBindingRequested {
        /// The binding.
        tenant_binding_id: TenantBindingId,
        /// What is asked for.
        place: TenantPlace,
        /// When it is given up where its quota was not committed.
        until: Timestamp,
    },
    /// The tenant has its place. Published.
    RuntimeTenantBound(TenantBound),
    /// More was asked for, and is reserved.
    QuotaIncreaseRequested {
        /// How much, in all.
        quota: ResourceQuota,
        /// When it is given up where it was not committed.
        until: Timestamp,
    },
    /// What was asked for was not committed in time.
    QuotaIncreaseLapsed,
    /// The tenant may use more, or less. Published.
    RuntimeTenantQuotaAdjusted {
        /// The binding.
        tenant_binding_id: TenantBindingId,
        /// How much it might use before.
        previous: ResourceQuota,
        /// How much it may use.
        quota: ResourceQuota,
    },
    /// The environment holds exactly what the binding uses.
    QuotaSettled,
    /// It takes no new deployments.
    TenantCordoned {
        /// Why.
        reason: String,
    },
    /// It takes deployments again.
    TenantUncordoned,
    /// It cannot be released.
    TenantProtected,
    /// It can be released again.
    TenantUnprotected,
    /// The tenant moves to a silo of its own.
    TenantMoveBegun {
        /// Where to.
        target_environment: EnvironmentId,
        /// Its place there.
        target_binding: TenantBindingId,
        /// How long the target serves everything before the source stops serving.
        observe_for: Span,
    },
    /// The move has come to another stage.
    TenantMoveTurned {
        /// Which.
        stage: MoveStage,
        /// Why, where it goes back.
        reason: Option<String>,
    },
    /// A step of the move failed, and is tried again.
    TenantMoveStepFailed {
        /// Which.
        step: MoveStep,
        /// What was said.
        reason: String,
        /// When.
        retry_at: Timestamp,
    },
    /// The tenant stays where it was.
    TenantMoveAborted {
        /// Why.
        reason: String,
    },
    /// A deployment's components are charged to the quota.
    WorkloadsAdmitted {
        /// The deployment.
        deployment: DeploymentId,
        /// What each component needs.
        demands: BTreeMap<ModuleId, WorkloadDemand>,
    },
    /// A deployment has ended.
    WorkloadsSettled {
        /// The deployment.
        deployment: DeploymentId,
        /// Whether what it brought serves; else what was charged for it is given back.
        is_kept: bool,
    },
    /// What serves of a component was scaled, or is about to be.
    WorkloadScaled {
        /// The component.
        module: ModuleId,
        /// What all its replicas need.
        demand: WorkloadDemand,
    },
    /// Nothing of the tenant runs here any more.
    WorkloadsRetired,
    /// The tenant has left.
    TenantReleased {
        /// Why.
        reason: String,
    },
    /// The environment holds nothing for it any more.
    TenantQuotaReturned,
}

impl DomainEvent for TenancyEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::TenantBindingRequested { .. } => "TenantBindingRequested",
            Self::RuntimeTenantBound(_) => "RuntimeTenantBound",
            Self::QuotaIncreaseRequested { .. } => "QuotaIncreaseRequested",
            Self::QuotaIncreaseLapsed => "QuotaIncreaseLapsed",
            Self::RuntimeTenantQuotaAdjusted { .. } => "RuntimeTenantQuotaAdjusted",
            Self::QuotaSettled => "QuotaSettled",
            Self::TenantCordoned { .. } => "TenantCordoned",
            Self::TenantUncordoned => "TenantUncordoned",
            Self::TenantProtected => "TenantProtected",
            Self::TenantUnprotected => "TenantUnprotected",
            Self::TenantMoveBegun { .. } => "TenantMoveBegun",
            Self::TenantMoveTurned { .. } => "TenantMoveTurned",
            Self::TenantMoveStepFailed { .. } => "TenantMoveStepFailed",
            Self::TenantMoveAborted { .. } => "TenantMoveAborted",
            Self::WorkloadsAdmitted { .. } => "WorkloadsAdmitted",
            Self::WorkloadsSettled { .. } => "WorkloadsSettled",
            Self::WorkloadScaled { .. } => "WorkloadScaled",
            Self::WorkloadsRetired => "WorkloadsRetired",
            Self::TenantReleased { .. } => "TenantReleased",
            Self::TenantQuotaReturned => "TenantQuotaReturned",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeTenantBound(_) | Self::RuntimeTenantQuotaAdjusted { .. } => Some(1),
            Self::TenantBindingRequested { .. }
            | Self::QuotaIncreaseRequested { .. }
            | Self::QuotaIncreaseLapsed
            | Self::QuotaSettled
            | Self::TenantCordoned { .. }
            | Self::TenantUncordoned
            | Self::TenantProtected
            | Self::TenantUnprotected
            | Self::TenantMoveBegun { .. }
            | Self::TenantMoveTurned { .. }
            | Self::TenantMoveStepFailed { .. }
            | Self::TenantMoveAborted { .. }
            | Self::WorkloadsAdmitted { .. }
            | Self::WorkloadsSettled { .. }
            | Self::WorkloadScaled { .. }
            | Self::WorkloadsRetired
            | Self::TenantReleased { .. }
            | Self::TenantQuotaReturned => None,
        }
    }
}
