//! How a surface is set up.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::prober::HealthProber;
use runtime_ports::registry::ImageRegistry;
use runtime_ports::secret_store::SecretStore;

use crate::isolation::IsolationOptions;

/// What a [`ProcessSurface`](crate::ProcessSurface) is opened with. Begin with [`ProcessSurfaceOptions::new`] and change what should differ.
#[non_exhaustive]
#[derive(Clone)]
pub struct ProcessSurfaceOptions {
    /// The folder that holds everything the surface keeps: state, unpacked images, logs. Created, for this user alone, where it is missing. One surface at
    /// a time may have it open.
    pub root: PathBuf,
    /// Which kind of surface it plays: processes, by default. With [`SurfaceKind::Functions`] it is event-driven: a component may have no
    /// replica, and a request that comes then waits until one was started for it.
    pub kind: SurfaceKind,
    /// Where images come from.
    pub registry: Arc<dyn ImageRegistry>,
    /// Asks instances whether they are well. It must be allowed to reach loopback addresses.
    pub prober: Arc<dyn HealthProber>,
    /// Tells the time that observations and metrics carry. Waits and time-outs use the system's steady clock, so that a clock that
    /// jumps neither freezes supervision nor kills anything.
    pub clock: Arc<dyn Clock>,
    /// Makes the identifier that marks the surface's processes, once per root folder.
    pub identifiers: Arc<dyn IdGenerator>,
    /// Ports on which certain components must be reachable. The others get a free one at first, and keep it.
    pub endpoint_ports: BTreeMap<ComponentKey, u16>,
    /// The ports that instances may get; without a range the system chooses a free one.
    pub instance_ports: Option<RangeInclusive<u16>>,
    /// The vaults that secrets are delivered from, by kind; none by default.
    pub secret_stores: BTreeMap<VaultKind, Arc<dyn SecretStore>>,
    /// Where instances find their secrets. By default in memory (`/dev/shm`) where the system has that, else in the root folder. Created, for this
    /// user alone, where it is missing.
    pub secret_folder: Option<PathBuf>,
    /// How tenants are kept apart beyond what is always done.
    pub isolation: IsolationOptions,
    /// From which size a log file is rotated, in bytes; 4 MiB by default. Looked at once a second.
    pub log_limit: u64,
    /// How many rotated log files are kept of each instance; 2 by default.
    pub log_files: u8,
    /// How long to wait before an instance that ended by itself is started again, at first; doubled each time. 500 ms by default.
    pub restart_delay: Span,
    /// The longest such wait; 30 s by default.
    pub restart_delay_limit: Span,
    /// How long an instance that was never seen to be ready or alive is spared by its liveness probe; 60 s by default.
    pub startup_allowance: Span,
    /// How long an instance may take to begin its answer before the client gets a 504; 60 s by default.
    pub answer_timeout: Span,
    /// How long a request waits for the first replica of an event-driven component before the client gets a 503; 30 s by default.
    pub activation_timeout: Span,
    /// How many requests of one component may wait so at a time; 1,024 by default. More get a 503 at once.
    pub activation_limit: u32,
    /// Over how long the rate of a component's requests is measured, the present second included: 1 to 60 s; 10 s by default.
    pub rate_window: Span,
    /// How much of the processors one replica is taken to request, in thousandths of one: what a utilisation is a percentage of. 1,000 by
    /// default.
    pub requested_cpu: u32,
    /// How much memory one replica is taken to request, in bytes; 512 MiB by default.
    pub requested_memory: u64,
    /// The share of requests that are to be answered well, between 0 and 1: what an error budget is left over from. None by default, so that
    /// nothing is said of budgets.
    pub objective: Option<Measure>,
    /// How many client connections one component's endpoint holds at a time; more wait to be accepted. 1,024 by default.
    pub connection_limit: u32,
    /// How long [`shutdown`](crate::ProcessSurface::shutdown) lets requests finish that are under way; 5 s by default.
    pub shutdown_grace: Span,
}

impl ProcessSurfaceOptions {
    /// Whether components may have no replica, since requests start the first.
    pub(crate) fn is_event_driven(&self) -> bool {
        self.kind == SurfaceKind::Functions
    }

    /// The usual options for a root folder and the ports that the surface needs.
    pub fn new(
        root: impl Into<PathBuf>,
        registry: Arc<dyn ImageRegistry>,
        prober: Arc<dyn HealthProber>,
        clock: Arc<dyn Clock>,
        identifiers: Arc<dyn IdGenerator>,
    ) -> Self {
        Self {
            root: root.into(),
            kind: SurfaceKind::Process,
            registry,
            prober,
            clock,
            identifiers,
            endpoint_ports: BTreeMap::new(),
            instance_ports: None,
            secret_stores: BTreeMap::new(),
            secret_folder: None,
            isolation: IsolationOptions::default(),
            log_limit: 4 * 1024 * 1024,
            log_files: 2,
            restart_delay: Span::from_millis(500),
            restart_delay_limit: Span::from_secs(30),
            startup_allowance: Span::from_secs(60),
            answer_timeout: Span::from_secs(60),
            activation_timeout: Span::from_secs(30),
            activation_limit: 1_024,
            rate_window: Span::from_secs(10),
            requested_cpu: 1_000,
            requested_memory: 512 * 1024 * 1024,
            objective: None,
            connection_limit: 1_024,
            shutdown_grace: Span::from_secs(5),
        }
    }
}

impl fmt::Debug for ProcessSurfaceOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProcessSurfaceOptions")
            .field("root", &self.root)
            .field("kind", &self.kind)
            .field("endpoint_ports", &self.endpoint_ports)
            .field("instance_ports", &self.instance_ports)
            .finish_non_exhaustive()
    }
}
