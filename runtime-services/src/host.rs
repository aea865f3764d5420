//! What all services of one host share: the ports, and how the host behaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use runtime_domain::id::{AggregateKind, CorrelationId, HostId};
use runtime_domain::scope::{Actor, OperatorScope};
use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::{SurfaceCapabilities, SurfaceKind};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::desired_state::DesiredStateSource;
use runtime_ports::infrastructure::InfrastructureEngine;
use runtime_ports::job::JobRunner;
use runtime_ports::metric::MetricSource;
use runtime_ports::prober::HealthProber;
use runtime_ports::publisher::EventPublisher;
use runtime_ports::registry::ImageRegistry;
use runtime_ports::scaling_signals::ScalingSignals;
use runtime_ports::secret_store::SecretStore;
use runtime_ports::store::Store;
use runtime_ports::surface::ComputeSurface;
use runtime_ports::telemetry::Telemetry;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::context::Context;
use crate::feed::{Announcing, Changed};
use crate::lane::Lanes;
use crate::observed::{self, store::ObservedStore};
use crate::reconcile::Beginnings;
use crate::records::{Records, Retention};
use crate::relocation::TenancyPorts;
use crate::terms::Terms;
use crate::vitals::Vitals;

/// The adapters that a host has chosen.
#[derive(Clone)]
pub struct Ports {
    /// State, history, outbox, claims and leases.
    pub store: Arc<dyn Store>,
    /// What is kept for a time beside them.
    pub records: Records,
    /// The surfaces, by kind.
    pub surfaces: BTreeMap<SurfaceKind, Arc<dyn ComputeSurface>>,
    /// The engine that creates environments.
    pub infrastructure: Arc<dyn InfrastructureEngine>,
    /// What only tenancy needs.
    pub tenancy: TenancyPorts,
    /// Where images come from.
    pub registry: Arc<dyn ImageRegistry>,
    /// What should run, by the word of an authority. Without it nothing is watched for drift.
    pub desired_state: Option<Arc<dyn DesiredStateSource>>,
    /// Asks workloads over HTTP.
    pub prober: Arc<dyn HealthProber>,
    /// What the traffic shows.
    pub metrics: Arc<dyn MetricSource>,
    /// What services are scaled by, each question answered by the first that can; empty where the host scales none.
    pub scaling_signals: Vec<Arc<dyn ScalingSignals>>,
    /// Runs jobs.
    pub jobs: Arc<dyn JobRunner>,
    /// The vaults, by kind; a host may have none, and then binds no secrets.
    pub secret_stores: BTreeMap<VaultKind, Arc<dyn SecretStore>>,
    /// The event bus.
    pub publisher: Arc<dyn EventPublisher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ports").field("surfaces", &self.surfaces.keys()).finish_non_exhaustive()
    }
}

/// How a host behaves. The defaults suit one host on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostOptions {
    /// Who events say they come from: the CloudEvents `source`, a URI reference.
    pub source: String,
    /// How long a lease lasts unless it is renewed: how soon another host takes over from one that died.
    pub lease: Span,
    /// How many aggregates of one kind are worked on at once.
    pub concurrency: u32,
    /// How many services are looked at at once. A look waits for others most of its time, and many at once share what they ask the store for.
    pub inventory_concurrency: u32,
    /// How many aggregates' events are relayed at once. Each has at most 64 events in memory.
    pub relay_concurrency: u32,
    /// How often a subscriber may fail on an event before the stream is parked for an operator, at least 1. It waits 200 ms after the first
    /// time, then twice as long each.
    pub delivery_attempts: u32,
    /// How long to wait before the world is looked at again where nothing has changed.
    pub poll: Span,
    /// How often the inventory looks at a service.
    pub inventory_poll: Span,
    /// How seldom at the most the inventory looks at a service that is Running. Where this host looks at a few hundred it is not more seldom
    /// than `inventory_poll`; the more they are, the less often each is looked at, so that looking takes no more than its part of a processor.
    pub settled_poll: Span,
    /// How often a service that does not change is evaluated. What was found stays true for three minutes, so it must be well below that.
    pub health_poll: Span,
    /// Whether what a component declares to depend on may be this machine itself, where other tenants' workloads may listen, too.
    pub loopback_dependencies: bool,
    /// How often a configuration in force that nobody is waited for is compared with what runs.
    pub configuration_poll: Span,
    /// How long to look for new work at the most, where nothing announces it.
    pub idle: Span,
    /// How long one call of a port may take before its outcome counts as unknown. Unpacking a large image is one call.
    pub call_timeout: Span,
    /// How long a rotation's new version may take until every consumer was seen on it. Then the rotation is called off, and the old version
    /// stays.
    pub rotation_deadline: Span,
    /// How long a worker may not come round before the host no longer counts as live.
    pub worker_silence: Span,
    /// How long shutting down waits for work in flight before it is handed back.
    pub drain: Span,
    /// How long what is kept beside the aggregates is kept.
    pub retention: Retention,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            source: "/factory-runtime".to_owned(),
            lease: Span::from_secs(15),
            concurrency: 16,
            inventory_concurrency: 256,
            relay_concurrency: 64,
            delivery_attempts: 5,
            poll: Span::from_millis(250),
            inventory_poll: Span::from_secs(1),
            settled_poll: Span::from_secs(15),
            health_poll: Span::from_secs(15),
            loopback_dependencies: false,
            configuration_poll: Span::from_secs(5),
            idle: Span::from_secs(1),
            call_timeout: Span::from_secs(300),
            rotation_deadline: Span::from_secs(3_600),
            worker_silence: Span::from_secs(60),
            drain: Span::from_secs(10),
            retention: Retention::default(),
        }
    }
}

/// One host: its identity, its ports and its options. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
    /// The context that nothing is decided for through this handle, since the host does not run it.
    closed: Option<Context>,
    // Shared, since every service has a handle or several.
    terms: Arc<Terms>,
}

#[derive(Debug)]
struct Inner {
    id: HostId,
    ports: Ports,
    options: HostOptions,
    contexts: BTreeSet<Context>,
    telemetry: Telemetry,
    lanes: Lanes,
    vitals: Vitals,
    beginnings: Beginnings,
    changes: broadcast::Sender<Changed>,
}

impl Host {
    /// A host with these adapters, which runs all contexts. Its identifier is fresh: a host that starts again is another one. What it measures
    /// is kept within the process, and nothing is traced.
    pub fn new(ports: Ports, options: HostOptions) -> Self {
        Self::observed(ports, options, Context::ALL.into(), Telemetry::default())
    }

    /// A host with these adapters that runs these [contexts](crate::context), and tells of itself by `telemetry`.
    pub fn observed(
        ports: Ports,
        options: HostOptions,
        contexts: BTreeSet<Context>,
        telemetry: Telemetry,
    ) -> Self {
        let id = HostId::from_uuid(ports.ids.next());
        let (store, changes) = Announcing::over(ports.store);
        let store = Arc::new(ObservedStore::new(store, telemetry.clone()));
        let ports = Ports { store, ..ports };
        let (lanes, vitals) = (Lanes::default(), Vitals::default());
        let inner = Inner {
            id,
            ports,
            options,
            contexts,
            telemetry,
            lanes,
            vitals,
            beginnings: Beginnings::default(),
            changes,
        };
        Self { inner: Arc::new(inner), closed: None, terms: Arc::default() }
    }

    /// The contexts that it runs.
    pub fn contexts(&self) -> &BTreeSet<Context> {
        &self.inner.contexts
    }

    /// Whether it runs any of these contexts.
    pub(crate) fn runs(&self, contexts: &[Context]) -> bool {
        contexts.iter().any(|context| self.inner.contexts.contains(context))
    }

    /// The handle for a context's callers, through which nothing is decided where the host does not run it.
    pub(crate) fn for_callers_of(&self, context: Context) -> Self {
        let closed = (!self.runs(&[context])).then_some(context);
        Self { closed, ..self.clone() }
    }

    /// Whether something may be decided through this handle.
    pub(crate) fn must_be_open(&self) -> PortResult<()> {
        self.closed.map_or(Ok(()), |context| Err(context.not_run_here()))
    }

    /// The same host, for commands on these terms.
    pub(crate) fn under(&self, terms: &Terms) -> Self {
        Self { terms: Arc::new(terms.clone()), ..self.clone() }
    }

    /// The same host, for what a command does beside its own.
    pub(crate) fn aside(&self) -> Self {
        self.under(&self.terms.aside())
    }

    /// An identifier for what a command makes: the one that follows from the caller's key, or a fresh one.
    pub(crate) fn new_id(&self, kind: AggregateKind) -> Uuid {
        match &self.terms.request {
            Some(request) => request.id_of(kind),
            None => self.inner.ports.ids.next(),
        }
    }

    /// On which terms commands are carried out.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The host's identifier.
    pub fn id(&self) -> HostId {
        self.inner.id
    }

    /// The adapters.
    pub fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    /// How it behaves.
    pub fn options(&self) -> &HostOptions {
        &self.inner.options
    }

    /// What it tells of itself with: its meter is what a metrics endpoint reads.
    pub fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    /// The aggregates that commands are under way on.
    pub(crate) fn lanes(&self) -> &Lanes {
        &self.inner.lanes
    }

    /// What began the aggregates that this host works on.
    pub(crate) fn beginnings(&self) -> &Beginnings {
        &self.inner.beginnings
    }

    /// What is known of the workers.
    pub(crate) fn vitals(&self) -> &Vitals {
        &self.inner.vitals
    }

    /// What this host commits from now on, told as it happens. Whoever is slow misses some, and other hosts' commits are not told: look at
    /// the history, too.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.inner.changes.subscribe()
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.inner.ports.clock.now()
    }

    /// A fresh correlation identifier, for work that begins here.
    pub fn new_correlation(&self) -> CorrelationId {
        CorrelationId::from_uuid(self.inner.ports.ids.next())
    }

    /// What the host's surfaces can do.
    pub fn capabilities(&self) -> BTreeMap<SurfaceKind, SurfaceCapabilities> {
        self.inner.ports.surfaces.iter().map(|(kind, surface)| (*kind, surface.capabilities())).collect()
    }

    /// The surface of this kind.
    pub(crate) fn surface(&self, kind: SurfaceKind) -> Option<&Arc<dyn ComputeSurface>> {
        self.inner.ports.surfaces.get(&kind)
    }

    /// A port's answer, or that none came in time. `operation` is the port, a dot and the method.
    pub(crate) async fn bounded<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        observed::call(self, operation, None, self.limited(operation, call)).await
    }

    /// As [`Host::bounded`], for a call that changes the world.
    pub(crate) async fn effect<T>(
        &self,
        operation: &'static str,
        effect: impl std::fmt::Display + Sync,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        observed::call(self, operation, Some(&effect), self.limited(operation, call)).await
    }

    /// The answer of what may be several calls, or that none came in time: then it may or may not have been done.
    pub(crate) async fn limited<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        let limit = self.options().call_timeout;
        tokio::select! {
            biased;
            answer = call => answer,
            () = self.ports().clock.sleep_until(limit.after(self.now())) => {
                let message = format!("no answer within {limit}: it may or may not have been done");
                let error = PortError::new(PortErrorKind::TimedOut, operation, message);
                Err(error.with_retry(Retry::OutcomeUnknown))
            }
        }
    }

    pub(crate) fn operator(&self, reconciler: &'static str) -> OperatorScope {
        OperatorScope::trusted(Actor::reconciler(reconciler), reconciler)
    }
}
