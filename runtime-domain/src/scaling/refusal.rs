//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::environment::EnvironmentRefusal;
use crate::id::ServiceId;
use crate::refusal::{Refusal, Rule};
use crate::scaling::PolicyStatus;
use crate::surface::SurfaceKind;

/// Why a scaling policy's command was refused. The policy is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScalingRefusal {
    /// The service has a policy that differs from what is asked for.
    #[error("{service} has a scaling policy that differs in {}", .differences.join(", "))]
    Different {
        /// Which service.
        service: ServiceId,
        /// In what: the names of the terms, or `tenant` and `service`.
        differences: Vec<&'static str>,
    },
    /// What should prove that the environment is the tenant's is of another.
    #[error("the evidence is of another tenant or environment")]
    ForeignEvidence,
    /// The environment cannot host the policy: it does not have the policy's target, or is being taken down.
    #[error(transparent)]
    NotHosted(#[from] EnvironmentRefusal),
    /// What should prove that the environment has the policy's target is of another surface.
    #[error("the policy is for {target}, and the evidence is of {proven}")]
    OtherSurface {
        /// What the policy is for.
        target: SurfaceKind,
        /// What is proven.
        proven: SurfaceKind,
    },
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the policy is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: PolicyStatus,
        /// What would be possible.
        remedy: &'static str,
    },
}

impl Refusal for ScalingRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Different { .. } => Rule::Scl3,
            Self::ForeignEvidence => Rule::X1,
            Self::NotHosted(refusal) => refusal.rule(),
            Self::OtherSurface { .. } => Rule::Capability,
            Self::BadReason => Rule::Content,
            Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Different { service, .. } => {
                format!("change the policy that {service} has, or retire it and apply another")
            }
            Self::ForeignEvidence => "take what the same tenant's environment proves".to_string(),
            Self::NotHosted(refusal) => refusal.remedy(),
            Self::OtherSurface { target, .. } => {
                format!("take what proves that the environment has {target}")
            }
            Self::BadReason => "say in a sentence why".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
        }
    }
}
