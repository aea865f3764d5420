//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::calendar::{ChangeCalendar, StoppedLine};
use crate::claim::Claim;
use crate::environment::{
    Decommissioned, Decommissioning, EnvironmentChange, EnvironmentEvent, EnvironmentState, PendingChange,
    Provisioned, Provisioning, ProvisioningFailed, QuotaLedger, Requested, ReservedQuota, RuntimeEnvironment,
    RuntimeEnvironmentRecord,
};
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for RuntimeEnvironment {
    const KIND: AggregateKind = AggregateKind::RuntimeEnvironment;
    const SCHEMA: u16 = 1;
    type Event = EnvironmentEvent;
    type Record = RuntimeEnvironmentRecord;

    fn uuid(&self) -> Uuid {
        self.environment_id.uuid()
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
        match self.state {
            EnvironmentState::Decommissioned(_) => BTreeSet::new(),
            _ => BTreeSet::from([Claim::environment_name(self.project_id, &self.name)]),
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.provisioning_due_at().into_iter().chain(self.ledger.expires_at()).chain(self.ends_at()).min()
    }

    fn evolve(state: Option<Self>, event: &EnvironmentEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (None, EnvironmentEvent::EnvironmentRequested(requested)) => Ok(Self {
                environment_id: requested.environment_id,
                tenant_id: requested.tenant_id,
                project_id: requested.project_id,
                name: requested.name.clone(),
                stage: requested.stage,
                region: requested.region.clone(),
                isolation_model: requested.isolation_model,
                surfaces: requested.surfaces.clone(),
                egress_allow_list: requested.egress_allow_list.clone(),
                created_at: at,
                is_protected: false,
                expires_at: None,
                ledger: QuotaLedger::new(requested.capacity),
                calendar: ChangeCalendar::default(),
                stopped_line: None,
                promotion: None,
                state: EnvironmentState::Requested(Requested { since: at, attempts: 0 }),
            }),
            (None, event) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(environment), event) => {
                let state = environment.state.status().name();
                environment.apply(event, at).ok_or(Misapplied { event: event.name(), state })
            }
        }
    }

    fn to_record(&self) -> RuntimeEnvironmentRecord {
        RuntimeEnvironmentRecord::of(self)
    }

    fn from_record(schema: u16, record: RuntimeEnvironmentRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

impl RuntimeEnvironment {
    /// When the engine has something to do for it next; `None` where it has nothing to do.
    pub fn provisioning_due_at(&self) -> Option<Timestamp> {
        match &self.state {
            EnvironmentState::Requested(state) => Some(state.since),
            EnvironmentState::Provisioning(state) => Some(state.started_at),
            EnvironmentState::ProvisioningFailed(state) => state.retry_at,
            EnvironmentState::Provisioned(state) => {
                state.pending.as_ref().and_then(|pending| pending.retry_at)
            }
            EnvironmentState::Decommissioning(state) => Some(state.retry_at),
            EnvironmentState::Decommissioned(_) => None,
        }
    }

    fn ledger_step(mut self, event: &EnvironmentEvent) -> Option<Self> {
        match event {
            EnvironmentEvent::QuotaReserved { binding, tenant, quota, until } => {
                self.ledger.reserve(*binding, *tenant, ReservedQuota { quota: *quota, until: *until });
            }
            EnvironmentEvent::QuotaCommitted { binding, quota } => self.ledger.commit(*binding, *quota)?,
            EnvironmentEvent::QuotaReleased { binding } => self.ledger.release(*binding)?,
            EnvironmentEvent::QuotaExpired { bindings } => self.ledger.expire(bindings),
            _ => return None,
        }
        Some(self)
    }

    fn governance_step(mut self, event: &EnvironmentEvent, at: Timestamp) -> Option<Self> {
        self.check_stays(event.name()).ok()?;
        match event {
            EnvironmentEvent::CalendarChanged { calendar } => self.calendar = calendar.clone(),
            EnvironmentEvent::PromotionPolicyChanged { policy } => self.promotion = policy.clone(),
            EnvironmentEvent::EnvironmentExpiryChanged { expires_at } => self.expires_at = *expires_at,
            EnvironmentEvent::LineStopped { by, reason } if self.stopped_line.is_none() => {
                self.stopped_line = Some(StoppedLine { by: by.clone(), reason: reason.clone(), since: at });
            }
            EnvironmentEvent::LineResumed { .. } if self.stopped_line.is_some() => self.stopped_line = None,
            _ => return None,
        }
        Some(self)
    }

    fn apply(mut self, event: &EnvironmentEvent, at: Timestamp) -> Option<Self> {
        match event {
            EnvironmentEvent::EnvironmentRequested(_) => None,
            EnvironmentEvent::EnvironmentChanged { change } => self.changed(change, at),
            EnvironmentEvent::EnvironmentProtected | EnvironmentEvent::EnvironmentUnprotected => {
                let is_leaving = matches!(
                    self.state,
                    EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_)
                );
                self.is_protected = matches!(event, EnvironmentEvent::EnvironmentProtected);
                (!is_leaving).then_some(self)
            }
            EnvironmentEvent::CalendarChanged { .. }
            | EnvironmentEvent::PromotionPolicyChanged { .. }
            | EnvironmentEvent::EnvironmentExpiryChanged { .. }
            | EnvironmentEvent::LineStopped { .. }
            | EnvironmentEvent::LineResumed { .. } => self.governance_step(event, at),
            EnvironmentEvent::EnvironmentProvisioningStarted
            | EnvironmentEvent::RuntimeEnvironmentProvisioned { .. }
            | EnvironmentEvent::EnvironmentProvisioningFailed { .. }
            | EnvironmentEvent::EnvironmentProvisioningRetried
            | EnvironmentEvent::EnvironmentResourcesUpdated { .. }
            | EnvironmentEvent::EnvironmentResourcesLost { .. }
            | EnvironmentEvent::EnvironmentChangeFailed { .. } => {
                let state = self.provisioning_step(event, at)?;
                Some(Self { state, ..self })
            }
            EnvironmentEvent::QuotaReserved { .. }
            | EnvironmentEvent::QuotaCommitted { .. }
            | EnvironmentEvent::QuotaReleased { .. }
            | EnvironmentEvent::QuotaExpired { .. } => self.ledger_step(event),
            EnvironmentEvent::EnvironmentDecommissioningStarted { .. }
            | EnvironmentEvent::EnvironmentDecommissioningFailed { .. }
            | EnvironmentEvent::RuntimeEnvironmentDecommissioned { .. } => {
                let state = self.decommissioning_step(event, at)?;
                Some(Self { state, ..self })
            }
        }
    }

    fn changed(mut self, change: &EnvironmentChange, at: Timestamp) -> Option<Self> {
        let is_fixed = change.stage.is_some() || change.region.is_some() || change.name.is_some();
        match &mut self.state {
            EnvironmentState::Requested(state) if state.attempts == 0 => {}
            _ if is_fixed => return None,
            EnvironmentState::Requested(_)
            | EnvironmentState::Provisioning(_)
            | EnvironmentState::ProvisioningFailed(_) => {}
            EnvironmentState::Provisioned(state) => {
                state.pending = Some(PendingChange { since: at, retry_at: Some(at), failure: None });
            }
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => return None,
        }
        let change = change.clone();
        self.name = change.name.unwrap_or(self.name);
        self.stage = change.stage.unwrap_or(self.stage);
        self.region = change.region.unwrap_or(self.region);
        self.surfaces = change.surfaces.unwrap_or(self.surfaces);
        self.egress_allow_list = change.egress_allow_list.unwrap_or(self.egress_allow_list);
        if let Some(capacity) = change.capacity {
            self.ledger.resize(capacity);
        }
        Some(self)
    }

    fn provisioning_step(&self, event: &EnvironmentEvent, at: Timestamp) -> Option<EnvironmentState> {
        Some(match (&self.state, event) {
            (EnvironmentState::Requested(state), EnvironmentEvent::EnvironmentProvisioningStarted) => {
                EnvironmentState::Provisioning(Provisioning {
                    started_at: at,
                    attempts: state.attempts.saturating_add(1),
                })
            }
            (
                EnvironmentState::Provisioning(_),
                EnvironmentEvent::RuntimeEnvironmentProvisioned { resources, .. },
            ) => EnvironmentState::Provisioned(Provisioned {
                provisioned_at: at,
                resources: resources.clone(),
                pending: None,
            }),
            (
                EnvironmentState::Provisioning(state),
                EnvironmentEvent::EnvironmentProvisioningFailed { reason, retry_at },
            ) => EnvironmentState::ProvisioningFailed(ProvisioningFailed {
                failed_at: at,
                reason: reason.clone(),
                retry_at: *retry_at,
                attempts: state.attempts,
            }),
            (
                EnvironmentState::ProvisioningFailed(state),
                EnvironmentEvent::EnvironmentProvisioningRetried,
            ) => EnvironmentState::Requested(Requested { since: at, attempts: state.attempts }),
            (EnvironmentState::Provisioned(state), event) => {
                EnvironmentState::Provisioned(updated(state.clone(), event, at)?)
            }
            _ => return None,
        })
    }

    fn decommissioning_step(&self, event: &EnvironmentEvent, at: Timestamp) -> Option<EnvironmentState> {
        Some(match (&self.state, event) {
            (EnvironmentState::Decommissioned(_), _) => return None,
            (
                EnvironmentState::Decommissioning(state),
                EnvironmentEvent::EnvironmentDecommissioningFailed { reason, retry_at },
            ) => EnvironmentState::Decommissioning(Decommissioning {
                retry_at: *retry_at,
                failure: Some(reason.clone()),
                ..state.clone()
            }),
            (
                EnvironmentState::Decommissioning(_),
                EnvironmentEvent::RuntimeEnvironmentDecommissioned { reason, .. },
            ) => EnvironmentState::Decommissioned(Decommissioned {
                decommissioned_at: at,
                reason: reason.clone(),
            }),
            (EnvironmentState::Decommissioning(_), _) => return None,
            (_, EnvironmentEvent::EnvironmentDecommissioningStarted { reason }) => {
                EnvironmentState::Decommissioning(Decommissioning {
                    since: at,
                    reason: reason.clone(),
                    resources: self.resources().cloned(),
                    retry_at: at,
                    failure: None,
                })
            }
            _ => return None,
        })
    }
}

fn updated(state: Provisioned, event: &EnvironmentEvent, at: Timestamp) -> Option<Provisioned> {
    match (event, state.pending.clone()) {
        (EnvironmentEvent::EnvironmentResourcesUpdated { resources }, _) => {
            Some(Provisioned { resources: resources.clone(), pending: None, ..state })
        }
        (EnvironmentEvent::EnvironmentResourcesLost { .. }, None) => Some(Provisioned {
            pending: Some(PendingChange { since: at, retry_at: Some(at), failure: None }),
            ..state
        }),
        (EnvironmentEvent::EnvironmentChangeFailed { reason, retry_at }, Some(pending)) => {
            let failure = Some(reason.clone());
            Some(Provisioned {
                pending: Some(PendingChange { retry_at: *retry_at, failure, ..pending }),
                ..state
            })
        }
        (EnvironmentEvent::EnvironmentProvisioningRetried, Some(pending)) => {
            Some(Provisioned { pending: Some(PendingChange { retry_at: Some(at), ..pending }), ..state })
        }
        _ => None,
    }
}
