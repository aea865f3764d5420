//! Health: what callers may ask, and how what runs is evaluated.
//!
//! A service is evaluated whenever its inventory record changes, and on demand. A result is only ever what was seen in its window; where
//! nothing fresh is known the answer is Unknown, never Healthy.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::component::HttpProbeSpec;
use runtime_domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthRefusal, HealthStatus, LatencyMs, ProbeKind,
    ProductHealth, RecordHealthCheck, ServiceHealth,
};
use runtime_domain::id::{AggregateKind, EnvironmentId, HealthCheckResultId, ServiceId};
use runtime_domain::inventory::{FRESHNESS, RuntimeService, RuntimeStatus, ServiceInstance};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{ModuleId, Name};
use runtime_ports::PortResult;
use runtime_ports::health_results::{HealthRecord, HealthResultQuery};
use runtime_ports::prober::{ProbeAnswer, ProbeRequest};
use runtime_ports::store::{
    CommitError, HealthCheckResultRepository, InboxEntry, LoadError, Page, TenantStore,
};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

use crate::error::CommandError;
use crate::events::{not_handled, opened, scope_of};
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::records::chosen;
use crate::unit::{Grounds, commit};

mod recorder;

pub use recorder::HealthRecorder;

/// What goes wrong with a health evaluation.
pub type HealthError = CommandError<HealthRefusal>;

/// Evaluates services and tells how they are.
#[derive(Debug, Clone)]
pub struct HealthService {
    host: Host,
    inventory: InventoryService,
    recorder: Option<HealthRecorder>,
}

impl HealthService {
    /// The service of a host. `inventory` tells what runs.
    pub fn new(host: Host, inventory: InventoryService) -> Self {
        let store = host.ports().records.health_results.clone();
        let recorder = store.map(|store| HealthRecorder::new(host.clone(), store));
        Self { host, inventory, recorder }
    }

    /// What records results for those who look back; `None` where the host keeps none.
    pub fn recorder(&self) -> Option<&HealthRecorder> {
        self.recorder.as_ref()
    }

    /// A page of the results that are kept, of an environment, a module, a revision, a stretch of time. They are recorded shortly after
    /// they were evaluated, and are for looking back: for how a service is now, ask [`HealthService::health`].
    ///
    /// # Errors
    /// The store failed, or this host keeps none.
    pub async fn results(
        &self,
        scope: &TenantScope,
        query: &HealthResultQuery,
    ) -> PortResult<Page<HealthRecord>> {
        let store = self.host.ports().records.health_results.as_ref();
        let store = chosen(store, "health_results.query", "health_results")?;
        store.tenant_health_results(scope).query(query).await
    }

    /// How a service is now, as far as is known.
    ///
    /// # Errors
    /// This tenant has no such service.
    pub async fn health(
        &self,
        scope: &TenantScope,
        service: ServiceId,
    ) -> Result<ServiceHealth, HealthError> {
        let service = self.find(scope, service).await?;
        Ok(self.known(scope, &service).await?)
    }

    /// How a whole environment is: the worst of its services, with the reasons.
    ///
    /// # Errors
    /// The store failed.
    pub async fn product_health(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<ProductHealth, LoadError> {
        let mut known: BTreeMap<ModuleId, ServiceHealth> = BTreeMap::new();
        for service in self.inventory.services(scope, environment).await? {
            known.insert(service.module_id().clone(), self.known(scope, &service).await?);
        }
        Ok(ProductHealth::of(&known))
    }

    /// Evaluates a service now and records the result. `None` where nothing of it can be seen, which is no result.
    ///
    /// # Errors
    /// This tenant has no such service, or the store failed.
    pub async fn evaluate(
        &self,
        scope: &TenantScope,
        service: ServiceId,
    ) -> Result<Option<HealthCheckResult>, HealthError> {
        let service = self.find(scope, service).await?;
        self.record(scope, &service, None).await
    }

    async fn find(&self, scope: &TenantScope, service: ServiceId) -> Result<RuntimeService, HealthError> {
        self.inventory.service(scope, service).await.map_err(|error| match error {
            CommandError::Load(error) => CommandError::Load(error),
            CommandError::Port(error) => CommandError::Port(error),
            _ => CommandError::NotFound { what: format!("service {service}") },
        })
    }

    async fn known(&self, scope: &TenantScope, service: &RuntimeService) -> Result<ServiceHealth, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let latest = latest(&*store, service).await?;
        Ok(ServiceHealth::of(latest.as_ref(), self.host.now(), FRESHNESS))
    }

    async fn record(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        inbox: Option<InboxEntry>,
    ) -> Result<Option<HealthCheckResult>, HealthError> {
        let start = self.host.now();
        let entries = self.entries(scope, service).await?;
        if entries.is_empty() {
            return Ok(None);
        }
        let store = self.host.ports().store.for_tenant(scope);
        let previous = latest(&*store, service).await?.map(|result| result.status());
        let now = self.host.now().max(Span::from_millis(1).after(start));
        let window = EvaluationWindow::new(start, now).map_err(|_| CommandError::Contended)?;
        let command = RecordHealthCheck {
            health_check_result_id: HealthCheckResultId::from_uuid(self.host.ports().ids.next()),
            tenant_id: scope.tenant(),
            environment_id: service.environment(),
            service_id: service.service_id(),
            module_id: service.module_id().clone(),
            evaluation_window: window,
            entries,
            previous,
        };
        let decision = HealthCheckResult::record(command, now).map_err(CommandError::Refused)?;
        let grounds = Grounds { inbox, ..Grounds::default() };
        match commit::<HealthCheckResult>(&self.host, &*store, None, &decision, grounds, now).await {
            Ok(recorded) => {
                let result = recorded.map(|loaded| loaded.aggregate);
                if let (Some(recorder), Some(result)) = (&self.recorder, &result) {
                    let revision = Some(service.version().revision.clone());
                    recorder.offer(scope, HealthRecord { result: result.clone(), revision });
                }
                Ok(result)
            }
            // The event was handled before, or another host evaluated the same instant: one result is enough.
            Err(CommitError::AlreadyHandled | CommitError::ClaimHeld { .. }) => Ok(None),
            Err(CommitError::Port(error)) => Err(CommandError::Port(error)),
            Err(_) => Err(CommandError::Contended),
        }
    }

    /// What is seen of a service: its status as a whole, and what each instance answers.
    async fn entries(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
    ) -> Result<Vec<CheckEntry>, LoadError> {
        let Some(whole) = status_of(service.status()).filter(|_| !sleeps(service)) else {
            return Ok(Vec::new());
        };
        let declared = self
            .inventory
            .deployments()
            .serving_version(scope, service.environment(), service.module_id())
            .await?;
        let own = Name::new("instances").map(|probe| entry(probe, ProbeKind::Itself, whole, Span::ZERO, []));
        let mut entries: Vec<CheckEntry> = own.into_iter().collect();
        let Some(declared) = declared else { return Ok(entries) };
        let component = declared.component();
        let probes =
            [(ProbeKind::Readiness, &component.readiness), (ProbeKind::Liveness, &component.liveness)];
        let serving = service.instances().iter().filter(|instance| instance.serves());
        for (number, instance) in serving.take(CheckEntry::MOST / 4).enumerate() {
            for (kind, spec) in &probes {
                if let Some(spec) = spec {
                    entries.extend(self.probe(number, instance, *kind, spec).await);
                }
            }
        }
        Ok(entries)
    }

    async fn probe(
        &self,
        number: usize,
        instance: &ServiceInstance,
        kind: ProbeKind,
        spec: &HttpProbeSpec,
    ) -> Option<CheckEntry> {
        let address = instance.address.clone()?;
        let request = ProbeRequest { address, path: spec.path.clone(), timeout: spec.timeout };
        let (status, latency, seen) = match self.host.ports().prober.probe(&request).await {
            Ok(ProbeAnswer::Answered { status: 200..=299, latency }) => {
                (HealthStatus::Healthy, latency, "ok".to_owned())
            }
            Ok(ProbeAnswer::Answered { status, latency }) => {
                (HealthStatus::Unhealthy, latency, format!("status {status}"))
            }
            Ok(ProbeAnswer::Silent { reason }) => (HealthStatus::Unhealthy, spec.timeout, reason),
            // The prober itself failed: that says nothing about the workload.
            Err(error) => {
                tracing::warn!(instance = instance.name, %error, "an instance could not be probed");
                return None;
            }
        };
        let name = match kind {
            ProbeKind::Liveness => format!("liveness-{number}"),
            _ => format!("readiness-{number}"),
        };
        let data = [("instance".to_owned(), instance.name.clone()), ("seen".to_owned(), seen)];
        Name::new(&name).ok().map(|probe| entry(probe, kind, status, latency, data))
    }
}

fn entry(
    probe: Name,
    kind: ProbeKind,
    status: HealthStatus,
    duration: Span,
    data: impl IntoIterator<Item = (String, String)>,
) -> CheckEntry {
    let duration = LatencyMs(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX));
    CheckEntry { probe, kind, required: true, status, duration, data: data.into_iter().collect() }
}

/// Whether none of its replicas runs because none is wanted: that is no illness, and no health either.
fn sleeps(service: &RuntimeService) -> bool {
    service.state().seen().is_some_and(|seen| seen.wanted == 0)
}

/// What the inventory's status means for health; `None` where nothing is known.
const fn status_of(status: RuntimeStatus) -> Option<HealthStatus> {
    match status {
        RuntimeStatus::Running => Some(HealthStatus::Healthy),
        RuntimeStatus::Starting | RuntimeStatus::Degraded => Some(HealthStatus::Degraded),
        RuntimeStatus::Unavailable => Some(HealthStatus::Unhealthy),
        RuntimeStatus::Unknown | RuntimeStatus::Retired => None,
    }
}

async fn latest(
    store: &dyn TenantStore,
    service: &RuntimeService,
) -> Result<Option<HealthCheckResult>, LoadError> {
    let results = HealthCheckResultRepository::new(store);
    let newest = results.newest_of(service.environment(), service.module_id()).await?;
    let newest = newest.map(|loaded| loaded.aggregate);
    Ok(newest.filter(|result| result.service_id() == service.service_id()))
}

#[async_trait]
impl Subscriber for HealthService {
    fn name(&self) -> &str {
        "health"
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let event = delivery.event;
        if event.aggregate_kind != AggregateKind::RuntimeService {
            return Ok(());
        }
        let envelope = opened(event)?;
        if envelope.event_type.name() != "RuntimeInventoryUpdated" || is_old(envelope.time, self.host.now()) {
            return Ok(());
        }
        let scope = scope_of(&self.host, "health", &envelope);
        let service = ServiceId::from_uuid(event.aggregate_id);
        let service = self.inventory.service(&scope, service).await.map_err(not_handled)?;
        self.record(&scope, &service, Some(delivery.inbox)).await.map(drop).map_err(not_handled)
    }
}

/// An event from long ago says nothing about now: after an outage the next change is evaluated, not every missed one.
fn is_old(at: Timestamp, now: Timestamp) -> bool {
    Span::between(at, now) > FRESHNESS
}
