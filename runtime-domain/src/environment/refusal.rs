//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::environment::ProvisioningStatus;
use crate::id::EnvironmentId;
use crate::refusal::{Refusal, Rule};
use crate::surface::SurfaceKind;
use crate::value::Name;

/// Why an environment's command was refused. The environment is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentRefusal {
    /// It takes no deployments now.
    #[error("the environment is {status}, and only a Provisioned one takes deployments")]
    NotProvisioned {
        /// How it is.
        status: ProvisioningStatus,
    },
    /// Prod takes no deployment of a tenant without a place in it.
    #[error("no tenant is bound to the prod environment {environment}")]
    NoTenantBinding {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// The binding is of another tenant or environment.
    #[error("the tenant binding is of another tenant or environment")]
    ForeignBinding,
    /// Region and stage stand once provisioning has begun.
    #[error(
        "the {field} cannot change while the environment is {status}: resources stand, or may stand, there"
    )]
    Fixed {
        /// `region` or `stage`.
        field: &'static str,
        /// How it is.
        status: ProvisioningStatus,
    },
    /// The name stands once provisioning has begun.
    #[error("the name cannot change while the environment is {status}: what is provisioned carries it")]
    NameTaken {
        /// How it is.
        status: ProvisioningStatus,
    },
    /// Another environment of the project has the name, or the same one was asked for with another content.
    #[error("an environment `{name}` exists in the project and differs from what is asked for")]
    Different {
        /// The name.
        name: Name,
    },
    /// A surface that may hold workloads cannot be taken away.
    #[error("surface {surface} cannot be taken away while the environment is {status}")]
    SurfaceRemoved {
        /// Which.
        surface: SurfaceKind,
        /// How it is.
        status: ProvisioningStatus,
    },
    /// An environment without a surface can host nothing.
    #[error("no surface is asked for")]
    NoSurface,
    /// A destination cannot be read.
    #[error("`{destination}` is not a destination")]
    BadDestination {
        /// What was written, shortened.
        destination: String,
    },
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// What the engine made is not what the blueprint asks for.
    #[error("what was provisioned does not fit the blueprint: {misfit}")]
    Misfit {
        /// What does not fit.
        misfit: String,
    },
    /// It is protected from deletion.
    #[error("the environment is protected from deletion")]
    Protected,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the environment is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: ProvisioningStatus,
        /// What would be possible.
        remedy: &'static str,
    },
}

impl Refusal for EnvironmentRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::NotProvisioned { .. } => Rule::Env1,
            Self::NoTenantBinding { .. } => Rule::Env3,
            Self::ForeignBinding => Rule::X1,
            Self::Fixed { .. } => Rule::Env2,
            Self::NameTaken { .. } | Self::Different { .. } => Rule::X3,
            Self::SurfaceRemoved { .. } => Rule::Capability,
            Self::NoSurface | Self::BadDestination { .. } | Self::BadReason | Self::Misfit { .. } => {
                Rule::Content
            }
            Self::Protected | Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NotProvisioned { status } => match status {
                ProvisioningStatus::Requested | ProvisioningStatus::Provisioning => {
                    "wait until it is Provisioned".to_string()
                }
                ProvisioningStatus::ProvisioningFailed => {
                    "remove what keeps it from being provisioned, then retry".to_string()
                }
                _ => "deploy to another environment, or provision a new one".to_string(),
            },
            Self::NoTenantBinding { environment } => format!("bind the tenant to {environment} first"),
            Self::ForeignBinding => "take the binding of the same tenant and environment".to_string(),
            Self::Fixed { field, .. } => {
                format!("provision another environment with the {field} you want, and decommission this one")
            }
            Self::NameTaken { .. } => {
                "keep the name, or provision another environment and decommission this one".to_string()
            }
            Self::Different { name } => {
                format!("ask for exactly what `{name}` is, change it, or choose another name")
            }
            Self::SurfaceRemoved { surface, .. } => format!("keep {surface} among the surfaces"),
            Self::NoSurface => "name at least one surface, such as process".to_string(),
            Self::BadDestination { .. } => {
                "write `host` or `host:port`: a host name or an IP address, and a port from 1 to 65535"
                    .to_string()
            }
            Self::BadReason => "say in a sentence why".to_string(),
            Self::Misfit { .. } => {
                "let the engine bring the present blueprint about, and record what it made then".to_string()
            }
            Self::Protected => "unprotect it first, on purpose".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
        }
    }
}
