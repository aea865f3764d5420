//! The aggregate.

use alloc::vec::Vec;

use crate::health::{CheckEntry, EvaluationWindow, HealthStatus};
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::time::Timestamp;

/// An immutable record of one health evaluation of a running service.
///
/// It comes to be by [`HealthCheckResult::complete`], and nothing changes it (HLT-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheckResult {
    pub(super) health_check_result_id: HealthCheckResultId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) service_id: ServiceId,
    pub(super) status: HealthStatus,
    pub(super) evaluated_at: Timestamp,
    pub(super) evaluation_window: EvaluationWindow,
    pub(super) entries: Vec<CheckEntry>,
}

impl HealthCheckResult {
    /// Its identifier.
    pub fn id(&self) -> HealthCheckResultId {
        self.health_check_result_id
    }

    /// The tenant.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// The service that was evaluated (HLT-3).
    pub fn service_id(&self) -> ServiceId {
        self.service_id
    }

    /// The worst of the entries (HLT-2).
    pub fn health_status(&self) -> HealthStatus {
        self.status
    }

    /// When it was kept.
    pub fn evaluated_at(&self) -> Timestamp {
        self.evaluated_at
    }

    /// The stretch of time that it is about (HLT-3).
    pub fn evaluation_window(&self) -> EvaluationWindow {
        self.evaluation_window
    }

    /// What the probes found; never empty.
    pub fn entries(&self) -> &[CheckEntry] {
        &self.entries
    }
}
