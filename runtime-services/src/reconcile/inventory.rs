//! Looks at what runs, keeps the inventory's record of it, and has it evaluated when that is due.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::id::{AggregateKind, ServiceId};
use runtime_domain::inventory::{InventoryCommand, RuntimeService, RuntimeStatus};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, ComponentObservation};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::snapshots::SnapshotBody;
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository};
use runtime_ports::subject::{KeptName, Subject};

use crate::health::HealthService;
use crate::host::Host;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// Looks at services.
pub(crate) struct InventoryReconciler {
    host: Host,
    health: HealthService,
    /// When this host has evaluated services last, so that nothing is read to find out that none is due. It is only a hint: without it a
    /// service is evaluated once more than is needed.
    evaluated: Mutex<HashMap<ServiceId, Evaluated>>,
}

/// What was evaluated, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Evaluated {
    at: Timestamp,
    status: RuntimeStatus,
    revision: RevisionId,
}

impl InventoryReconciler {
    pub(crate) fn new(host: Host, health: HealthService) -> Self {
        Self { host, health, evaluated: Mutex::default() }
    }

    /// Evaluates a service that was just looked at, where it is due. That it could not be changes nothing here: it stays due.
    async fn evaluate(&self, scope: &TenantScope, lease: &Lease, service: &RuntimeService) {
        let now = self.host.now();
        let id = service.service_id();
        let evaluated =
            Evaluated { at: now, status: service.status(), revision: service.version().revision.clone() };
        let last = self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if last.is_some_and(|last| {
            let age = Span::between(last.at, now).max(Span::between(now, last.at));
            age < self.host.options().health_poll && Evaluated { at: now, ..last } == evaluated
        }) {
            return;
        }
        match self.health.record(scope, service, Some(lease)).await {
            Ok(_) => {
                self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).insert(id, evaluated);
            }
            Err(error) => tracing::warn!(service = %id, %error, "a service could not be evaluated"),
        }
    }

    /// Keeps what was seen, for those who look back. That it could not be kept changes nothing.
    async fn keep(&self, scope: &TenantScope, observation: &ComponentObservation) {
        let Some(store) = &self.host.ports().records.snapshots else { return };
        let key = &observation.key;
        // Without the time of looking: seeing the same again is no new snapshot.
        let seen = serde_json::json!({
            "revisions": observation.revisions,
            "traffic": observation.traffic,
            "endpoint": observation.endpoint,
        });
        let name = KeptName::new(&format!("component/{}", key.module)).map_err(|error| error.to_string());
        let body = SnapshotBody::of(&seen).map_err(|error| error.to_string());
        let kept = match (name, body) {
            (Ok(name), Ok(body)) => {
                let subject = Subject { environment: key.environment, name };
                let snapshots = store.tenant_snapshots(scope);
                let capture = snapshots.capture(&subject, observation.observed_at, &body);
                self.host.bounded("snapshots.capture", capture).await.map_err(|error| error.to_string())
            }
            (Err(why), _) | (_, Err(why)) => Err(why),
        };
        if let Err(why) = kept {
            tracing::warn!(%key, why, "what was seen of a component was not kept");
        }
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

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "inventory", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        let loaded =
            Repository::<RuntimeService>::new(&*store).load(lease.key.id).await.map_err(PassError::failed)?;
        let Some(loaded) = loaded.filter(|loaded| loaded.aggregate.status() != RuntimeStatus::Retired) else {
            let id = ServiceId::from_uuid(lease.key.id);
            self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Ok(Passed::AsStored);
        };
        let command = self.look(lease, &loaded).await;
        let observation = match &command {
            InventoryCommand::RecordObservation { observation } => Some(observation.clone()),
            _ => None,
        };
        let now = self.host.now();
        let decision = loaded.aggregate.decide(command, now).map_err(PassError::failed)?;
        let seen = loaded.revision;
        let grounds = Grounds { lease: Some(lease), ..Grounds::default() };
        let after = match commit(&self.host, &*store, Some(loaded), &decision, grounds, now).await {
            Ok(after) => after,
            Err(CommitError::Conflict { .. }) => None,
            Err(CommitError::LeaseLost { .. }) => return Err(PassError::LeaseLost),
            Err(error) => return Err(PassError::failed(error)),
        };
        let seen = after.as_ref().map_or(seen, |after| after.revision);
        if let Some(observation) = observation {
            self.keep(&scope, &observation).await;
            if let Some(after) = &after {
                self.evaluate(&scope, lease, &after.aggregate).await;
            }
        }
        Ok(Passed::Until { seen, at: self.host.options().inventory_poll.after(now) })
    }
}
