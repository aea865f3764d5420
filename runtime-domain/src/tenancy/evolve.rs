//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::format;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::{Claim, ClaimMode};
use crate::environment::IsolationModel;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::tenancy::{
    BindingState, Bound, QuotaAllocation, Released, RuntimeTenantBinding, RuntimeTenantBindingRecord,
    TenancyEvent,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for RuntimeTenantBinding {
    const KIND: AggregateKind = AggregateKind::RuntimeTenantBinding;
    const SCHEMA: u16 = 1;
    type Event = TenancyEvent;
    type Record = RuntimeTenantBindingRecord;

    fn uuid(&self) -> Uuid {
        self.tenant_binding_id.uuid()
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
        BTreeSet::new()
    }

    fn claims(&self) -> BTreeSet<Claim> {
        let BindingState::Bound(_) = self.state else { return BTreeSet::new() };
        let mode = match self.isolation_model {
            IsolationModel::Silo => ClaimMode::Exclusive,
            IsolationModel::Pool | IsolationModel::Shared => ClaimMode::Shared,
        };
        let mut claims = BTreeSet::from([
            Claim::tenant_binding(self.tenant_id, self.environment_id),
            Claim::occupancy(self.environment_id, mode),
            Claim::partition(self.environment_id, &format!("data/{}", self.partitions.data)),
        ]);
        // Tenants that share workloads share the network those run in; their data stays apart.
        if self.isolation_model != IsolationModel::Shared {
            let network = format!("network/{}", self.partitions.network);
            claims.insert(Claim::partition(self.environment_id, &network));
        }
        claims
    }

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    fn evolve(state: Option<Self>, event: &TenancyEvent, at: Timestamp) -> Result<Self, Misapplied> {
        let misapplied = |state| Misapplied { event: event.name(), state };
        match (state, event) {
            (None, TenancyEvent::RuntimeTenantBound(bound)) => Ok(Self {
                tenant_binding_id: bound.tenant_binding_id,
                tenant_id: bound.tenant_id,
                environment_id: bound.environment_id,
                isolation_model: bound.isolation_model,
                partitions: bound.partitions.clone(),
                bound_at: at,
                state: BindingState::Bound(Bound {
                    allocation: QuotaAllocation { quota: bound.quota, allocated_at: at },
                }),
            }),
            (None, _) => Err(misapplied("absent")),
            (Some(binding), event) => {
                let state = match (&binding.state, event) {
                    (BindingState::Bound(_), TenancyEvent::RuntimeTenantQuotaAdjusted { quota, .. }) => {
                        BindingState::Bound(Bound {
                            allocation: QuotaAllocation { quota: *quota, allocated_at: at },
                        })
                    }
                    (BindingState::Bound(_), TenancyEvent::TenantReleased { reason }) => {
                        BindingState::Released(Released { released_at: at, reason: reason.clone() })
                    }
                    _ => return Err(misapplied(binding.state.status().name())),
                };
                Ok(Self { state, ..binding })
            }
        }
    }

    fn to_record(&self) -> RuntimeTenantBindingRecord {
        RuntimeTenantBindingRecord::of(self)
    }

    fn from_record(schema: u16, record: RuntimeTenantBindingRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}
