//! The engine that creates and removes an environment's resources.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runtime_domain::environment::{EnvironmentBlueprint, ProvisionedResources};
use runtime_domain::id::{EnvironmentId, TenantId};

use crate::PortResult;
use crate::surface::EffectContext;

/// What an engine would do to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceChange {
    /// It does not exist and would be made.
    Create,
    /// It is as it should be.
    Keep,
    /// It exists and would be removed.
    Delete,
}

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePreview {
    /// The engine's own name for the resource.
    pub resource: String,
    /// What would happen to it.
    pub change: ResourceChange,
}

/// How a resource is found to be, beside what a blueprint says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceCondition {
    /// It is there.
    Present,
    /// It is not there: it was never made, or was removed behind the engine's back.
    Missing,
    /// It is there, and the engine did not make it. It is not touched.
    Foreign,
}

/// One resource, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceFinding {
    /// The engine's own name for the resource.
    pub resource: String,
    /// How it was found.
    pub condition: ResourceCondition,
}

/// Provisions what an environment runs on.
///
/// # Guarantees
/// - `preview`, `refresh` and `outputs` change nothing.
/// - `up` brings the blueprint about and is repeatable: what exists is adopted and not made twice, so a host that died half-way is
///   continued, and what was removed behind the engine's back is made again.
/// - `destroy` removes what `up` made and nothing else; a second time it succeeds. Afterwards nothing of the environment is found, and
///   `up` makes it anew.
/// - An effect whose fencing token is older than one that was seen for the same environment is refused, so a host that was replaced
///   neither makes again what was destroyed, nor destroys what was made again.
/// - Environments do not meet: nothing of another tenant or environment is shown or touched.
///
/// # Errors
/// [`Exhausted`](crate::PortErrorKind::Exhausted) where capacity is used up, [`Fenced`](crate::PortErrorKind::Fenced) for an older token; a call
/// that was cut off answers with [`Retry::OutcomeUnknown`](crate::Retry::OutcomeUnknown).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait InfrastructureEngine: Send + Sync + 'static {
    /// What `up` would do.
    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>>;

    /// Creates what is missing, and returns what there is.
    async fn up(
        &self,
        context: EffectContext,
        blueprint: &EnvironmentBlueprint,
    ) -> PortResult<ProvisionedResources>;

    /// Looks at what is really there, beside what the blueprint says: every resource that `up` would have made, and what stands among
    /// them that it would not.
    async fn refresh(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourceFinding>>;

    /// What others may want to know of an environment that `up` has completed, such as addresses and folders; `None` where it has not.
    async fn outputs(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Option<BTreeMap<String, String>>>;

    /// Removes all of it.
    async fn destroy(
        &self,
        context: EffectContext,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<()>;
}
