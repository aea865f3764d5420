//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::health::decide::judged;
use crate::health::{CheckEntry, EvaluationWindow, HealthCheckResult, HealthStatus};
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// The stored form of a [`HealthCheckResult`], schema 1. Entries and window check themselves as they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheckResultRecord {
    health_check_result_id: HealthCheckResultId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    service_id: ServiceId,
    status: HealthStatus,
    evaluated_at: Timestamp,
    evaluation_window: EvaluationWindow,
    entries: Vec<CheckEntry>,
}

impl HealthCheckResultRecord {
    pub(super) fn of(result: &HealthCheckResult) -> Self {
        let HealthCheckResult {
            health_check_result_id,
            tenant_id,
            environment_id,
            service_id,
            status,
            evaluated_at,
            evaluation_window,
            entries,
        } = result.clone();
        Self {
            health_check_result_id,
            tenant_id,
            environment_id,
            service_id,
            status,
            evaluated_at,
            evaluation_window,
            entries,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<HealthCheckResult, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: HealthCheckResult::KIND.name(), rule, why });
        if schema != HealthCheckResult::SCHEMA {
            let known = HealthCheckResult::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        match judged(&self.entries) {
            Err(refusal) => return refused(refusal.rule().number(), refusal.to_string()),
            Ok(worst) if worst != self.status => {
                return refused("HLT-2", format!("it is {}, and its worst entry is {worst}", self.status));
            }
            Ok(_) => {}
        }
        let end = self.evaluation_window.end();
        if end > self.evaluated_at {
            return refused("HLT-3", format!("it was kept before its window ended at {end}"));
        }
        Ok(HealthCheckResult {
            health_check_result_id: self.health_check_result_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            service_id: self.service_id,
            status: self.status,
            evaluated_at: self.evaluated_at,
            evaluation_window: self.evaluation_window,
            entries: self.entries,
        })
    }
}
