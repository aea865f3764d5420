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

use std::sync::Arc;

use runtime_ports::handover::EndpointHandover;
use runtime_ports::isolation::WorkloadIsolation;

mod steps;

pub(crate) use steps::{Progress, Relocation};

/// What only tenancy needs of the world. A host may leave out either: what needs it is then refused.
#[derive(Clone, Default)]
pub struct TenancyPorts {
    /// Hands endpoints over; without it no tenant is moved.
    pub handover: Option<Arc<dyn EndpointHandover>>,
    /// Tells what keeps tenants apart; without it nothing is said of it.
    pub isolation: Option<Arc<dyn WorkloadIsolation>>,
}

impl std::fmt::Debug for TenancyPorts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TenancyPorts")
            .field("handover", &self.handover.is_some())
            .field("isolation", &self.isolation.is_some())
            .finish()
    }
}
