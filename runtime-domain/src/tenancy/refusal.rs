//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::environment::{EnvironmentRefusal, IsolationModel};
use crate::id::EnvironmentId;
use crate::refusal::{Refusal, Rule};
use crate::tenancy::{BindingStatus, MoveStep, QuotaUnit};
use crate::time::Timestamp;

/// Why a tenant binding's command was refused. The binding is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TenancyRefusal {
    /// The environment takes no tenants now.
    #[error(transparent)]
    NotHosted(#[from] EnvironmentRefusal),
    /// Another tenant is bound in a way that leaves no room: a silo stands alone (TEN-1).
    #[error("the environment is occupied in a way that excludes this binding")]
    Occupied,
    /// The isolation asked for is not the environment's.
    #[error("{wanted:?} isolation was asked for, and the environment keeps {offered:?}")]
    OtherIsolation {
        /// What was asked for.
        wanted: IsolationModel,
        /// What the environment keeps.
        offered: IsolationModel,
    },
    /// A silo is its own tenant's alone.
    #[error("the environment is another tenant's silo")]
    ForeignSilo,
    /// The tenant has a place in the environment that differs from what is asked for.
    #[error("the tenant is bound to {environment} in another way than is asked for")]
    Different {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// The tenant has no place yet, or was released, so there is no proof.
    #[error("the tenant is not bound to {environment}")]
    NotBound {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// What should prove something is of another tenant, environment or binding.
    #[error("the evidence is of another tenant, environment or binding")]
    ForeignEvidence,
    /// No reservation covers the quota.
    #[error("no reservation covers the quota, or it has ended")]
    NotReserved,
    /// What is committed is not what the binding waits for.
    #[error("what the environment has committed is not what the binding waits for")]
    NotCommitted,
    /// The tenant's workloads would use more than its quota.
    #[error("the tenant's workloads would use {wanted} {unit}, and its quota is {quota}")]
    OverQuota {
        /// Of what.
        unit: QuotaUnit,
        /// How much they would use, in all.
        wanted: u64,
        /// How much the tenant may use.
        quota: u64,
    },
    /// The tenant's workloads use more than is to be left.
    #[error("the tenant's workloads use {used} {unit}")]
    InUse {
        /// Of what.
        unit: QuotaUnit,
        /// How much they use.
        used: u64,
    },
    /// Workloads of the tenant are there.
    #[error("{count} of the tenant's components are deployed here")]
    WorkloadsStay {
        /// How many components.
        count: usize,
    },
    /// It is protected from release.
    #[error("the binding is protected from release")]
    Protected,
    /// The tenant is served here.
    #[error("the tenant is served here: its binding is {status}")]
    Serving {
        /// How the binding is.
        status: BindingStatus,
    },
    /// A tenant moves from a pool or a shared environment into a silo of its own.
    #[error(
        "a tenant moves from a pool or a shared environment into a silo of its own, and from nowhere else to nowhere else"
    )]
    NotIntoASilo,
    /// The place to move to takes no new deployments.
    #[error("the place to move to takes no new deployments")]
    TargetCordoned,
    /// The move is at another step.
    #[error("the move is at {expected:?}, and not at {step:?}")]
    OtherStep {
        /// What was recorded.
        step: MoveStep,
        /// What is next.
        expected: MoveStep,
    },
    /// The target was not watched for long enough.
    #[error("the target is to be watched until {until}")]
    TooEarly {
        /// Until when.
        until: Timestamp,
    },
    /// What the source has is being removed.
    #[error("what the tenant had in the source is being removed")]
    PastReturn,
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the binding is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: BindingStatus,
        /// What would be possible.
        remedy: &'static str,
    },
}

impl Refusal for TenancyRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::NotHosted(refusal) => refusal.rule(),
            Self::OtherIsolation { .. } | Self::Occupied | Self::NotIntoASilo => Rule::Ten1,
            Self::ForeignSilo | Self::ForeignEvidence => Rule::X1,
            Self::NotReserved | Self::NotCommitted | Self::OverQuota { .. } | Self::InUse { .. } => {
                Rule::Ten2
            }
            Self::Different { .. } => Rule::Ten3,
            Self::NotBound { .. } => Rule::Env3,
            Self::BadReason => Rule::Content,
            Self::Protected
            | Self::WorkloadsStay { .. }
            | Self::Serving { .. }
            | Self::TargetCordoned
            | Self::OtherStep { .. }
            | Self::TooEarly { .. }
            | Self::PastReturn
            | Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NotHosted(refusal) => refusal.remedy(),
            Self::Occupied => {
                "choose an environment of your own, or wait until its other tenants are released".to_string()
            }
            Self::OtherIsolation { offered, .. } => {
                format!("ask for {offered:?} isolation, or choose an environment that keeps what you want")
            }
            Self::ForeignSilo => "provision an environment of the tenant's own".to_string(),
            Self::Different { .. } => {
                "adjust the quota of the binding there is, or release it and bind again".to_string()
            }
            Self::NotBound { environment } => {
                format!("bind the tenant to {environment}, and wait until its quota is committed")
            }
            Self::ForeignEvidence => "take what the same tenant's binding and environment prove".to_string(),
            Self::NotReserved => "reserve at least this much in the environment, then ask again".to_string(),
            Self::NotCommitted => "commit in the environment what the binding claims".to_string(),
            Self::OverQuota { quota, .. } => {
                format!("ask for no more than {quota} in all, retire something, or have the quota raised")
            }
            Self::InUse { used, .. } => format!("leave at least {used}, or retire something first"),
            Self::WorkloadsStay { .. } => {
                "move the tenant, or decommission the environment: both retire them first".to_string()
            }
            Self::Protected => "unprotect it first, on purpose".to_string(),
            Self::Serving { status: BindingStatus::Moving } => "abort the move, or let it end".to_string(),
            Self::Serving { .. } => "cordon the tenant first".to_string(),
            Self::NotIntoASilo => "bind the tenant in a silo of its own, and move it there".to_string(),
            Self::TargetCordoned => "uncordon the binding to move to".to_string(),
            Self::OtherStep { expected, .. } => format!("record what came of {expected:?}"),
            Self::TooEarly { until } => format!("judge it at {until}, or record now that it serves badly"),
            Self::PastReturn => "let the move end; then move the tenant again".to_string(),
            Self::BadReason => "say in a sentence why".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
        }
    }
}
