//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantBindingId, TenantId};
use crate::reason;
use crate::tenancy::{BindingState, PartitionAssignment, RuntimeTenantBinding};
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
    bound_at: Timestamp,
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
            state,
        } = binding.clone();
        Self { tenant_binding_id, tenant_id, environment_id, isolation_model, partitions, bound_at, state }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeTenantBinding, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeTenantBinding::KIND.name(), rule, why });
        if schema != RuntimeTenantBinding::SCHEMA {
            let known = RuntimeTenantBinding::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        if let BindingState::Released(released) = &self.state
            && !reason::is_kept(&released.reason)
        {
            return refused("CONTENT", "the reason of its release is empty or too long".to_string());
        }
        Ok(RuntimeTenantBinding {
            tenant_binding_id: self.tenant_binding_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            isolation_model: self.isolation_model,
            partitions: self.partitions,
            bound_at: self.bound_at,
            state: self.state,
        })
    }
}
