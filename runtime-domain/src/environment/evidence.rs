//! What an environment proves to others.

mod calendar;
mod quota;

use alloc::collections::BTreeSet;

use crate::aggregate::EvidenceRef;
use crate::environment::{
    EnvironmentRefusal, EnvironmentStage, EnvironmentState, IsolationModel, RuntimeEnvironment,
};
use crate::id::{AggregateKind, EnvironmentId, TenantBindingId, TenantId};
use crate::promotion::PromotionPolicy;
use crate::surface::SurfaceKind;
use crate::tenancy::BoundTenant;
use crate::value::Revision;

pub use quota::{CommittedQuota, QuotaReservation, ReturnedQuota};

/// Proof that an environment accepts a deployment of its tenant (ENV-1, ENV-3).
///
/// Only [`RuntimeEnvironment::admit`] hands it out. It can stop being true: a commit that rests on it re-checks that the
/// environment, and the binding where there is one, are still at exactly these revisions.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct Admission {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) stage: EnvironmentStage,
    pub(crate) surfaces: BTreeSet<SurfaceKind>,
    pub(crate) environment_revision: Revision,
    pub(crate) binding: Option<(TenantBindingId, Revision)>,
    pub(crate) promotion: Option<PromotionPolicy>,
}

impl Admission {
    /// The tenant whose deployment is accepted.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment that accepts it.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The environment's stage.
    pub fn stage(&self) -> EnvironmentStage {
        self.stage
    }

    /// The surfaces that are provisioned; a deployment may use no other.
    pub fn surfaces(&self) -> &BTreeSet<SurfaceKind> {
        &self.surfaces
    }

    /// The environment's stored revision when it said so.
    pub fn environment_revision(&self) -> Revision {
        self.environment_revision
    }

    /// What the environment asks of a release before it comes, where it asks something.
    pub fn promotion(&self) -> Option<&PromotionPolicy> {
        self.promotion.as_ref()
    }

    /// The tenant binding that it rests on, and its stored revision; always there for prod (ENV-3).
    pub fn binding(&self) -> Option<(TenantBindingId, Revision)> {
        self.binding
    }
}

/// Proof that an environment exists, is not being taken down, and keeps tenants apart in this way.
///
/// Only [`RuntimeEnvironment::host`] hands it out, so only who may act for the environment's tenant can have it. It can stop being
/// true: a commit that rests on it re-checks that the environment is still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct HostedEnvironment {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) isolation_model: IsolationModel,
    pub(crate) stage: EnvironmentStage,
    pub(crate) at: Revision,
}

impl HostedEnvironment {
    /// The tenant that owns the environment.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// Its stage.
    pub fn stage(&self) -> EnvironmentStage {
        self.stage
    }

    /// How it keeps tenants apart.
    pub fn isolation_model(&self) -> IsolationModel {
        self.isolation_model
    }

    /// The environment's stored revision when it said so.
    pub fn at(&self) -> Revision {
        self.at
    }
}

impl HostedEnvironment {
    /// The fact to re-check: the environment's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            kind: AggregateKind::RuntimeEnvironment,
            id: self.environment.uuid(),
            revision: self.at,
        }
    }
}

/// Proof that a [`HostedEnvironment`] has this surface, or is being given it.
///
/// Only [`RuntimeEnvironment::host_on`] hands it out. It can stop being true, as the environment's own proof can.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct HostedSurface {
    pub(crate) environment: HostedEnvironment,
    pub(crate) surface: SurfaceKind,
}

impl HostedSurface {
    /// The environment.
    pub fn environment(&self) -> &HostedEnvironment {
        &self.environment
    }

    /// The surface.
    pub fn surface(&self) -> SurfaceKind {
        self.surface
    }

    /// The fact to re-check: the environment's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        self.environment.evidence()
    }
}

impl RuntimeEnvironment {
    /// Shows that workloads of this environment can run on `surface`. `at` is its stored revision.
    ///
    /// # Errors
    /// CAPABILITY where it has no such surface; LIFECYCLE where it is being taken down, or is gone.
    pub fn host_on(&self, surface: SurfaceKind, at: Revision) -> Result<HostedSurface, EnvironmentRefusal> {
        let environment = self.host(at)?;
        if !self.surfaces.contains(&surface) {
            return Err(EnvironmentRefusal::SurfaceAbsent { surface });
        }
        Ok(HostedSurface { environment, surface })
    }

    /// Admits a deployment of this environment's tenant. `at` is the environment's stored revision; `binding` the tenant's place in
    /// it, which prod cannot do without and other stages use where it is given.
    ///
    /// # Errors
    /// ENV-1 where the environment is not Provisioned, ENV-3 where it is prod and `binding` is `None`, X-1 where `binding` is of
    /// another tenant or environment, LIFECYCLE where it is cordoned.
    pub fn admit(
        &self,
        at: Revision,
        binding: Option<&BoundTenant>,
    ) -> Result<Admission, EnvironmentRefusal> {
        let EnvironmentState::Provisioned(provisioned) = &self.state else {
            return Err(EnvironmentRefusal::NotProvisioned { status: self.state.status() });
        };
        if binding.is_some_and(|bound| {
            bound.tenant() != self.tenant_id || bound.environment() != self.environment_id
        }) {
            return Err(EnvironmentRefusal::ForeignBinding);
        }
        if binding.is_some_and(BoundTenant::is_cordoned) {
            return Err(EnvironmentRefusal::TenantCordoned { environment: self.environment_id });
        }
        if self.stage == EnvironmentStage::Prod && binding.is_none() {
            return Err(EnvironmentRefusal::NoTenantBinding { environment: self.environment_id });
        }
        Ok(Admission {
            tenant: self.tenant_id,
            environment: self.environment_id,
            stage: self.stage,
            surfaces: provisioned.resources.compute_targets.iter().map(|target| target.surface).collect(),
            environment_revision: at,
            binding: binding.map(|bound| (bound.binding(), bound.at())),
            promotion: self.promotion.clone(),
        })
    }

    /// Shows that tenants can be bound to this environment. `at` is its stored revision.
    ///
    /// # Errors
    /// The environment is being taken down, or is gone.
    pub fn host(&self, at: Revision) -> Result<HostedEnvironment, EnvironmentRefusal> {
        match &self.state {
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                Err(EnvironmentRefusal::Lifecycle {
                    command: "BindTenant",
                    status: self.state.status(),
                    remedy: "bind the tenant to an environment that is not being taken down",
                })
            }
            EnvironmentState::Requested(_)
            | EnvironmentState::Provisioning(_)
            | EnvironmentState::ProvisioningFailed(_)
            | EnvironmentState::Provisioned(_) => Ok(HostedEnvironment {
                tenant: self.tenant_id,
                environment: self.environment_id,
                isolation_model: self.isolation_model,
                stage: self.stage,
                at,
            }),
        }
    }
}
