//! Looks at what runs, keeps the inventory's record of it, and has it evaluated when that is due.

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, ServiceId};
use runtime_domain::inventory::{InventoryCommand, RuntimeService, RuntimeStatus};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, ComponentObservation};
use runtime_domain::time::Span;
use runtime_ports::snapshots::{Captured, SnapshotBody, SnapshotStore};
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository};
use runtime_ports::subject::{ContentDigest, KeptName, Subject};

use crate::health::HealthService;
use crate::host::{Host, HostOptions};
use crate::observed::decided;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};
use memory::{Evaluated, Known, Memory};

mod memory;
#[cfg(test)]
mod tests;

/// How many looks a second at services that are as they should be a host makes at most before it makes them seldom.
const LOOKS: u64 = 250;

/// How late looks may be so that they share calls of the store.
const PATIENCE: Span = Span::from_millis(50);

/// Looks at services.
pub(crate) struct InventoryReconciler {
    host: Host,
    health: HealthService,
    memory: Memory,
}

impl InventoryReconciler {
    pub(crate) fn new(host: Host, health: HealthService) -> Self {
        Self { host, health, memory: Memory::default() }
    }

    /// Evaluates a service that was just looked at, where it is due. That it could not be changes nothing here: it stays due.
    async fn evaluate(
        &self,
        scope: &TenantScope,
        lease: &Lease,
        service: &RuntimeService,
        known: &mut Known,
    ) {
        let now = self.host.now();
        let id = service.service_id();
        let evaluated =
            Evaluated { at: now, status: service.status(), revision: service.version().revision.clone() };
        if let Some(last) = &known.evaluated {
            let age = Span::between(last.at, now).max(Span::between(now, last.at));
            // The look that is nearest to when it is due: the next one comes as long after this one as the last came before.
            let is_due = age.as_millis() + self.interval(service).as_millis() / 2
                >= self.host.options().health_poll.as_millis();
            if !is_due && last.status == evaluated.status && last.revision == evaluated.revision {
                return;
            }
        }
        match self.health.record(scope, service, Some(lease), &mut known.health).await {
            Ok(_) => known.evaluated = Some(evaluated),
            Err(error) => tracing::warn!(service = %id, %error, "a service could not be evaluated"),
        }
    }

    /// Keeps what was seen, for those who look back. That it could not be kept changes nothing.
    async fn keep(&self, scope: &TenantScope, observation: &ComponentObservation, known: &mut Known) {
        let Some(store) = &self.host.ports().records.snapshots else { return };
        let (key, at) = (&observation.key, observation.observed_at);
        // Without the time of looking: seeing the same again is no new snapshot.
        let seen = (&observation.revisions, &observation.traffic, &observation.endpoint);
        let Ok(text) = serde_json::to_vec(&seen) else { return };
        let digest = ContentDigest::of(&text);
        if known.is_kept(digest, at) {
            return;
        }
        match self.capture(&**store, scope, observation).await {
            Ok(captured) => known.keep(digest, at, captured),
            Err(why) => tracing::warn!(%key, why, "what was seen of a component was not kept"),
        }
    }

    async fn capture(
        &self,
        store: &dyn SnapshotStore,
        scope: &TenantScope,
        observation: &ComponentObservation,
    ) -> Result<Captured, String> {
        let key = &observation.key;
        let seen = serde_json::json!({
            "revisions": observation.revisions,
            "traffic": observation.traffic,
            "endpoint": observation.endpoint,
        });
        let name = KeptName::new(&format!("component/{}", key.module)).map_err(|error| error.to_string())?;
        let body = SnapshotBody::of(&seen).map_err(|error| error.to_string())?;
        let subject = Subject { environment: key.environment, name };
        let snapshots = store.tenant_snapshots(scope);
        let capture = snapshots.capture(&subject, observation.observed_at, &body);
        self.host.bounded("snapshots.capture", capture).await.map_err(|error| error.to_string())
    }

    /// When a service is looked at again. One that is Running is looked at less often where there are many, so that looking takes no more than
    /// its part of the machine.
    fn interval(&self, service: &RuntimeService) -> Span {
        let options = self.host.options();
        if service.status() != RuntimeStatus::Running {
            return options.inventory_poll;
        }
        let tracked = u64::try_from(self.memory.tracked()).unwrap_or(u64::MAX);
        let fair = Span::from_millis(tracked.saturating_mul(1_000) / LOOKS);
        fair.min(options.settled_poll).max(options.inventory_poll)
    }

    /// The scope of a look, with the chain of work that began the service.
    async fn scope(&self, lease: &Lease, known: &mut Known) -> Result<TenantScope, PassError> {
        const NAME: &str = "inventory";
        if let Some(correlation) = known.correlation {
            return Ok(self.host.operator(NAME).for_tenant(lease.tenant, correlation));
        }
        let scope = super::scope_of(&self.host, NAME, lease).await?;
        known.correlation = Some(scope.correlation());
        Ok(scope)
    }

    /// What is seen; nothing where looking failed, which the record takes for silence and never for health.
    async fn look(&self, lease: &Lease, service: &Loaded<RuntimeService>) -> InventoryCommand {
        use runtime_domain::aggregate::Aggregate as _;
        let service = &service.aggregate;
        let key = ComponentKey {
            tenant: lease.tenant,
            environment: service.environment(),
            module: service.module_id().clone(),
        };
        let Some(surface) = self.host.surface(service.version().compute_target) else {
            return InventoryCommand::MarkUnobserved;
        };
        match self.host.bounded("surface.observe", surface.observe(&key)).await {
            Ok(observation) => InventoryCommand::RecordObservation { observation },
            Err(error) => {
                tracing::warn!(%key, %error, "a component could not be looked at");
                InventoryCommand::MarkUnobserved
            }
        }
    }
}

#[async_trait]
impl Task for InventoryReconciler {
    fn name(&self) -> &'static str {
        "inventory"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::RuntimeService]
    }

    fn concurrency(&self, options: &HostOptions) -> u32 {
        options.inventory_concurrency
    }

    fn patience(&self) -> Span {
        PATIENCE
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let id = ServiceId::from_uuid(lease.key.id);
        let mut known = self.memory.recall(id, lease, self.host.now());
        let scope = self.scope(lease, &mut known).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        let loaded = match known.record_at(lease.revision) {
            Some(remembered) => Some(remembered),
            None => Repository::new(&*store).load(lease.key.id).await.map_err(PassError::failed)?,
        };
        let Some(loaded) = loaded.filter(|loaded| loaded.aggregate.status() != RuntimeStatus::Retired) else {
            return Ok(Passed::AsStored);
        };
        let command = self.look(lease, &loaded).await;
        let observation = match &command {
            InventoryCommand::RecordObservation { observation } => Some(observation.clone()),
            _ => None,
        };
        let now = self.host.now();
        let decision = decided(|| loaded.aggregate.decide(command, now)).map_err(PassError::failed)?;
        let mut seen = loaded.revision;
        let mut interval = self.host.options().inventory_poll;
        let grounds = Grounds { lease: Some(lease), ..Grounds::default() };
        let after = match commit(&self.host, &*store, Some(loaded), &decision, grounds, now).await {
            Ok(after) => after,
            Err(CommitError::Conflict { .. }) => None,
            Err(CommitError::LeaseLost { .. }) => return Err(PassError::LeaseLost),
            Err(error) => return Err(PassError::failed(error)),
        };
        if let Some(after) = &after {
            seen = after.revision;
        }
        if let Some(observation) = observation {
            self.keep(&scope, &observation, &mut known).await;
            if let Some(after) = &after {
                self.evaluate(&scope, lease, &after.aggregate, &mut known).await;
                interval = self.interval(&after.aggregate);
            }
        }
        known.record = after;
        self.memory.remember(id, known);
        Ok(Passed::Until { seen, at: interval.after(now) })
    }
}
