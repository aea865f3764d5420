//! The aggregate.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar::{Activity, ChangeCalendar, Opening, StoppedLine};
use crate::environment::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionedResources, QuotaLedger,
};
use crate::id::{EnvironmentId, ProjectId, TenantId};
use crate::promotion::PromotionPolicy;
use crate::surface::SurfaceKind;
use crate::time::Timestamp;
use crate::value::{Name, Region};

/// An isolated, provisioned stage and region slice that hosts workloads.
///
/// It comes to be by [`RuntimeEnvironment::provision`] and changes by [`RuntimeEnvironment::decide`]; both give events, and
/// [`Aggregate::evolve`](crate::aggregate::Aggregate::evolve) is the only way from events to a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEnvironment {
    pub(super) environment_id: EnvironmentId,
    pub(super) tenant_id: TenantId,
    pub(super) project_id: ProjectId,
    pub(super) name: Name,
    pub(super) stage: EnvironmentStage,
    pub(super) region: Region,
    pub(super) isolation_model: IsolationModel,
    pub(super) surfaces: BTreeSet<SurfaceKind>,
    pub(super) egress_allow_list: BTreeSet<String>,
    pub(super) created_at: Timestamp,
    pub(super) is_protected: bool,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) ledger: QuotaLedger,
    pub(super) calendar: ChangeCalendar,
    pub(super) stopped_line: Option<StoppedLine>,
    pub(super) promotion: Option<PromotionPolicy>,
    pub(super) state: EnvironmentState,
}

/// Where an environment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvironmentState {
    /// It waits to be provisioned.
    Requested(Requested),
    /// It is being provisioned.
    Provisioning(Provisioning),
    /// It takes deployments.
    Provisioned(Provisioned),
    /// It could not be provisioned.
    ProvisioningFailed(ProvisioningFailed),
    /// It is being taken down.
    Decommissioning(Decommissioning),
    /// It is gone.
    Decommissioned(Decommissioned),
}

/// Waits for a reconciler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requested {
    /// Since when.
    pub since: Timestamp,
    /// How often provisioning was begun before.
    pub attempts: u32,
}

/// An engine brings the blueprint about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioning {
    /// Since when.
    pub started_at: Timestamp,
    /// How often provisioning was begun, this time included.
    pub attempts: u32,
}

/// Everything is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioned {
    /// Since when.
    pub provisioned_at: Timestamp,
    /// What there is.
    pub resources: ProvisionedResources,
    /// A change of the blueprint that is not applied to the resources yet.
    pub pending: Option<PendingChange>,
}

/// A change that waits to be applied. Deployments go on meanwhile: they see the surfaces that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingChange {
    /// Since when.
    pub since: Timestamp,
    /// When a reconciler tries to apply it; `None` where only a person can help.
    pub retry_at: Option<Timestamp>,
    /// Why the last try failed, if one did.
    pub failure: Option<String>,
}

/// The engine could not bring the blueprint about. Some resources may exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvisioningFailed {
    /// Since when.
    pub failed_at: Timestamp,
    /// Why.
    pub reason: String,
    /// When a reconciler tries again; `None` where only a person can help.
    pub retry_at: Option<Timestamp>,
    /// How often provisioning was begun.
    pub attempts: u32,
}

/// The engine removes everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decommissioning {
    /// Since when.
    pub since: Timestamp,
    /// Why it is taken down.
    pub reason: String,
    /// What was there when it began; `None` where provisioning had not been completed, and anything may exist.
    pub resources: Option<ProvisionedResources>,
    /// When a reconciler tries, or tries again.
    pub retry_at: Timestamp,
    /// Why the last try failed, if one did.
    pub failure: Option<String>,
}

/// Nothing is left of it but its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decommissioned {
    /// Since when.
    pub decommissioned_at: Timestamp,
    /// Why it was taken down.
    pub reason: String,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProvisioningStatus {
    /// It waits to be provisioned.
    Requested,
    /// It is being provisioned.
    Provisioning,
    /// It could not be provisioned.
    ProvisioningFailed,
    /// It takes deployments.
    Provisioned,
    /// It is being taken down.
    Decommissioning,
    /// It is gone.
    Decommissioned,
}

impl ProvisioningStatus {
    /// Every status, in the order of an environment's life.
    pub const ALL: [Self; 6] = [
        Self::Requested,
        Self::Provisioning,
        Self::ProvisioningFailed,
        Self::Provisioned,
        Self::Decommissioning,
        Self::Decommissioned,
    ];

    /// The status's name as in spec.md: `Provisioned`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "Requested",
            Self::Provisioning => "Provisioning",
            Self::ProvisioningFailed => "ProvisioningFailed",
            Self::Provisioned => "Provisioned",
            Self::Decommissioning => "Decommissioning",
            Self::Decommissioned => "Decommissioned",
        }
    }

    /// True where nothing can happen any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Decommissioned)
    }
}

impl fmt::Display for ProvisioningStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl EnvironmentState {
    /// The state's name.
    pub const fn status(&self) -> ProvisioningStatus {
        match self {
            Self::Requested(_) => ProvisioningStatus::Requested,
            Self::Provisioning(_) => ProvisioningStatus::Provisioning,
            Self::ProvisioningFailed(_) => ProvisioningStatus::ProvisioningFailed,
            Self::Provisioned(_) => ProvisioningStatus::Provisioned,
            Self::Decommissioning(_) => ProvisioningStatus::Decommissioning,
            Self::Decommissioned(_) => ProvisioningStatus::Decommissioned,
        }
    }
}

impl RuntimeEnvironment {
    /// Its identifier.
    pub fn id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// The tenant that owns it. It never changes.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The project whose product runs in it.
    pub fn project_id(&self) -> ProjectId {
        self.project_id
    }

    /// Its name, unique within the project.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The stage (ENV-2).
    pub fn stage(&self) -> EnvironmentStage {
        self.stage
    }

    /// The region (ENV-2).
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// How tenants are kept apart in it.
    pub fn isolation_model(&self) -> IsolationModel {
        self.isolation_model
    }

    /// The surfaces it should have; [`RuntimeEnvironment::compute_targets`] are those it has.
    pub fn surfaces(&self) -> &BTreeSet<SurfaceKind> {
        &self.surfaces
    }

    /// Destinations that its workloads should be able to call.
    pub fn egress_allow_list(&self) -> &BTreeSet<String> {
        &self.egress_allow_list
    }

    /// How much its tenants may be given in all, and who holds how much of it (TEN-2).
    pub fn ledger(&self) -> &QuotaLedger {
        &self.ledger
    }

    /// When it was asked for.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When everything was gone, once it is Decommissioned.
    pub fn decommissioned_at(&self) -> Option<Timestamp> {
        match &self.state {
            EnvironmentState::Decommissioned(state) => Some(state.decommissioned_at),
            _ => None,
        }
    }

    /// Whether it is protected from deletion.
    pub fn is_protected(&self) -> bool {
        self.is_protected
    }

    /// When it ends by itself, where it does. It does not while it is protected.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// When it ends by itself, as it is now: not while it is protected, and not where it is being taken down.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match &self.state {
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => None,
            _ => self.expires_at.filter(|_| !self.is_protected),
        }
    }

    /// When it may be changed.
    pub fn calendar(&self) -> &ChangeCalendar {
        &self.calendar
    }

    /// What it asks of a release before it comes, where it asks something.
    pub fn promotion(&self) -> Option<&PromotionPolicy> {
        self.promotion.as_ref()
    }

    /// Who stopped every change of it, and why, where someone did.
    pub fn stopped_line(&self) -> Option<&StoppedLine> {
        self.stopped_line.as_ref()
    }

    /// Whether it is open to an activity now, and until or from when.
    pub fn opening(&self, activity: Activity, now: Timestamp) -> Opening {
        self.calendar.at(activity, now, self.stopped_line.as_ref())
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &EnvironmentState {
        &self.state
    }

    /// The state's name.
    pub fn provisioning_status(&self) -> ProvisioningStatus {
        self.state.status()
    }

    /// What is provisioned, while it is Provisioned or being taken down from there.
    pub fn resources(&self) -> Option<&ProvisionedResources> {
        match &self.state {
            EnvironmentState::Provisioned(state) => Some(&state.resources),
            EnvironmentState::Decommissioning(state) => state.resources.as_ref(),
            _ => None,
        }
    }

    /// The engine's own reference to the whole, where there is one: for Pulumi `organisation/project/stack`.
    pub fn pulumi_stack_ref(&self) -> Option<&str> {
        self.resources().map(|resources| resources.stack_ref.as_str())
    }

    /// The surfaces it has, with what was provisioned for each.
    pub fn compute_targets(&self) -> &[ComputeTarget] {
        self.resources().map_or(&[], |resources| &resources.compute_targets)
    }

    /// The boundary that is kept, where it is provisioned.
    pub fn network_boundary(&self) -> Option<&NetworkBoundary> {
        self.resources().map(|resources| &resources.network_boundary)
    }

    /// What an engine is asked to bring about.
    pub fn blueprint(&self) -> EnvironmentBlueprint {
        EnvironmentBlueprint {
            tenant: self.tenant_id,
            environment: self.environment_id,
            name: self.name.clone(),
            stage: self.stage,
            region: self.region.clone(),
            isolation_model: self.isolation_model,
            surfaces: self.surfaces.clone(),
            egress_allow_list: self.egress_allow_list.clone(),
            capacity: self.ledger.capacity(),
        }
    }
}
