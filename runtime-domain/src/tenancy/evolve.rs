//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::format;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::{Claim, ClaimMode};
use crate::environment::IsolationModel;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::tenancy::{
    BindingState, Bound, Cordoned, MoveStage, Moving, Pending, QuotaAllocation, QuotaExchange, Released,
    RuntimeTenantBinding, RuntimeTenantBindingRecord, TenancyEvent, TenantMove, WorkloadLedger,
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
        if let BindingState::Released(_) = self.state {
            return BTreeSet::new();
        }
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
        let settle_at = match &self.state {
            BindingState::Pending(pending) => Some(pending.until),
            BindingState::Released(released) => (!released.is_quota_returned).then_some(released.released_at),
            state => state.bound().and_then(|bound| bound.exchange).map(|exchange| match exchange {
                QuotaExchange::Increase { until, .. } => until,
                QuotaExchange::Surplus { since } => since,
            }),
        };
        let moves_at = self.relocation().map(TenantMove::due_at);
        settle_at.into_iter().chain(moves_at).chain(self.workloads.waits_since()).min()
    }

    fn evolve(state: Option<Self>, event: &TenancyEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (None, TenancyEvent::TenantBindingRequested { tenant_binding_id, place, until }) => Ok(Self {
                tenant_binding_id: *tenant_binding_id,
                tenant_id: place.tenant_id,
                environment_id: place.environment_id,
                isolation_model: place.isolation_model,
                partitions: place.partitions.clone(),
                bound_at: None,
                is_protected: false,
                workloads: WorkloadLedger::default(),
                state: BindingState::Pending(Pending { quota: place.quota, until: *until }),
            }),
            (None, _) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(binding), event) => {
                let state = binding.state.status().name();
                binding.apply(event, at).ok_or(Misapplied { event: event.name(), state })
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

impl RuntimeTenantBinding {
    fn apply(mut self, event: &TenancyEvent, at: Timestamp) -> Option<Self> {
        match event {
            TenancyEvent::TenantProtected | TenancyEvent::TenantUnprotected => {
                self.is_protected = matches!(event, TenancyEvent::TenantProtected);
                (!matches!(self.state, BindingState::Released(_))).then_some(self)
            }
            TenancyEvent::WorkloadsAdmitted { deployment, demands } => {
                self.state.bound()?;
                let workloads = self.workloads.admitting(*deployment, demands, at);
                Some(Self { workloads, ..self })
            }
            TenancyEvent::WorkloadsSettled { deployment, is_kept } => {
                self.workloads.settle(*deployment, *is_kept);
                self.state.bound().is_some().then_some(self)
            }
            TenancyEvent::WorkloadScaled { module, demand } => {
                self.state.bound()?;
                self.workloads.scale(module, *demand).then_some(self)
            }
            TenancyEvent::WorkloadsRetired => {
                self.workloads.clear();
                self.state.bound().is_some().then_some(self)
            }
            TenancyEvent::RuntimeTenantBound(bound) => {
                let BindingState::Pending(_) = self.state else { return None };
                let allocation = QuotaAllocation { quota: bound.quota, allocated_at: at };
                let state = BindingState::Bound(Bound { allocation, exchange: None });
                Some(Self { bound_at: Some(at), state, ..self })
            }
            TenancyEvent::QuotaIncreaseRequested { .. }
            | TenancyEvent::QuotaIncreaseLapsed
            | TenancyEvent::RuntimeTenantQuotaAdjusted { .. }
            | TenancyEvent::QuotaSettled => {
                let bound = self.state.bound_mut()?;
                *bound = exchanged(*bound, event, at)?;
                Some(self)
            }
            _ => {
                let state = self.state.step(event, at)?;
                Some(Self { state, ..self })
            }
        }
    }
}

fn exchanged(bound: Bound, event: &TenancyEvent, at: Timestamp) -> Option<Bound> {
    let surplus = Some(QuotaExchange::Surplus { since: at });
    match event {
        TenancyEvent::QuotaIncreaseRequested { quota, until } => {
            Some(Bound { exchange: Some(QuotaExchange::Increase { quota: *quota, until: *until }), ..bound })
        }
        // The environment may have committed it all the same, and must hear that it is not wanted.
        TenancyEvent::QuotaIncreaseLapsed => Some(Bound { exchange: surplus, ..bound }),
        TenancyEvent::RuntimeTenantQuotaAdjusted { quota, .. } => {
            Some(Bound { allocation: QuotaAllocation { quota: *quota, allocated_at: at }, exchange: surplus })
        }
        TenancyEvent::QuotaSettled => Some(Bound { exchange: None, ..bound }),
        _ => None,
    }
}

impl BindingState {
    fn bound_mut(&mut self) -> Option<&mut Bound> {
        match self {
            Self::Bound(bound)
            | Self::Cordoned(Cordoned { bound, .. })
            | Self::Moving(Moving { bound, .. }) => Some(bound),
            Self::Pending(_) | Self::Released(_) => None,
        }
    }

    fn step(self, event: &TenancyEvent, at: Timestamp) -> Option<Self> {
        Some(match (self, event) {
            (Self::Bound(bound), TenancyEvent::TenantCordoned { reason }) => {
                Self::Cordoned(Cordoned { bound, since: at, reason: reason.clone() })
            }
            (Self::Cordoned(cordoned), TenancyEvent::TenantUncordoned) => Self::Bound(cordoned.bound),
            (
                Self::Bound(bound),
                TenancyEvent::TenantMoveBegun { target_environment, target_binding, observe_for },
            ) => {
                let relocation = TenantMove::begin(*target_environment, *target_binding, *observe_for, at);
                Self::Moving(Moving { bound, relocation })
            }
            (Self::Moving(moving), TenancyEvent::TenantMoveTurned { stage, .. }) => {
                Self::Moving(Moving { relocation: moving.relocation.at_stage(*stage, at), ..moving })
            }
            (Self::Moving(moving), TenancyEvent::TenantMoveStepFailed { retry_at, .. }) => {
                Self::Moving(Moving { relocation: moving.relocation.again_at(*retry_at), ..moving })
            }
            (Self::Moving(moving), TenancyEvent::TenantMoveAborted { .. }) => Self::Bound(moving.bound),
            (
                Self::Pending(_)
                | Self::Cordoned(_)
                | Self::Moving(Moving { relocation: TenantMove { stage: MoveStage::Releasing, .. }, .. }),
                TenancyEvent::TenantReleased { reason },
            ) => {
                Self::Released(Released { released_at: at, reason: reason.clone(), is_quota_returned: false })
            }
            (Self::Released(released), TenancyEvent::TenantQuotaReturned) => {
                Self::Released(Released { is_quota_returned: true, ..released })
            }
            _ => return None,
        })
    }
}
