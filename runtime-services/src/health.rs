//! Health: what callers may ask, and how what runs is evaluated.
//!
//! A service is evaluated by the host that looks at it for the inventory, under that lease: every [`HostOptions::health_poll`], at once where
//! its status or version changes, and on demand. A result is only ever what was seen in its window; where nothing fresh is known, or what was
//! declared could not be asked, the answer is Unknown, never Healthy.
//!
//! Every result is recorded for those who look back. One that changes what is believed of the service is an aggregate too, and is told to the
//! world; an unchanged verdict costs no commit. A host that keeps no results makes an aggregate of all that says something new, and of one in
//! a [`HEARTBEAT`](runtime_domain::inventory::HEARTBEAT) that does not.
//!
//! [`HostOptions::health_poll`]: crate::HostOptions::health_poll

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::health::{HealthCheckResult, HealthRefusal, ProductHealth, ServiceHealth};
use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::inventory::{FRESHNESS, RuntimeService};
use runtime_domain::scope::TenantScope;
use runtime_ports::PortResult;
use runtime_ports::health_results::{HealthRecord, HealthResultQuery};
use runtime_ports::store::{LoadError, Page};

use crate::context::Context;
use crate::error::CommandError;
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::records::chosen;

mod dependencies;
mod destinations;
mod evaluation;
mod familiar;
mod latest;
mod probes;
mod product;
mod recorder;

use destinations::Destinations;
pub(crate) use familiar::Familiar;
pub use recorder::HealthRecorder;

/// What goes wrong with a health evaluation.
pub type HealthError = CommandError<HealthRefusal>;

/// Evaluates services and tells how they are.
#[derive(Debug, Clone)]
pub struct HealthService {
    host: Host,
    inventory: InventoryService,
    recorder: Option<HealthRecorder>,
    /// How many evaluations were asked for.
    asked: Arc<AtomicU64>,
    destinations: Arc<Destinations>,
}

impl HealthService {
    /// The service of a host. `inventory` tells what runs.
    pub fn new(host: Host, inventory: InventoryService) -> Self {
        let store = host.ports().records.health_results.clone();
        let recorder = store.map(|store| HealthRecorder::new(host.clone(), store));
        Self { host, inventory, recorder, asked: Arc::default(), destinations: Arc::default() }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Health), ..self.clone() }
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

    /// How a whole environment is: the worst of its services, with the reasons. A component that was deployed, or is being deployed, and that
    /// nothing is known of yet is Unknown, and so is the whole.
    ///
    /// # Errors
    /// The store failed.
    pub async fn product_health(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<ProductHealth, LoadError> {
        Ok(ProductHealth::of(&self.children(scope, environment).await?))
    }

    /// Evaluates a service now and records the result. `None` where nothing of it can be told, which is no result.
    ///
    /// # Errors
    /// This tenant has no such service, or the store failed.
    pub async fn evaluate(
        &self,
        scope: &TenantScope,
        service: ServiceId,
    ) -> Result<Option<HealthCheckResult>, HealthError> {
        let service = self.find(scope, service).await?;
        let result = self.record(scope, &service, None, &mut Familiar::default()).await;
        self.asked.fetch_add(1, Ordering::AcqRel);
        result
    }

    async fn find(&self, scope: &TenantScope, service: ServiceId) -> Result<RuntimeService, HealthError> {
        self.inventory.service(scope, service).await.map_err(|error| match error {
            CommandError::Load(error) => CommandError::Load(error),
            CommandError::Port(error) => CommandError::Port(error),
            _ => CommandError::NotFound { what: format!("service {service}") },
        })
    }

    async fn known(&self, scope: &TenantScope, service: &RuntimeService) -> Result<ServiceHealth, LoadError> {
        let latest = self.latest(scope, service.environment(), service.module_id()).await?;
        let result = latest.as_ref().map(|latest| &latest.result);
        Ok(ServiceHealth::of(result, self.host.now(), FRESHNESS))
    }
}
