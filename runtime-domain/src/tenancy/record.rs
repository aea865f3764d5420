//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantBindingId, TenantId};
use crate::reason;
use crate::tenancy::{
    BindingState, Bound, MoveStage, PartitionAssignment, QuotaExchange, RuntimeTenantBinding, TenantMove,
    WorkloadLedger,
};
use crate::time::Timestamp;

/// The stored form of a [`RuntimeTenantBinding`], schema 1.
///
/// Quota and partition keys check themselves as they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeTenantBindingRecord {
    tenant_binding_id: TenantBindingId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    isolation_model: IsolationModel,
    partitions: PartitionAssignment,
    bound_at: Option<Timestamp>,
    #[serde(default)]
    is_protected: bool,
    #[serde(default)]
    workloads: WorkloadLedger,
    state: BindingState,
}

impl RuntimeTenantBindingRecord {
    pub(super) fn of(binding: &RuntimeTenantBinding) -> Self {
        let RuntimeTenantBinding {
            tenant_binding_id,
            tenant_id,
            environment_id,
            isolation_model,
            partitions,
            bound_at,
            is_protected,
            workloads,
            state,
        } = binding.clone();
        Self {
            tenant_binding_id,
            tenant_id,
            environment_id,
            isolation_model,
            partitions,
            bound_at,
            is_protected,
            workloads,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeTenantBinding, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeTenantBinding::KIND.name(), rule, why });
        if schema != RuntimeTenantBinding::SCHEMA {
            let known = RuntimeTenantBinding::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        let binding = RuntimeTenantBinding {
            tenant_binding_id: self.tenant_binding_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            isolation_model: self.isolation_model,
            partitions: self.partitions,
            bound_at: self.bound_at,
            is_protected: self.is_protected,
            workloads: self.workloads,
            state: self.state,
        };
        match binding.fault() {
            Some((rule, why)) => refused(rule, why.to_string()),
            None => Ok(binding),
        }
    }
}

impl RuntimeTenantBinding {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        if matches!(self.state, BindingState::Pending(_)) && self.bound_at.is_some() {
            return Some(("LIFECYCLE", "it waits for its quota, and was bound"));
        }
        if self.state.bound().is_some() && self.bound_at.is_none() {
            return Some(("LIFECYCLE", "the tenant has its place, and was never bound"));
        }
        if let Some(Bound { allocation, exchange: Some(QuotaExchange::Increase { quota, .. }) }) =
            self.state.bound()
            && allocation.quota.covers(*quota)
        {
            return Some(("TEN-2", "more is waited for that is no more"));
        }
        match self.quota() {
            Some(quota) if self.workloads.beyond(quota).is_some() => {
                return Some(("TEN-2", "its workloads are charged more than its quota"));
            }
            None if !self.workloads.is_empty() => {
                return Some(("TEN-2", "workloads are charged, and the tenant has no place"));
            }
            _ if self.workloads.has_blank() => {
                return Some(("TEN-2", "a component is charged for, and nothing of it is there"));
            }
            _ => {}
        }
        match &self.state {
            BindingState::Pending(_) if self.is_protected => {
                Some(("LIFECYCLE", "it is protected from release, and may lapse"))
            }
            BindingState::Pending(_) | BindingState::Bound(_) => None,
            BindingState::Cordoned(cordoned) => kept(&cordoned.reason),
            BindingState::Moving(moving) => self.stray(&moving.relocation),
            BindingState::Released(released) if self.is_protected => kept(&released.reason)
                .or(Some(("LIFECYCLE", "it is protected from release, and was released"))),
            BindingState::Released(released) => kept(&released.reason),
        }
    }

    fn stray(&self, relocation: &TenantMove) -> Option<(&'static str, &'static str)> {
        if self.isolation_model == IsolationModel::Silo {
            return Some(("TEN-1", "a tenant moves out of its silo"));
        }
        if self.is_protected {
            return Some(("LIFECYCLE", "it is protected from release, and a move ends with it"));
        }
        if relocation.target_environment == self.environment_id
            || relocation.target_binding == self.tenant_binding_id
        {
            return Some(("TEN-1", "a tenant moves to where it is"));
        }
        let is_tried_again =
            !matches!(relocation.stage, MoveStage::Replicating | MoveStage::Switching | MoveStage::Observing);
        (relocation.retry_at.is_some() && !is_tried_again)
            .then_some(("LIFECYCLE", "a step is tried again that is never tried again"))
    }
}

fn kept(text: &str) -> Option<(&'static str, &'static str)> {
    (!reason::is_kept(text)).then_some(("CONTENT", "a reason is empty or too long"))
}
