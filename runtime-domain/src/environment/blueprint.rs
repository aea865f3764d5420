//! What an environment is to be made of, and what an engine made of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, TenantId};
use crate::surface::SurfaceKind;
use crate::tenancy::ResourceQuota;
use crate::value::{Name, Region};

/// How far a release has come when it runs here. Stages are ordered: promotion goes from one to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentStage {
    /// The inner loop.
    Dev,
    /// Automated tests.
    Test,
    /// Verification before production.
    Staging,
    /// Production.
    Prod,
}

impl EnvironmentStage {
    /// The stage's name as manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }
}

impl fmt::Display for EnvironmentStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How tenants are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IsolationModel {
    /// The tenant has the environment to itself.
    Silo,
    /// Tenants share the environment, each in partitions of its own.
    Pool,
    /// Tenants share the environment and its workloads.
    Shared,
}

/// One surface of an environment, with the identifiers of what was provisioned for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ComputeTarget {
    /// The surface.
    pub surface: SurfaceKind,
    /// The engine's identifiers of its resources.
    pub resource_ids: Vec<String>,
}

/// What may go in and out of an environment's network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkBoundary {
    /// Destinations that workloads may call, as `host` or `host:port`; nothing else is let out where the surface can keep it.
    pub egress_allow_list: BTreeSet<String>,
    /// The identifiers of the network resources that keep the boundary.
    pub resource_ids: Vec<String>,
}

/// What an infrastructure engine is asked to bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentBlueprint {
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// Its name, unique within the project.
    pub name: Name,
    /// The stage.
    pub stage: EnvironmentStage,
    /// The region.
    pub region: Region,
    /// How tenants are kept apart in it.
    pub isolation_model: IsolationModel,
    /// The surfaces it needs; never empty.
    pub surfaces: BTreeSet<SurfaceKind>,
    /// Destinations that workloads may call.
    pub egress_allow_list: BTreeSet<String>,
    /// How much its tenants may be given in all; the largest there is where it is not said.
    #[serde(default = "ResourceQuota::largest")]
    pub capacity: ResourceQuota,
}

/// What an engine has provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProvisionedResources {
    /// The engine's own reference to the whole: for Pulumi `organisation/project/stack`.
    pub stack_ref: String,
    /// One target per surface of the blueprint.
    pub compute_targets: Vec<ComputeTarget>,
    /// The network boundary.
    pub network_boundary: NetworkBoundary,
    /// What else the engine tells, by name. Never a secret.
    pub outputs: BTreeMap<String, String>,
}
