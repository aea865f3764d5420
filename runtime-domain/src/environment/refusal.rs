//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::calendar::CalendarRefusal;
use crate::environment::{EnvironmentStage, ProvisioningStatus};
use crate::id::{EnvironmentId, TenantBindingId};
use crate::refusal::{Refusal, Rule};
use crate::surface::SurfaceKind;
use crate::tenancy::QuotaUnit;
use crate::value::Name;

/// Why an environment's command was refused. The environment is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentRefusal {
    /// The calendar does not clear the change.
    #[error(transparent)]
    Calendar(#[from] CalendarRefusal),
    /// Nothing is proven of an upstream environment.
    #[error("nothing is known of the upstream environment {environment}")]
    UnknownUpstream {
        /// Which.
        environment: EnvironmentId,
    },
    /// An upstream environment is of another tenant.
    #[error("the upstream environment is of another tenant")]
    ForeignUpstream,
    /// An upstream environment is not of an earlier stage.
    #[error("{environment} is {stage}, which does not come before {own}")]
    LateUpstream {
        /// Which.
        environment: EnvironmentId,
        /// Its stage.
        stage: EnvironmentStage,
        /// The stage of this environment.
        own: EnvironmentStage,
    },
    /// A tenant has a place in it that is to stay.
    #[error("a tenant's binding to the environment is protected from release, or moving")]
    TenantStays,
    /// Prod does not end by itself.
    #[error("a prod environment does not end by itself")]
    EndlessStage,
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
    /// The tenant's binding takes no new deployments.
    #[error("the tenant's place in {environment} is cordoned and takes no new deployments")]
    TenantCordoned {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// There is not so much left.
    #[error("{wanted} {unit} were asked for, and {free} are left")]
    NoRoom {
        /// Of what.
        unit: QuotaUnit,
        /// How much would be held for the binding.
        wanted: u64,
        /// How much others leave of the capacity.
        free: u64,
    },
    /// Tenants hold more than the capacity would be.
    #[error("a capacity of {wanted} {unit} was asked for, and tenants hold {allocated}")]
    CapacityHeld {
        /// Of what.
        unit: QuotaUnit,
        /// How much was asked for.
        wanted: u64,
        /// How much is held.
        allocated: u64,
    },
    /// Nothing is reserved for the binding that covers what it claims, or no longer.
    #[error("nothing is reserved for {binding} that covers it, or no longer")]
    NotReserved {
        /// Which binding.
        binding: TenantBindingId,
    },
    /// Nothing is committed to the binding.
    #[error("nothing is committed to {binding}")]
    NotCommitted {
        /// Which binding.
        binding: TenantBindingId,
    },
    /// Something is held for the binding.
    #[error("something is held for {binding}")]
    StillHeld {
        /// Which binding.
        binding: TenantBindingId,
    },
    /// What is held, or what proves a claim to it, is of another tenant or environment.
    #[error("the quota is of another tenant or environment")]
    ForeignQuota,
    /// A reservation ends at a time that cannot be.
    #[error(
        "the reservation ends now or before, or more than {} from now",
        crate::environment::QuotaLedger::LONGEST_RESERVATION
    )]
    BadExpiry,
    /// Too many bindings hold something.
    #[error("{} bindings hold a quota, and no more can", crate::environment::QuotaLedger::MOST_BINDINGS)]
    LedgerFull,
    /// The environment has no such surface.
    #[error("the environment has no surface {surface}")]
    SurfaceAbsent {
        /// Which.
        surface: SurfaceKind,
    },
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
            Self::Calendar(refusal) => refusal.rule(),
            Self::NotProvisioned { .. } => Rule::Env1,
            Self::NoTenantBinding { .. } => Rule::Env3,
            Self::ForeignBinding | Self::ForeignQuota | Self::ForeignUpstream => Rule::X1,
            Self::UnknownUpstream { .. } | Self::LateUpstream { .. } => Rule::Promotion,
            Self::NoRoom { .. }
            | Self::CapacityHeld { .. }
            | Self::NotReserved { .. }
            | Self::NotCommitted { .. }
            | Self::StillHeld { .. } => Rule::Ten2,
            Self::Fixed { .. } => Rule::Env2,
            Self::NameTaken { .. } | Self::Different { .. } => Rule::X3,
            Self::SurfaceRemoved { .. } | Self::SurfaceAbsent { .. } => Rule::Capability,
            Self::NoSurface
            | Self::BadDestination { .. }
            | Self::BadReason
            | Self::Misfit { .. }
            | Self::BadExpiry
            | Self::LedgerFull => Rule::Content,
            Self::EndlessStage
            | Self::TenantStays
            | Self::TenantCordoned { .. }
            | Self::Protected
            | Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Calendar(refusal) => refusal.remedy(),
            Self::UnknownUpstream { .. } => "name an environment of this tenant that exists".to_string(),
            Self::ForeignUpstream => "name environments of the same tenant".to_string(),
            Self::LateUpstream { own, .. } => format!("name environments of a stage before {own}"),
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
            Self::SurfaceAbsent { surface } => {
                format!("name a surface of the environment, or add {surface} to its surfaces")
            }
            Self::NoSurface => "name at least one surface, such as process".to_string(),
            Self::BadDestination { .. } => {
                "write `host` or `host:port`: a host name or an IP address, and a port from 1 to 65535"
                    .to_string()
            }
            Self::BadReason => "say in a sentence why".to_string(),
            Self::Misfit { .. } => {
                "let the engine bring the present blueprint about, and record what it made then".to_string()
            }
            Self::TenantCordoned { .. } => {
                "uncordon the tenant's binding, or deploy where the tenant is moved to".to_string()
            }
            Self::NoRoom { unit, free, .. } => {
                format!("ask for at most {free} {unit}, or give the environment more capacity")
            }
            Self::CapacityHeld { unit, allocated, .. } => {
                format!("keep at least {allocated} {unit}, or let tenants do with less first")
            }
            Self::NotReserved { .. } => "reserve it again, then claim and commit it in time".to_string(),
            Self::NotCommitted { .. } => "reserve it, bind the tenant, then commit it".to_string(),
            Self::StillHeld { .. } => "release the tenant, then its quota".to_string(),
            Self::ForeignQuota => {
                "take what the same tenant's binding to this environment proves".to_string()
            }
            Self::BadExpiry => {
                format!("reserve it for at most {}", crate::environment::QuotaLedger::LONGEST_RESERVATION)
            }
            Self::LedgerFull => "release tenants that have left, or choose another environment".to_string(),
            Self::TenantStays => "unprotect the binding, or let its move end".to_string(),
            Self::EndlessStage => "decommission it on purpose, or let it be of an earlier stage".to_string(),
            Self::Protected => "unprotect it first, on purpose".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
        }
    }
}
