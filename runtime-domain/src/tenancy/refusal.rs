//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::environment::{EnvironmentRefusal, IsolationModel};
use crate::id::EnvironmentId;
use crate::refusal::{Refusal, Rule};
use crate::tenancy::BindingStatus;

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
    /// The tenant was released, so it is no proof.
    #[error("the tenant is no longer bound to {environment}")]
    NotBound {
        /// Which environment.
        environment: EnvironmentId,
    },
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
            Self::OtherIsolation { .. } | Self::Occupied => Rule::Ten1,
            Self::ForeignSilo => Rule::X1,
            Self::Different { .. } => Rule::Ten3,
            Self::NotBound { .. } => Rule::Env3,
            Self::BadReason => Rule::Content,
            Self::Lifecycle { .. } => Rule::Lifecycle,
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
            Self::NotBound { environment } => format!("bind the tenant to {environment} again"),
            Self::BadReason => "say in a sentence why".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
        }
    }
}
