//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::health::{HealthCheckResult, HealthCheckResultRecord, HealthEvent};
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for HealthCheckResult {
    const KIND: AggregateKind = AggregateKind::HealthCheckResult;
    const SCHEMA: u16 = 1;
    type Event = HealthEvent;
    type Record = HealthCheckResultRecord;

    fn uuid(&self) -> Uuid {
        self.health_check_result_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.status.name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        BTreeSet::new()
    }

    fn claims(&self) -> BTreeSet<Claim> {
        BTreeSet::from([Claim::health_window(self.service_id, self.evaluation_window.start())])
    }

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    fn evolve(state: Option<Self>, event: &HealthEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (None, HealthEvent::HealthCheckCompleted(completed)) => Ok(Self {
                health_check_result_id: completed.health_check_result_id,
                tenant_id: completed.tenant_id,
                environment_id: completed.environment_id,
                service_id: completed.service_id,
                status: completed.status,
                evaluated_at: at,
                evaluation_window: completed.evaluation_window,
                entries: completed.entries.clone(),
            }),
            // It tells others what the result means; the result is what it was (HLT-1).
            (Some(result), HealthEvent::HealthDegraded { status, service_id, .. })
                if *status == result.status && *service_id == result.service_id =>
            {
                Ok(result)
            }
            (None, event) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(result), event) => Err(Misapplied { event: event.name(), state: result.status.name() }),
        }
    }

    fn to_record(&self) -> HealthCheckResultRecord {
        HealthCheckResultRecord::of(self)
    }

    fn from_record(schema: u16, record: HealthCheckResultRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}
