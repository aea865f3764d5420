//! Tenants' moves into silos of their own: what a host needs for them, and how each step is brought about.
//!
//! ```text
//! bind the silo ─► replicate ─► switch ─► observe ─► drain the source ─► retire it ─► release the binding
//! ```
//!
//! Every step can be done twice, by whichever host has the lease: it asks the surfaces what is, does what is missing, and says whether it is
//! done. What is done is committed by the reconciler; a step that is not done yet is asked again. Clients keep the address that they have:
//! the endpoints of the source are answered by the target ([`EndpointHandover`]).
//!
//! A move brings workloads, with the very images and configuration that serve, and no data: what a workload keeps on its own disk stays
//! behind, and a product that does so moves it by a job of its release, which is run in the target as it was in the source.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::id::EnvironmentId;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::{BindingStatus, MoveStage, RuntimeTenantBinding};
use runtime_ports::handover::EndpointHandover;
use runtime_ports::isolation::WorkloadIsolation;
use runtime_ports::store::{LoadError, Query, Repository, RuntimeTenantBindingRepository, TenantStore};

mod steps;

pub(crate) use steps::{Progress, Relocation};

/// What only tenancy needs of the world. A host may leave out any: what needs it is then refused.
#[derive(Clone, Default)]
pub struct TenancyPorts {
    /// Hand endpoints over, by surface; without one no component of that surface is moved.
    pub handover: BTreeMap<SurfaceKind, Arc<dyn EndpointHandover>>,
    /// Tell what keeps tenants apart, by surface; without one nothing is said of it.
    pub isolation: BTreeMap<SurfaceKind, Arc<dyn WorkloadIsolation>>,
}

impl std::fmt::Debug for TenancyPorts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TenancyPorts")
            .field("handover", &self.handover.keys())
            .field("isolation", &self.isolation.keys())
            .finish()
    }
}

/// Whether an environment is its tenant's home, and is to stay so: its place there is protected, or it moves out of it or into it. Once the
/// source of a move is drained, the target is the only home that the tenant has.
pub(crate) async fn tenant_stays(
    store: &dyn TenantStore,
    environment: EnvironmentId,
) -> Result<bool, LoadError> {
    let place = RuntimeTenantBindingRepository::new(store).current(environment).await?;
    let is_kept = |place: &RuntimeTenantBinding| place.is_protected() || place.relocation().is_some();
    if place.is_some_and(|place| is_kept(&place.aggregate)) {
        return Ok(true);
    }
    let query = Query::all(RuntimeTenantBinding::KIND).with_status(&[BindingStatus::Moving.name()]);
    let moving = Repository::<RuntimeTenantBinding>::new(store).every(query).await?;
    let mut moves = moving.iter().filter_map(|loaded| loaded.aggregate.relocation());
    Ok(moves.any(|relocation| relocation.target_environment == environment))
}

/// Whether a move out of an environment says how many replicas run there: from when clients are sent away until they are back. No policy scales
/// what it drains.
pub(crate) async fn is_left(store: &dyn TenantStore, environment: EnvironmentId) -> Result<bool, LoadError> {
    let place = RuntimeTenantBindingRepository::new(store).current(environment).await?;
    let relocation = place.as_ref().and_then(|place| place.aggregate.relocation());
    Ok(relocation.is_some_and(|relocation| relocation.stage != MoveStage::Replicating))
}
