//! What a host is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_domain::environment::{ComputeTarget, NetworkBoundary, ProvisionedResources};
use runtime_domain::surface::SurfaceKind;
use runtime_memory::InProcessBus;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::surface::ComputeSurface;
use runtime_ports::{PortError, PortErrorKind};
use runtime_postgres::PostgresStore;
use runtime_services::{Ports, Records};
use runtime_system::{SystemClock, UuidV7Generator};

use crate::WorldSurface;

/// A host's ports on a shared store and a shared world. Its environments are there as soon as they are asked for; what no release of these
/// tests needs may not be touched.
pub fn ports(store: Arc<PostgresStore>, surface: WorldSurface) -> Ports {
    let mut engine = MockInfrastructureEngine::new();
    engine.expect_up().returning(|_, blueprint| {
        let targets = blueprint.surfaces.iter();
        let targets = targets.map(|surface| ComputeTarget { surface: *surface, resource_ids: Vec::new() });
        Ok(ProvisionedResources {
            stack_ref: "world".to_owned(),
            compute_targets: targets.collect(),
            network_boundary: NetworkBoundary::default(),
            outputs: BTreeMap::new(),
        })
    });
    engine.expect_refresh().returning(|_| Ok(Vec::new()));
    let mut registry = MockImageRegistry::new();
    registry.expect_resolve().returning(|reference| {
        let message = "images are named by digest here";
        let invalid =
            |error| PortError::new(PortErrorKind::Invalid, "registry.resolve", message).caused_by(error);
        reference.clone().try_into().map_err(invalid)
    });
    let surface: Arc<dyn ComputeSurface> = Arc::new(surface);
    Ports {
        records: Records {
            health_results: Some(Arc::<PostgresStore>::clone(&store)),
            snapshots: Some(Arc::<PostgresStore>::clone(&store)),
            artifacts: None,
        },
        store,
        surfaces: [(SurfaceKind::Process, surface)].into(),
        infrastructure: Arc::new(engine),
        tenancy: Default::default(),
        registry: Arc::new(registry),
        desired_state: None,
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(SystemClock::new()),
        ids: Arc::new(UuidV7Generator::default()),
    }
}
