//! What a deployment proves to others.

use alloc::collections::BTreeMap;

use crate::aggregate::EvidenceRef;
use crate::component::{ComponentSpec, ImageDigest, RevisionId};
use crate::deployment::Release;
use crate::id::{AggregateKind, DeploymentId, EnvironmentId, TenantId};
use crate::scaling::PolicySpec;
use crate::time::Timestamp;
use crate::value::{ModuleId, Revision};

/// Proof that a deployment brought this version of a component to its environment (SVC-1).
///
/// Only a [`RuntimeDeployment`](crate::deployment::RuntimeDeployment) hands it out. It stays true once it is: a commit that rests on it re-checks that
/// the deployment is at this revision or a later one.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct DeployedVersion {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) deployment: DeploymentId,
    pub(crate) at: Revision,
    pub(crate) revision: RevisionId,
    pub(crate) component: ComponentSpec,
}

impl DeployedVersion {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment it was brought to.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The deployment that brought it.
    pub fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The deployment's stored revision when it said so.
    pub fn at(&self) -> Revision {
        self.at
    }

    /// The component's revision.
    pub fn revision(&self) -> &RevisionId {
        &self.revision
    }

    /// What was brought: module, version, image and the rest.
    pub fn component(&self) -> &ComponentSpec {
        &self.component
    }
}

/// Proof that a deployment is Completed and can be gone back to (DEP-2).
///
/// Only a Completed [`RuntimeDeployment`](crate::deployment::RuntimeDeployment) hands it out. A commit that rests on it re-checks that the
/// deployment is still at this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct RollbackPoint {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) deployment: DeploymentId,
    pub(crate) at: Revision,
    pub(crate) completed_at: Timestamp,
    pub(crate) release: Release,
    pub(crate) left: BTreeMap<ModuleId, ImageDigest>,
    pub(crate) numbers: BTreeMap<ModuleId, u32>,
}

impl RollbackPoint {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The Completed deployment.
    pub fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The deployment's stored revision when it said so.
    pub fn at(&self) -> Revision {
        self.at
    }

    /// When it was completed, by the clock of the host that saw it. It says how long ago that was, and not what came after what.
    pub fn completed_at(&self) -> Timestamp {
        self.completed_at
    }

    /// Which deployment of a component in its environment it was, from one; `None` where it brought none of it. The larger came later
    /// (DEP-3: one at a time).
    pub fn number(&self, module: &ModuleId) -> Option<u32> {
        self.numbers.get(module).copied().filter(|_| self.release.components.contains_key(module))
    }

    /// The one of an environment's that brought a component last.
    pub(crate) fn last_of<'p>(
        points: impl IntoIterator<Item = &'p Self>,
        module: &ModuleId,
    ) -> Option<&'p Self> {
        let numbered = points.into_iter().filter_map(|point| Some((point.number(module)?, point)));
        numbered.max_by_key(|(number, _)| *number).map(|(_, point)| point)
    }

    /// The images that it went back from, by component, where it was a rollback.
    pub fn left(&self) -> &BTreeMap<ModuleId, ImageDigest> {
        &self.left
    }

    /// What it had rolled out.
    pub fn release(&self) -> &Release {
        &self.release
    }
}

/// Proof of how a component is to scale now that a deployment is Completed: by the terms that its release declares, or, where it goes back to
/// what declares none, as it scaled then.
///
/// Only a Completed [`RuntimeDeployment`](crate::deployment::RuntimeDeployment) hands it out. A commit that rests on it re-checks that the
/// deployment is still at this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct ReleasedScaling {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) module: ModuleId,
    pub(crate) deployment: DeploymentId,
    pub(crate) at: Revision,
    pub(crate) number: u32,
    pub(crate) requested_at: Timestamp,
    pub(crate) policy: Option<PolicySpec>,
}

impl ReleasedScaling {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The component.
    pub fn module(&self) -> &ModuleId {
        &self.module
    }

    /// The Completed deployment.
    pub fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The deployment's number for the component: a later one's is greater.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When the deployment was asked for.
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// The terms; `None` where the release declares none.
    pub fn policy(&self) -> Option<&PolicySpec> {
        self.policy.as_ref()
    }

    /// The fact that this rests on.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef { kind: AggregateKind::RuntimeDeployment, id: self.deployment.uuid(), revision: self.at }
    }
}
