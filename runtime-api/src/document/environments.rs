//! Environments.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::environment::{
    EnvironmentStage, EnvironmentState, IsolationModel, ProvisioningStatus, RuntimeEnvironment,
};
use runtime_domain::id::{EnvironmentId, ProjectId, TenantId};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Region, Revision};
use runtime_ports::infrastructure::{ResourceChange, ResourcePreview};
use runtime_services::environments::NewEnvironment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::{Problem, ProblemKind};

mod changes;

pub use changes::{
    ChangeCalendar, ChangeEnvironment, ChangeExpiry, ChangePromotionPolicy, ChangeProtection, Condition,
    DecommissionEnvironment, EnvironmentCalendar, EnvironmentHistoryRequest, EnvironmentOutputs, Freeze,
    ListEnvironments, OpenOrClosed, PromotionPolicy, Refresh, StopTheLine, Window,
};

/// Asks for an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvisionEnvironment {
    /// The project.
    pub project_id: ProjectId,
    /// Its name, unique within the project.
    pub name: Name,
    /// The stage.
    pub stage: EnvironmentStage,
    /// The region.
    pub region: Region,
    /// How tenants are kept apart in it.
    pub isolation_model: IsolationModel,
    /// The surfaces that it needs.
    pub surfaces: BTreeSet<SurfaceKind>,
    /// Destinations that workloads may call.
    #[serde(default)]
    pub egress_allow_list: BTreeSet<String>,
    /// How much its tenants may be given in all; as much as can be said where it is not said.
    #[serde(default)]
    pub capacity: Option<Quota>,
}

impl ProvisionEnvironment {
    pub(crate) fn into_wanted(self) -> Result<NewEnvironment, Problem> {
        Ok(NewEnvironment {
            project_id: self.project_id,
            name: self.name,
            stage: self.stage,
            region: self.region,
            isolation_model: self.isolation_model,
            surfaces: self.surfaces,
            egress_allow_list: self.egress_allow_list,
            capacity: self.capacity.map_or(Ok(ResourceQuota::LARGEST), Quota::into_quota)?,
        })
    }
}

/// Names an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentRequest {
    /// The environment.
    pub environment_id: EnvironmentId,
}

/// How much of each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Thousandths of a core.
    #[schemars(range(max = 8_796_093_022_208_u64))]
    pub cpu_millicores: u64,
    /// Bytes of memory.
    #[schemars(range(max = 9_007_199_254_740_992_u64))]
    pub memory_bytes: u64,
    /// Bytes of storage.
    #[schemars(range(max = 9_007_199_254_740_992_u64))]
    pub storage_bytes: u64,
    /// Requests in a second.
    #[schemars(range(max = 8_796_093_022_208_u64))]
    pub requests_per_second: u64,
}

impl Quota {
    pub(crate) fn into_quota(self) -> Result<ResourceQuota, Problem> {
        let quota = ResourceQuota::new(
            self.cpu_millicores,
            self.memory_bytes,
            self.storage_bytes,
            self.requests_per_second,
        );
        quota.map_err(|error| Problem::new(ProblemKind::Unprocessable, error.to_string()))
    }
}

impl From<ResourceQuota> for Quota {
    fn from(quota: ResourceQuota) -> Self {
        Self {
            cpu_millicores: quota.cpu_millicores(),
            memory_bytes: quota.memory_bytes(),
            storage_bytes: quota.storage_bytes(),
            requests_per_second: quota.requests_per_second(),
        }
    }
}

/// How far an environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentStatus {
    /// Asked for.
    Requested,
    /// Being made.
    Provisioning,
    /// It could not be made.
    ProvisioningFailed,
    /// It hosts workloads.
    Provisioned,
    /// Being taken down.
    Decommissioning,
    /// Taken down.
    Decommissioned,
}

impl EnvironmentStatus {
    pub(crate) const fn stored(self) -> ProvisioningStatus {
        match self {
            Self::Requested => ProvisioningStatus::Requested,
            Self::Provisioning => ProvisioningStatus::Provisioning,
            Self::ProvisioningFailed => ProvisioningStatus::ProvisioningFailed,
            Self::Provisioned => ProvisioningStatus::Provisioned,
            Self::Decommissioning => ProvisioningStatus::Decommissioning,
            Self::Decommissioned => ProvisioningStatus::Decommissioned,
        }
    }
}

impl From<ProvisioningStatus> for EnvironmentStatus {
    fn from(status: ProvisioningStatus) -> Self {
        match status {
            ProvisioningStatus::Requested => Self::Requested,
            ProvisioningStatus::Provisioning => Self::Provisioning,
            ProvisioningStatus::ProvisioningFailed => Self::ProvisioningFailed,
            ProvisioningStatus::Provisioned => Self::Provisioned,
            ProvisioningStatus::Decommissioning => Self::Decommissioning,
            ProvisioningStatus::Decommissioned => Self::Decommissioned,
        }
    }
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Its identifier.
    pub environment_id: EnvironmentId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The project.
    pub project_id: ProjectId,
    /// Its name within the project.
    pub name: Name,
    /// The stage.
    pub stage: EnvironmentStage,
    /// The region.
    pub region: Region,
    /// How far it is.
    pub status: EnvironmentStatus,
    /// Why it is not further, where something stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The engine's name for what was provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulumi_stack_ref: Option<String>,
    /// How tenants are kept apart in it.
    pub isolation_model: IsolationModel,
    /// The surfaces that it has, or is to have.
    pub surfaces: BTreeSet<SurfaceKind>,
    /// What was provisioned for each surface.
    pub compute_targets: Vec<ComputeTarget>,
    /// Destinations that workloads may call.
    pub egress_allow_list: BTreeSet<String>,
    /// How much its tenants may be given in all.
    pub capacity: Quota,
    /// Whether it is kept from being decommissioned.
    pub is_protected: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was taken down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decommissioned_at: Option<Timestamp>,
    /// Who stopped the line, and why, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_line: Option<StoppedLine>,
    /// How often it was written.
    pub revision: u64,
}

/// What was provisioned for one surface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComputeTarget {
    /// The surface.
    pub surface: SurfaceKind,
    /// The engine's identifiers.
    pub resource_ids: Vec<String>,
}

/// A stopped line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoppedLine {
    /// Who stopped it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Environment {
    pub(crate) fn of(environment: &RuntimeEnvironment, revision: Revision) -> Self {
        let targets = environment.compute_targets().iter();
        Self {
            environment_id: environment.id(),
            tenant_id: environment.tenant_id(),
            project_id: environment.project_id(),
            name: environment.name().clone(),
            stage: environment.stage(),
            region: environment.region().clone(),
            status: environment.provisioning_status().into(),
            trouble: trouble(environment.state()),
            pulumi_stack_ref: environment.pulumi_stack_ref().map(str::to_owned),
            isolation_model: environment.isolation_model(),
            surfaces: environment.surfaces().clone(),
            compute_targets: targets
                .map(|target| ComputeTarget {
                    surface: target.surface,
                    resource_ids: target.resource_ids.clone(),
                })
                .collect(),
            egress_allow_list: environment.egress_allow_list().clone(),
            capacity: environment.ledger().capacity().into(),
            is_protected: environment.is_protected(),
            created_at: environment.created_at(),
            expires_at: environment.expires_at(),
            decommissioned_at: environment.decommissioned_at(),
            stopped_line: environment.stopped_line().map(|line| StoppedLine {
                by: line.by.to_string(),
                reason: line.reason.clone(),
                since: line.since,
            }),
            revision: revision.0,
        }
    }
}

fn trouble(state: &EnvironmentState) -> Option<String> {
    match state {
        EnvironmentState::ProvisioningFailed(failed) => Some(failed.reason.clone()),
        EnvironmentState::Provisioned(provisioned) => provisioned.pending.as_ref()?.failure.clone(),
        EnvironmentState::Decommissioning(leaving) => leaving.failure.clone(),
        EnvironmentState::Requested(_)
        | EnvironmentState::Provisioning(_)
        | EnvironmentState::Decommissioned(_) => None,
    }
}

/// What provisioning came to, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionEnvironmentOutcome {
    /// The environment.
    pub result: Environment,
    /// False where it was there already.
    pub changed: bool,
    /// Why, in words.
    pub explanation: String,
    /// Whether only a preview was asked for.
    pub dry_run: bool,
    /// What the engine would do with each resource, where a preview was asked for.
    #[serde(default)]
    pub resources: BTreeMap<String, ResourceAction>,
}

/// What would be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceAction {
    /// It is made.
    Create,
    /// It stays as it is.
    Keep,
    /// It is removed.
    Delete,
}

pub(crate) fn previewed(resources: Vec<ResourcePreview>) -> BTreeMap<String, ResourceAction> {
    let actions = resources.into_iter().map(|preview| {
        let action = match preview.change {
            ResourceChange::Create => ResourceAction::Create,
            ResourceChange::Delete => ResourceAction::Delete,
            ResourceChange::Keep => ResourceAction::Keep,
        };
        (preview.resource, action)
    });
    actions.collect()
}
