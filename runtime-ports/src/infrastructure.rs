//! The engine that creates and removes an environment's resources.

use async_trait::async_trait;
use runtime_domain::environment::{EnvironmentBlueprint, ProvisionedResources};
use runtime_domain::id::{EnvironmentId, TenantId};

use crate::PortResult;

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

/// Provisions what an environment runs on.
///
/// Guarantees: `up` brings the blueprint about and is repeatable: what exists is adopted and not made twice, so a host that died
/// half-way is continued. `destroy` removes what `up` made and nothing else; a second time it succeeds. `preview` changes nothing.
///
/// Errors: [`Exhausted`](crate::PortErrorKind::Exhausted) where capacity is used up; a call that was cut off answers with
/// [`Retry::OutcomeUnknown`](crate::Retry::OutcomeUnknown).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait InfrastructureEngine: Send + Sync + 'static {
    /// What `up` would do.
    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>>;
    /// Creates what is missing, and returns what there is.
    async fn up(&self, blueprint: &EnvironmentBlueprint) -> PortResult<ProvisionedResources>;
    /// Removes all of it.
    async fn destroy(&self, tenant: TenantId, environment: EnvironmentId) -> PortResult<()>;
}
