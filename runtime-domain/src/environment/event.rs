//! What happens to an environment.

use alloc::collections::BTreeSet;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::calendar::ChangeCalendar;
use crate::environment::{EnvironmentChange, EnvironmentStage, IsolationModel, ProvisionedResources};
use crate::id::{EnvironmentId, ProjectId, TenantBindingId, TenantId};
use crate::promotion::PromotionPolicy;
use crate::scope::Actor;
use crate::surface::SurfaceKind;
use crate::tenancy::ResourceQuota;
use crate::time::Timestamp;
use crate::value::{Name, Region};

/// What an environment begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvironmentRequested {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The tenant that owns it.
    pub tenant_id: TenantId,
    /// The project.
    pub project_id: ProjectId,
    /// Its name.
    pub name: Name,
    /// The stage.
    pub stage: EnvironmentStage,
    /// The region.
    pub region: Region,
    /// How tenants are kept apart in it.
    pub isolation_model: IsolationModel,
    /// The surfaces it needs.
    pub surfaces: BTreeSet<SurfaceKind>,
    /// Destinations that its workloads may call.
    pub egress_allow_list: BTreeSet<String>,
    /// How much its tenants may be given in all.
    #[serde(default = "ResourceQuota::largest")]
    pub capacity: ResourceQuota,
}

/// What happens to an environment. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum EnvironmentEvent {
    /// It was asked for and accepted.
    EnvironmentRequested(EnvironmentRequested),
    /// A reconciler has begun to bring it about.
    EnvironmentProvisioningStarted,
    /// It is there, and takes deployments. Published.
    RuntimeEnvironmentProvisioned {
        /// The environment.
        environment_id: EnvironmentId,
        /// The project.
        project_id: ProjectId,
        /// Its name.
        name: Name,
        /// The stage.
        stage: EnvironmentStage,
        /// The region.
        region: Region,
        /// How tenants are kept apart in it.
        isolation_model: IsolationModel,
        /// What there is.
        resources: ProvisionedResources,
    },
    /// It could not be brought about.
    EnvironmentProvisioningFailed {
        /// What the engine said.
        reason: String,
        /// When it is tried again by itself.
        retry_at: Option<Timestamp>,
    },
    /// It is tried again.
    EnvironmentProvisioningRetried,
    /// Something about it should be different.
    EnvironmentChanged {
        /// What, and only what differs.
        change: EnvironmentChange,
    },
    /// A change was applied to what is provisioned, or what is provisioned was seen anew.
    EnvironmentResourcesUpdated {
        /// What there is.
        resources: ProvisionedResources,
    },
    /// A change could not be applied to what is provisioned.
    EnvironmentChangeFailed {
        /// What the engine said.
        reason: String,
        /// When it is tried again by itself.
        retry_at: Option<Timestamp>,
    },
    /// It cannot be decommissioned.
    EnvironmentProtected,
    /// It can be decommissioned again.
    EnvironmentUnprotected,
    /// It may be changed at other times.
    CalendarChanged {
        /// When.
        calendar: ChangeCalendar,
    },
    /// It asks something else of a release before it comes.
    PromotionPolicyChanged {
        /// What; nothing where it is `None`.
        policy: Option<PromotionPolicy>,
    },
    /// Nothing of it is changed.
    LineStopped {
        /// Who stopped it.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// It may be changed again.
    LineResumed {
        /// Who let it go on.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// It ends by itself at another time.
    EnvironmentExpiryChanged {
        /// When; never, where it is `None`.
        expires_at: Option<Timestamp>,
    },
    /// Some of what was made for it is not there any more, and is made again.
    EnvironmentResourcesLost {
        /// What, by the engine's own names.
        resources: BTreeSet<String>,
    },
    /// It is taken down.
    EnvironmentDecommissioningStarted {
        /// Why.
        reason: String,
    },
    /// It could not be taken down.
    EnvironmentDecommissioningFailed {
        /// What the engine said.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// A quota is kept for a tenant binding.
    QuotaReserved {
        /// The binding.
        binding: TenantBindingId,
        /// Its tenant.
        tenant: TenantId,
        /// How much.
        quota: ResourceQuota,
        /// When it is given to others where it was not committed.
        until: Timestamp,
    },
    /// A tenant binding holds exactly so much.
    QuotaCommitted {
        /// The binding.
        binding: TenantBindingId,
        /// How much.
        quota: ResourceQuota,
    },
    /// A tenant binding holds nothing any more.
    QuotaReleased {
        /// The binding.
        binding: TenantBindingId,
    },
    /// What was reserved was not committed in time.
    QuotaExpired {
        /// The bindings whose reservations ended.
        bindings: BTreeSet<TenantBindingId>,
    },
    /// It is gone. Published.
    RuntimeEnvironmentDecommissioned {
        /// The environment.
        environment_id: EnvironmentId,
        /// Why it was taken down.
        reason: String,
    },
}

impl DomainEvent for EnvironmentEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::EnvironmentRequested(_) => "EnvironmentRequested",
            Self::EnvironmentProvisioningStarted => "EnvironmentProvisioningStarted",
            Self::RuntimeEnvironmentProvisioned { .. } => "RuntimeEnvironmentProvisioned",
            Self::EnvironmentProvisioningFailed { .. } => "EnvironmentProvisioningFailed",
            Self::EnvironmentProvisioningRetried => "EnvironmentProvisioningRetried",
            Self::EnvironmentChanged { .. } => "EnvironmentChanged",
            Self::EnvironmentResourcesUpdated { .. } => "EnvironmentResourcesUpdated",
            Self::EnvironmentChangeFailed { .. } => "EnvironmentChangeFailed",
            Self::EnvironmentProtected => "EnvironmentProtected",
            Self::EnvironmentUnprotected => "EnvironmentUnprotected",
            Self::CalendarChanged { .. } => "CalendarChanged",
            Self::PromotionPolicyChanged { .. } => "PromotionPolicyChanged",
            Self::LineStopped { .. } => "LineStopped",
            Self::LineResumed { .. } => "LineResumed",
            Self::EnvironmentExpiryChanged { .. } => "EnvironmentExpiryChanged",
            Self::EnvironmentResourcesLost { .. } => "EnvironmentResourcesLost",
            Self::EnvironmentDecommissioningStarted { .. } => "EnvironmentDecommissioningStarted",
            Self::EnvironmentDecommissioningFailed { .. } => "EnvironmentDecommissioningFailed",
            Self::QuotaReserved { .. } => "QuotaReserved",
            Self::QuotaCommitted { .. } => "QuotaCommitted",
            Self::QuotaReleased { .. } => "QuotaReleased",
            Self::QuotaExpired { .. } => "QuotaExpired",
            Self::RuntimeEnvironmentDecommissioned { .. } => "RuntimeEnvironmentDecommissioned",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::RuntimeEnvironmentProvisioned { .. } | Self::RuntimeEnvironmentDecommissioned { .. } => {
                Some(1)
            }
            Self::EnvironmentRequested(_)
            | Self::EnvironmentProvisioningStarted
            | Self::EnvironmentProvisioningFailed { .. }
            | Self::EnvironmentProvisioningRetried
            | Self::EnvironmentChanged { .. }
            | Self::EnvironmentResourcesUpdated { .. }
            | Self::EnvironmentChangeFailed { .. }
            | Self::EnvironmentProtected
            | Self::EnvironmentUnprotected
            | Self::CalendarChanged { .. }
            | Self::PromotionPolicyChanged { .. }
            | Self::LineStopped { .. }
            | Self::LineResumed { .. }
            | Self::EnvironmentExpiryChanged { .. }
            | Self::EnvironmentResourcesLost { .. }
            | Self::EnvironmentDecommissioningStarted { .. }
            | Self::EnvironmentDecommissioningFailed { .. }
            | Self::QuotaReserved { .. }
            | Self::QuotaCommitted { .. }
            | Self::QuotaReleased { .. }
            | Self::QuotaExpired { .. } => None,
        }
    }
}
