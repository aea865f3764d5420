//! What may be asked of a tenant binding.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::EvidenceRef;
use crate::environment::{
    CommittedQuota, HostedEnvironment, IsolationModel, QuotaReservation, ReturnedQuota,
};
use crate::id::{DeploymentId, EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::{
    BoundTenant, MoveOutcome, MoveStep, PartitionAssignment, ResourceQuota, WorkloadDemand,
};
use crate::time::Span;
use crate::value::ModuleId;

/// A tenant's place in an environment, as it is asked for. Its natural key is the tenant and the environment (TEN-3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TenantPlace {
    /// The tenant that is bound.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The isolation that the tenant is promised; it must be the environment's.
    pub isolation_model: IsolationModel,
    /// How much it may use.
    pub quota: ResourceQuota,
    /// Its partitions.
    pub partitions: PartitionAssignment,
}

/// Asks for a tenant's place in an environment.
#[derive(Debug, PartialEq, Eq)]
pub struct BindTenant {
    /// The new binding's identifier, for which the quota is reserved.
    pub tenant_binding_id: TenantBindingId,
    /// What is asked for.
    pub place: TenantPlace,
    /// Proof that the environment can host it. The commit re-checks it.
    pub environment: HostedEnvironment,
    /// Proof that the environment keeps the quota for this binding. The commit re-checks it.
    pub reservation: QuotaReservation,
}

impl BindTenant {
    /// The facts that the request rests on: its commit re-checks that each is still at exactly its revision.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        let mut facts = Vec::from([self.environment.evidence(), self.reservation.evidence()]);
        facts.dedup();
        facts
    }
}

/// What may be asked of an existing binding.
#[derive(Debug, PartialEq, Eq)]
pub enum TenancyCommand {
    /// The environment has committed what the binding claims, so that it may use it.
    ConfirmQuota {
        /// Proof of what is committed. The commit re-checks it.
        committed: CommittedQuota,
    },
    /// The tenant may use more, or less. More waits to be committed; less is so at once.
    AdjustQuota {
        /// How much, in all.
        quota: ResourceQuota,
        /// Proof that the environment keeps it; needed where it is more in any unit. The commit re-checks it.
        reservation: Option<QuotaReservation>,
    },
    /// From now on the tenant's place takes no new deployments. What runs there stays.
    CordonTenant {
        /// Why.
        reason: String,
    },
    /// It takes deployments again.
    UncordonTenant,
    /// From now on it cannot be released.
    ProtectFromRelease,
    /// It can be released again.
    Unprotect,
    /// The tenant moves to a silo of its own.
    BeginMove {
        /// Proof of its place there. The commit re-checks it.
        target: BoundTenant,
        /// How long the target serves everything before the source stops serving.
        observe_for: Span,
    },
    /// What came of a step of the move.
    RecordMoveStep {
        /// Which step.
        step: MoveStep,
        /// What came of it.
        outcome: MoveOutcome,
    },
    /// The tenant is to stay where it is.
    AbortMove {
        /// Why.
        reason: String,
    },
    /// A deployment begins: its components are charged to the quota, in the same commit.
    AdmitWorkloads {
        /// The deployment.
        deployment: DeploymentId,
        /// What each of its components needs.
        demands: BTreeMap<ModuleId, WorkloadDemand>,
    },
    /// A deployment has ended: what it brought serves, or is given back.
    SettleWorkloads {
        /// The deployment.
        deployment: DeploymentId,
        /// Whether what it brought serves.
        is_kept: bool,
    },
    /// A policy scales what serves of a component: it is charged for as much, before there is more and after there is less.
    ChargeScaling {
        /// The component.
        module: ModuleId,
        /// What all its replicas need.
        demand: WorkloadDemand,
    },
    /// Nothing of the tenant runs in the environment any more.
    RetireWorkloads,
    /// The tenant leaves the environment.
    ReleaseTenant {
        /// Why.
        reason: String,
    },
    /// The environment holds nothing for the released binding any more.
    RecordQuotaReturned {
        /// Proof of it. The commit re-checks it.
        returned: ReturnedQuota,
    },
    /// Time has passed: what was not committed in time is given up.
    Tick,
}

impl TenancyCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConfirmQuota { .. } => "ConfirmQuota",
            Self::AdjustQuota { .. } => "AdjustQuota",
            Self::CordonTenant { .. } => "CordonTenant",
            Self::UncordonTenant => "UncordonTenant",
            Self::ProtectFromRelease => "ProtectFromRelease",
            Self::Unprotect => "Unprotect",
            Self::BeginMove { .. } => "BeginMove",
            Self::RecordMoveStep { .. } => "RecordMoveStep",
            Self::AbortMove { .. } => "AbortMove",
            Self::AdmitWorkloads { .. } => "AdmitWorkloads",
            Self::SettleWorkloads { .. } => "SettleWorkloads",
            Self::ChargeScaling { .. } => "ChargeScaling",
            Self::RetireWorkloads => "RetireWorkloads",
            Self::ReleaseTenant { .. } => "ReleaseTenant",
            Self::RecordQuotaReturned { .. } => "RecordQuotaReturned",
            Self::Tick => "Tick",
        }
    }

    /// The facts that the command rests on: its commit re-checks that each is still at exactly its revision.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        match self {
            Self::ConfirmQuota { committed } => Vec::from([committed.evidence()]),
            Self::AdjustQuota { reservation, .. } => {
                reservation.iter().map(QuotaReservation::evidence).collect()
            }
            Self::BeginMove { target, .. } => Vec::from([target.evidence()]),
            Self::RecordQuotaReturned { returned } => Vec::from([returned.evidence()]),
            Self::CordonTenant { .. }
            | Self::UncordonTenant
            | Self::ProtectFromRelease
            | Self::Unprotect
            | Self::RecordMoveStep { .. }
            | Self::AbortMove { .. }
            | Self::AdmitWorkloads { .. }
            | Self::SettleWorkloads { .. }
            | Self::ChargeScaling { .. }
            | Self::RetireWorkloads
            | Self::ReleaseTenant { .. }
            | Self::Tick => Vec::new(),
        }
    }
}
