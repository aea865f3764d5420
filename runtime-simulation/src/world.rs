//! What all hosts of one simulation share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_domain::component::ImageDigest;
use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_memory::{MemoryHealthResults, MemorySnapshots, MemoryStore};
use runtime_ports::publisher::EventPublisher;
use runtime_ports::store::Store;
use runtime_ports::subscriber::Subscriber;
use runtime_ports::surface::ComputeSurface;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_testkit::faults::Faults;
use runtime_testkit::sample;
use runtime_testkit::world::{
    Counting, MemoryEngine, MemorySurface, MemoryVault, RecordingBus, Said, TokioClock,
};

/// The world in memory that a simulation's own surface or store may be built over. Clones of what is in it are the same.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct World {
    /// The one true time, by which everything but the hosts' own clocks goes.
    pub clock: Arc<TokioClock>,
    /// The surface that hosts get unless they are given another.
    pub surface: MemorySurface,
    /// The store that hosts get unless they are given another.
    pub store: MemoryStore,
    /// The vault.
    pub vault: MemoryVault,
    /// The infrastructure.
    pub engine: MemoryEngine,
    /// What is desired, measured and answered.
    pub said: Said,
    /// The bus.
    pub bus: RecordingBus,
    /// A subscriber of every host.
    pub follower: RecordingBus,
    health_results: MemoryHealthResults,
    snapshots: MemorySnapshots,
    ids: Counting,
}

/// What a release's image is, by its version.
pub(crate) fn digest(version: u8) -> String {
    format!("sha256:{version:064x}")
}

/// Whether what is released with this version is never ready.
pub(crate) fn is_broken(version: u8) -> bool {
    version.is_multiple_of(5)
}

impl World {
    /// The world at its beginning. To be called where tokio's time is paused.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TokioClock::at(sample::at(1_800_000_000)));
        let surface = MemorySurface::new(clock.clone());
        let broken = (0..=u8::MAX).filter(|version| is_broken(*version));
        for image in broken.filter_map(|version| ImageDigest::new(&digest(version)).ok()) {
            surface.breaks(image);
        }
        Self {
            surface,
            store: MemoryStore::new(),
            vault: MemoryVault::new(VaultKind::Local),
            engine: MemoryEngine::new(),
            said: Said::new(clock.clone()),
            bus: RecordingBus::new("bus"),
            follower: RecordingBus::new("follower"),
            health_results: MemoryHealthResults::new(),
            snapshots: MemorySnapshots::new(),
            ids: Counting::default(),
            clock,
        }
    }

    /// A host's services, whose every call may meet a fault. `None` where a subscriber's name is not one.
    pub(crate) fn services(
        &self,
        store: &Arc<dyn Store>,
        surface: &Arc<dyn ComputeSurface>,
        faults: &Faults,
    ) -> Option<Services> {
        let own: Arc<MemorySurface> = Arc::new(self.surface.clone());
        let said = Arc::new(self.said.clone());
        let publisher: Arc<dyn EventPublisher> = Arc::new(self.bus.clone());
        let follower: Arc<dyn Subscriber> = Arc::new(self.follower.clone());
        let handover = faults.handover(own.clone());
        let vault = faults.secret_store(Arc::new(self.vault.clone()));
        let ports = Ports {
            store: faults.store(Arc::clone(store)),
            records: Records {
                health_results: Some(faults.health_results(Arc::new(self.health_results.clone()))),
                snapshots: Some(faults.snapshots(Arc::new(self.snapshots.clone()))),
                artifacts: None,
            },
            surfaces: BTreeMap::from([(SurfaceKind::Process, faults.surface(Arc::clone(surface)))]),
            infrastructure: faults.infrastructure(Arc::new(self.engine.clone())),
            tenancy: TenancyPorts {
                handover: BTreeMap::from([(SurfaceKind::Process, handover)]),
                ..TenancyPorts::default()
            },
            registry: faults.registry(said.clone()),
            desired_state: Some(faults.desired_state(said.clone())),
            prober: faults.prober(said.clone()),
            metrics: faults.metrics(said.clone()),
            scaling_signals: vec![faults.scaling_signals(said)],
            jobs: faults.jobs(own),
            secret_stores: BTreeMap::from([(VaultKind::Local, vault)]),
            publisher: faults.publisher(publisher),
            clock: faults.clock(self.clock.clone()),
            ids: Arc::new(self.ids.clone()),
        };
        Services::new(Host::new(ports, options()), vec![faults.subscriber(follower)]).ok()
    }
}

/// How long a lease lasts.
pub(crate) const LEASE: Span = Span::from_secs(5);

/// Hosts that wait for less, and look less often where nothing happens.
fn options() -> HostOptions {
    let mut options = HostOptions::default();
    options.lease = LEASE;
    options.call_timeout = Span::from_secs(20);
    options.idle = Span::from_secs(5);
    options.poll = Span::from_millis(500);
    options.inventory_poll = Span::from_secs(5);
    options.configuration_poll = Span::from_secs(30);
    options.health_poll = Span::from_secs(30);
    options.settled_poll = Span::from_secs(30);
    options.rotation_deadline = Span::from_secs(600);
    options
}

pub(crate) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
