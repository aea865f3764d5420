//! Looks at what runs, and keeps the inventory's record of it.

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::inventory::{InventoryCommand, RuntimeService, RuntimeStatus};
use runtime_domain::surface::ComponentKey;
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository};

use crate::host::Host;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// Looks at services.
pub(crate) struct InventoryReconciler {
    host: Host,
}

impl InventoryReconciler {
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
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
            return Ok(Passed::AsStored);
        };
        let command = self.look(lease, &loaded).await;
        let now = self.host.now();
        let decision = loaded.aggregate.decide(command, now).map_err(PassError::failed)?;
        let seen = loaded.revision;
        let grounds = Grounds { lease: Some(lease), ..Grounds::default() };
        let seen = match commit(&self.host, &*store, Some(loaded), &decision, grounds, now).await {
            Ok(after) => after.map_or(seen, |after| after.revision),
            Err(CommitError::Conflict { .. }) => seen,
            Err(CommitError::LeaseLost { .. }) => return Err(PassError::LeaseLost),
            Err(error) => return Err(PassError::failed(error)),
        };
        Ok(Passed::Until { seen, at: self.host.options().inventory_poll.after(now) })
    }
}
