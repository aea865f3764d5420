//! What may be asked of an environment.

mod quota;

use alloc::collections::BTreeSet;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::calendar::ChangeCalendar;
use crate::environment::{EnvironmentStage, IsolationModel, ProvisionedResources};
use crate::id::{EnvironmentId, ProjectId, TenantId};
use crate::scope::Actor;
use crate::surface::SurfaceKind;
use crate::tenancy::ResourceQuota;
use crate::time::Timestamp;
use crate::value::{Name, Region};

pub use quota::QuotaCommand;

/// Asks for a new environment. Its natural key is the project and the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionRuntimeEnvironment {
    /// The new environment's identifier.
    pub environment_id: EnvironmentId,
    /// The tenant that owns it.
    pub tenant_id: TenantId,
    /// The project whose product runs in it.
    pub project_id: ProjectId,
    /// Its name, unique within the project.
    pub name: Name,
    /// The stage.
    pub stage: EnvironmentStage,
    /// The region.
    pub region: Region,
    /// How tenants are kept apart in it.
    pub isolation_model: IsolationModel,
    /// The surfaces it needs: at least one.
    pub surfaces: BTreeSet<SurfaceKind>,
    /// Destinations that its workloads may call, as `host` or `host:port`.
    pub egress_allow_list: BTreeSet<String>,
    /// How much its tenants may be given in all (TEN-2); the largest there is where it is not said.
    #[serde(default = "ResourceQuota::largest")]
    pub capacity: ResourceQuota,
}

/// What should be different. `None` leaves as it is; a whole list replaces the whole list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentChange {
    /// Another name; only before provisioning has begun, since what is provisioned carries it.
    pub name: Option<Name>,
    /// Another stage; only before provisioning has begun (ENV-2).
    pub stage: Option<EnvironmentStage>,
    /// Another region; only before provisioning has begun (ENV-2).
    pub region: Option<Region>,
    /// Other surfaces; once provisioning has begun, only more of them.
    pub surfaces: Option<BTreeSet<SurfaceKind>>,
    /// Other destinations that workloads may call.
    pub egress_allow_list: Option<BTreeSet<String>>,
    /// Another capacity; never less than its tenants hold (TEN-2).
    pub capacity: Option<ResourceQuota>,
}

impl EnvironmentChange {
    /// True where it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What may be asked of an existing environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentCommand {
    /// A reconciler has begun to bring the blueprint about.
    RecordProvisioningStarted,
    /// The engine has brought it about.
    RecordProvisioned {
        /// What there is.
        resources: ProvisionedResources,
    },
    /// The engine could not bring it about.
    RecordProvisioningFailed {
        /// What it said. Never a secret.
        reason: String,
        /// When to try again by itself; `None` where only a person can help.
        retry_at: Option<Timestamp>,
    },
    /// Try again now.
    RetryProvisioning,
    /// Something about it should be different.
    ChangeEnvironment(EnvironmentChange),
    /// From now on it cannot be decommissioned.
    ProtectFromDeletion,
    /// It can be decommissioned again.
    Unprotect,
    /// It may be changed at other times.
    ChangeCalendar {
        /// When.
        calendar: ChangeCalendar,
    },
    /// From now on nothing of it is changed, whatever its calendar says.
    StopTheLine {
        /// Who stops it.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// It may be changed again as its calendar says.
    ResumeTheLine {
        /// Who lets it go on.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// It ends by itself at this time; never, where it is `None`.
    ChangeExpiry {
        /// When.
        expires_at: Option<Timestamp>,
    },
    /// Its time has come: take it down.
    Expire,
    /// The engine looked, and some of what it made is not there any more.
    RecordResourcesLost {
        /// What, by the engine's own names.
        resources: BTreeSet<String>,
    },
    /// Take it down, and everything that was provisioned for it.
    DecommissionRuntimeEnvironment {
        /// Why.
        reason: String,
    },
    /// Everything that was provisioned is gone.
    RecordDecommissioned,
    /// The engine could not remove everything.
    RecordDecommissioningFailed {
        /// What it said. Never a secret.
        reason: String,
        /// When to try again: a removal that has begun is never given up.
        retry_at: Timestamp,
    },
}

impl EnvironmentCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RecordProvisioningStarted => "RecordProvisioningStarted",
            Self::RecordProvisioned { .. } => "RecordProvisioned",
            Self::RecordProvisioningFailed { .. } => "RecordProvisioningFailed",
            Self::RetryProvisioning => "RetryProvisioning",
            Self::ChangeEnvironment(_) => "ChangeEnvironment",
            Self::ProtectFromDeletion => "ProtectFromDeletion",
            Self::Unprotect => "Unprotect",
            Self::ChangeCalendar { .. } => "ChangeCalendar",
            Self::StopTheLine { .. } => "StopTheLine",
            Self::ResumeTheLine { .. } => "ResumeTheLine",
            Self::ChangeExpiry { .. } => "ChangeExpiry",
            Self::Expire => "Expire",
            Self::RecordResourcesLost { .. } => "RecordResourcesLost",
            Self::DecommissionRuntimeEnvironment { .. } => "DecommissionRuntimeEnvironment",
            Self::RecordDecommissioned => "RecordDecommissioned",
            Self::RecordDecommissioningFailed { .. } => "RecordDecommissioningFailed",
        }
    }
}
