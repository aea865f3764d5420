//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::health::event::HealthEvent;
use crate::health::record::HealthCheckResultRecord;
use crate::health::state::{HealthCheckResult, judge};
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

    /// None: a result is about a service, and that is about a module.
    fn modules(&self) -> BTreeSet<ModuleId> {
        BTreeSet::from([self.module_id.clone()])
    }

    fn claims(&self) -> BTreeSet<Claim> {
        BTreeSet::from([Claim::health_window(self.service_id, self.evaluation_window.start())])
    }

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    fn evolve(state: Option<Self>, event: &HealthEvent, _at: Timestamp) -> Result<Self, Misapplied> {
        let misapplied = |state| Misapplied { event: event.name(), state };
        match (state, event) {
            // HLT-2
            (None, HealthEvent::HealthCheckCompleted(completed))
                if judge(&completed.entries) == Ok(completed.status)
                    && completed.verdict.is_none_or(|verdict| verdict.agrees_with(completed.status)) =>
            {
                Ok(Self {
                    health_check_result_id: completed.health_check_result_id,
                    tenant_id: completed.tenant_id,
                    environment_id: completed.environment_id,
                    service_id: completed.service_id,
                    module_id: completed.module_id.clone(),
                    status: completed.status,
                    evaluated_at: completed.evaluated_at,
                    evaluation_window: completed.evaluation_window,
                    entries: completed.entries.clone(),
                    verdict: completed.verdict,
                })
            }
            (None, _) => Err(misapplied("absent")),
            (Some(result), HealthEvent::HealthDegraded { service_id, from, to })
                if *service_id == result.service_id && *to == result.verdict().status && from < to =>
            {
                Ok(result)
            }
            // HLT-1
            (Some(result), _) => Err(misapplied(result.status.name())),
        }
    }

    fn to_record(&self) -> HealthCheckResultRecord {
        HealthCheckResultRecord::of(self)
    }

    fn from_record(schema: u16, record: HealthCheckResultRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}
