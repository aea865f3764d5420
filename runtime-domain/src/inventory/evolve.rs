//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::string::String;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::inventory::event::{InventoryEvent, InventoryUpdate, Registered};
use crate::inventory::record::RuntimeServiceRecord;
use crate::inventory::state::{
    Degraded, Retired, Running, RuntimeService, RuntimeStatus, ServiceState, Snapshot, Starting, Unavailable,
    Unknown,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for RuntimeService {
    const KIND: AggregateKind = AggregateKind::RuntimeService;
    const SCHEMA: u16 = 1;
    type Event = InventoryEvent;
    type Record = RuntimeServiceRecord;

    fn uuid(&self) -> Uuid {
        self.service_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        BTreeSet::from([self.module_id.clone()])
    }

    fn claims(&self) -> BTreeSet<Claim> {
        match self.state {
            ServiceState::Retired(_) => BTreeSet::new(),
            _ => BTreeSet::from([Claim::service(self.environment_id, &self.module_id)]),
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        (self.status() != RuntimeStatus::Retired).then(|| self.last_heard())
    }

    fn evolve(state: Option<Self>, event: &InventoryEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (None, InventoryEvent::RuntimeInventoryUpdated(InventoryUpdate::Registered(registered))) => {
                Ok(Self::begin(registered, at))
            }
            (None, event) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(service), event) => {
                let state = service.status().name();
                service.apply(event, at).ok_or(Misapplied { event: event.name(), state })
            }
        }
    }

    fn to_record(&self) -> RuntimeServiceRecord {
        RuntimeServiceRecord::of(self)
    }

    fn from_record(schema: u16, record: RuntimeServiceRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

impl RuntimeService {
    fn begin(registered: &Registered, at: Timestamp) -> Self {
        Self {
            service_id: registered.service_id,
            tenant_id: registered.tenant_id,
            environment_id: registered.environment_id,
            module_id: registered.version.revision.module.clone(),
            version: registered.version.clone(),
            registered_at: at,
            state: ServiceState::Starting(Starting { since: at, seen: None }),
        }
    }

    fn apply(mut self, event: &InventoryEvent, at: Timestamp) -> Option<Self> {
        if self.status() == RuntimeStatus::Retired {
            return self.begin_anew(event, at);
        }
        match event {
            InventoryEvent::RuntimeInventoryUpdated(update) => return self.update(update, at),
            InventoryEvent::ServiceSeen { observed_at } => {
                self.snapshot_mut()?.observed_at = *observed_at;
            }
            InventoryEvent::RuntimeServiceRetired { reason } => {
                self.state = ServiceState::Retired(Retired {
                    retired_at: at,
                    reason: reason.clone(),
                    last_observed_at: self.last_observed_at(),
                });
            }
        }
        Some(self)
    }

    /// A retired component that a deployment brought again: the same service of the same tenant (SVC-3).
    fn begin_anew(self, event: &InventoryEvent, at: Timestamp) -> Option<Self> {
        let InventoryEvent::RuntimeInventoryUpdated(InventoryUpdate::Registered(registered)) = event else {
            return None;
        };
        let again = Self::begin(registered, at);
        let is_same = again.service_id == self.service_id && again.tenant_id == self.tenant_id;
        is_same.then_some(again)
    }

    fn update(mut self, update: &InventoryUpdate, at: Timestamp) -> Option<Self> {
        match update {
            InventoryUpdate::Registered(_) => None,
            InventoryUpdate::VersionRecorded { version, status, why } => {
                if version.revision.module != self.module_id {
                    return None;
                }
                self.version = version.clone();
                let seen = self.state.seen().cloned();
                self.enter(*status, seen, why, at)
            }
            InventoryUpdate::Observed { snapshot, status, why } => {
                self.enter(*status, Some(snapshot.clone()), why, at)
            }
            InventoryUpdate::Unobserved { why } => {
                let seen = self.state.seen().cloned();
                self.enter(RuntimeStatus::Unknown, seen, why, at)
            }
        }
    }

    fn enter(
        mut self,
        status: RuntimeStatus,
        seen: Option<Snapshot>,
        why: &str,
        at: Timestamp,
    ) -> Option<Self> {
        let since = if status == self.status() { self.state.since() } else { at };
        let why = String::from(why);
        self.state = match status {
            RuntimeStatus::Starting => ServiceState::Starting(Starting { since, seen }),
            RuntimeStatus::Running => {
                // SVC-2
                let seen = seen.filter(|seen| seen.serves(&self.version.revision))?;
                ServiceState::Running(Running { since, seen })
            }
            RuntimeStatus::Degraded => ServiceState::Degraded(Degraded { since, seen: seen?, why }),
            RuntimeStatus::Unavailable => ServiceState::Unavailable(Unavailable { since, seen: seen?, why }),
            RuntimeStatus::Unknown => ServiceState::Unknown(Unknown { since, seen, why }),
            RuntimeStatus::Retired => return None,
        };
        Some(self)
    }

    fn snapshot_mut(&mut self) -> Option<&mut Snapshot> {
        match &mut self.state {
            ServiceState::Starting(state) => state.seen.as_mut(),
            ServiceState::Running(state) => Some(&mut state.seen),
            ServiceState::Degraded(state) => Some(&mut state.seen),
            ServiceState::Unavailable(state) => Some(&mut state.seen),
            ServiceState::Unknown(_) | ServiceState::Retired(_) => None,
        }
    }
}
