//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::health::state::{Bounds, CheckEntry, EvaluationWindow, HealthCheckResult, HealthStatus, judge};
use crate::health::verdict::Verdict;
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// The stored form of a [`HealthCheckResult`], schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheckResultRecord {
    health_check_result_id: HealthCheckResultId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    service_id: ServiceId,
    module_id: ModuleId,
    status: HealthStatus,
    evaluated_at: Timestamp,
    evaluation_window: Bounds,
    entries: Vec<CheckEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

impl HealthCheckResultRecord {
    pub(super) fn of(result: &HealthCheckResult) -> Self {
        let HealthCheckResult {
            health_check_result_id,
            tenant_id,
            environment_id,
            service_id,
            module_id,
            status,
            evaluated_at,
            evaluation_window,
            entries,
            verdict,
        } = result.clone();
        Self {
            health_check_result_id,
            tenant_id,
            environment_id,
            service_id,
            module_id,
            status,
            evaluated_at,
            evaluation_window: evaluation_window.into(),
            entries,
            verdict,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<HealthCheckResult, RecordError> {
        let refused =
            |rule, why: String| RecordError { aggregate: HealthCheckResult::KIND.name(), rule, why };
        if schema != HealthCheckResult::SCHEMA {
            let why =
                format!("schema {schema} is not known: this version reads {}", HealthCheckResult::SCHEMA);
            return Err(refused("SCHEMA", why));
        }
        let window = EvaluationWindow::try_from(self.evaluation_window)
            .map_err(|error| refused("HLT-3", error.to_string()))?;
        if window.end() > self.evaluated_at {
            let why = format!("its window ends at {}, after it was evaluated", window.end());
            return Err(refused("HLT-3", why));
        }
        let worst = judge(&self.entries).map_err(|fault| refused("CONTENT", fault.to_string()))?;
        if worst != self.status {
            let why = format!("it is {}, and the worst of its entries is {worst}", self.status);
            return Err(refused("HLT-2", why));
        }
        if let Some(verdict) = self.verdict.filter(|verdict| !verdict.agrees_with(worst)) {
            let why = format!("its verdict, {}, does not follow from {worst}", verdict.status);
            return Err(refused("CONTENT", why));
        }
        Ok(HealthCheckResult {
            health_check_result_id: self.health_check_result_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            service_id: self.service_id,
            module_id: self.module_id,
            status: self.status,
            evaluated_at: self.evaluated_at,
            evaluation_window: window,
            entries: self.entries,
            verdict: self.verdict,
        })
    }
}
