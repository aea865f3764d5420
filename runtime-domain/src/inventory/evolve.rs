//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::inventory::{
    DeployedRevision, HEARTBEAT, InventoryChange, InventoryEvent, REMEMBERED_VERSIONS, Retired,
    RuntimeService, RuntimeServiceRecord, ServiceState, Unknown, UnknownCause,
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
        self.state.status().name()
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
        match &self.state {
            ServiceState::Retired(_) => None,
            _ if self.awaits_first_look() => Some(self.looked_at),
            _ => Some(HEARTBEAT.after(self.looked_at)),
        }
    }

    fn evolve(state: Option<Self>, event: &InventoryEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (
                None,
                InventoryEvent::RuntimeInventoryUpdated {
                    service_id,
                    module_id,
                    change: InventoryChange::Registered(registered),
                    ..
                },
            ) => Ok(Self {
                service_id: *service_id,
                tenant_id: registered.tenant_id,
                environment_id: registered.environment_id,
                module_id: module_id.clone(),
                registered_at: at,
                current: registered.deployed.clone(),
                former: Vec::new(),
                looked_at: at,
                state: ServiceState::Unknown(Unknown {
                    since: at,
                    cause: UnknownCause::NeverObserved,
                    last: None,
                }),
            }),
            (None, event) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(service), event) => {
                let state = service.state.status().name();
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
    fn apply(mut self, event: &InventoryEvent, at: Timestamp) -> Option<Self> {
        if self.state.status().is_final() {
            return None;
        }
        match event {
            InventoryEvent::RuntimeInventoryUpdated { change: InventoryChange::Registered(_), .. } => {
                return None;
            }
            InventoryEvent::RuntimeInventoryUpdated {
                change: InventoryChange::VersionRecorded(deployed),
                ..
            } => {
                self.succeed(deployed);
                self.looked_at = at;
                self.state = ServiceState::Unknown(Unknown {
                    since: at,
                    cause: UnknownCause::VersionChanged,
                    last: self.state.last_observed().cloned(),
                });
            }
            InventoryEvent::RuntimeInventoryUpdated { change: InventoryChange::Observed(state), .. } => {
                if state.status().is_final() {
                    return None;
                }
                self.looked_at = at;
                self.state = state.clone();
            }
            InventoryEvent::ServiceObservationMissed { .. } => self.looked_at = at,
            InventoryEvent::RuntimeServiceRetired { reason, .. } => {
                self.state = ServiceState::Retired(Retired {
                    retired_at: at,
                    reason: reason.clone(),
                    last_observed_at: self.last_observed_at(),
                });
            }
        }
        Some(self)
    }

    /// Makes `deployed` the present version and remembers the one before it. A version that comes back is remembered once.
    fn succeed(&mut self, deployed: &DeployedRevision) {
        let before = core::mem::replace(&mut self.current, deployed.clone());
        self.former.push(before);
        self.former.retain(|former| former.revision != deployed.revision);
        let surplus = self.former.len().saturating_sub(REMEMBERED_VERSIONS - 1);
        self.former.drain(..surplus);
    }
}
