//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::inventory::RuntimeStatus;
use crate::refusal::{Refusal, Rule};
use crate::value::ModuleId;

/// Why a service's command was refused. The inventory is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryRefusal {
    /// The evidence is of another tenant: a service's tenant never changes.
    #[error("the evidence is of another tenant")]
    ForeignTenant,
    /// The version was brought elsewhere.
    #[error("the version was brought to another environment")]
    OtherEnvironment,
    /// The version is of another component.
    #[error("the version is of module `{module}`")]
    OtherModule {
        /// Which.
        module: ModuleId,
    },
    /// The observation is of another component.
    #[error("the observation is of another component")]
    OtherComponent,
    /// The service is registered, and differs from what is asked for.
    #[error("module `{module}` is registered in the environment with another version")]
    Different {
        /// The module.
        module: ModuleId,
    },
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the service is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: RuntimeStatus,
    },
}

impl Refusal for InventoryRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::ForeignTenant => Rule::Svc3,
            Self::OtherEnvironment | Self::OtherModule { .. } => Rule::Svc1,
            Self::OtherComponent => Rule::X1,
            Self::Different { .. } => Rule::X3,
            Self::BadReason => Rule::Content,
            Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::ForeignTenant => "take the evidence from a deployment of the same tenant".to_string(),
            Self::OtherEnvironment => {
                "take the evidence from a deployment to the same environment".to_string()
            }
            Self::OtherModule { module } => format!("record it with the service of module `{module}`"),
            Self::OtherComponent => "observe the component by the service's own key".to_string(),
            Self::Different { .. } => "record the deployed version with the service that exists".to_string(),
            Self::BadReason => "say in a sentence why".to_string(),
            Self::Lifecycle { .. } => "register the service anew, with a new identifier".to_string(),
        }
    }
}
