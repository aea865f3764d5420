//! What a deployment is charged to its tenant's quota (TEN-2).

use runtime_domain::aggregate::Decision;
use runtime_domain::deployment::{DeploymentEvent, DeploymentRefusal, Release, RequestDeployment};
use runtime_domain::environment::Admission;
use runtime_domain::id::{DeploymentId, TenantBindingId};
use runtime_ports::store::TenantStore;

use super::{DeploymentError, DeploymentService};
use crate::error::CommandError;
use crate::lane::{Lane, Turn};
use crate::tenancy::workloads::{Charge, demands};
use crate::tenancy::{TenancyError, TenancyService};

/// Who is charged for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    binding: Option<TenantBindingId>,
    deployment: DeploymentId,
}

impl Account {
    pub(super) fn new(admission: &Admission, deployment: DeploymentId) -> Self {
        Self { binding: admission.binding().map(|(binding, _)| binding), deployment }
    }

    pub(super) fn of(request: &RequestDeployment) -> Self {
        Self::new(&request.admission, request.deployment_id)
    }
}

impl DeploymentService {
    /// What a deployment is charged that was decided as this, not committed: a component that a policy scales comes with the replicas that the
    /// policy gave it, and is charged for those.
    pub(super) async fn charge(
        &self,
        store: &dyn TenantStore,
        account: Account,
        decision: &Decision<DeploymentEvent>,
    ) -> Result<Option<Charge>, DeploymentError> {
        let Some(release) = brought(decision) else { return Ok(None) };
        let (binding, demands) = (account.binding, demands(release));
        TenancyService::charge(&self.host, store, binding, account.deployment, demands).await.map_err(no_room)
    }
}

/// What a request that was decided brings.
fn brought(decision: &Decision<DeploymentEvent>) -> Option<&Release> {
    decision.events.iter().find_map(|event| match event {
        DeploymentEvent::RuntimeDeploymentRequested(requested) => Some(&requested.release),
        _ => None,
    })
}

pub(super) fn no_room(error: TenancyError) -> DeploymentError {
    match error {
        CommandError::Refused(refusal) => CommandError::Refused(DeploymentRefusal::NoRoom(refusal)),
        CommandError::NotFound { what } => CommandError::NotFound { what },
        CommandError::Contended => CommandError::Contended,
        CommandError::Changed { found } => CommandError::Changed { found },
        CommandError::KeyReused => CommandError::KeyReused,
        CommandError::Load(error) => CommandError::Load(error),
        CommandError::Port(error) => CommandError::Port(error),
    }
}

/// Deployments of one tenant and environment are charged one behind the other, so that many at once do not meet as conflicts.
pub(super) async fn in_turn(lane: Option<&Lane>) -> Option<Turn<'_>> {
    match lane {
        Some(lane) => Some(lane.turn().await),
        None => None,
    }
}
