//! What a deployment is charged to its tenant's quota (TEN-2).

use runtime_domain::deployment::{DeploymentRefusal, Release};
use runtime_domain::environment::Admission;
use runtime_domain::id::DeploymentId;
use runtime_ports::store::TenantStore;

use super::{DeploymentError, DeploymentService};
use crate::error::CommandError;
use crate::lane::{Lane, Turn};
use crate::tenancy::workloads::{Charge, demands};
use crate::tenancy::{TenancyError, TenancyService};

impl DeploymentService {
    /// What the deployment is charged, decided and not committed.
    pub(super) async fn charge(
        &self,
        store: &dyn TenantStore,
        admission: &Admission,
        deployment: DeploymentId,
        release: &Release,
    ) -> Result<Option<Charge>, DeploymentError> {
        let demands = demands(release);
        TenancyService::charge(&self.host, store, admission, deployment, demands).await.map_err(no_room)
    }
}

pub(super) fn no_room(error: TenancyError) -> DeploymentError {
    match error {
        CommandError::Refused(refusal) => CommandError::Refused(DeploymentRefusal::NoRoom(refusal)),
        CommandError::NotFound { what } => CommandError::NotFound { what },
        CommandError::Contended => CommandError::Contended,
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
