//! What happens to a health check result.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::health::{CheckEntry, EvaluationWindow, HealthStatus};
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};

/// All that a result is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckCompleted {
    /// The result.
    pub health_check_result_id: HealthCheckResultId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service that was evaluated.
    pub service_id: ServiceId,
    /// The worst of the entries (HLT-2).
    pub status: HealthStatus,
    /// When.
    pub evaluation_window: EvaluationWindow,
    /// What the probes found.
    pub entries: Vec<CheckEntry>,
}

/// What happens to a health check result. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum HealthEvent {
    /// A service was evaluated. Published.
    HealthCheckCompleted(HealthCheckCompleted),
    /// It was found worse than the time before. Published.
    HealthDegraded {
        /// The service.
        service_id: ServiceId,
        /// How it was found the time before.
        previous: HealthStatus,
        /// How it is found now.
        status: HealthStatus,
    },
}

impl DomainEvent for HealthEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::HealthCheckCompleted(_) => "HealthCheckCompleted",
            Self::HealthDegraded { .. } => "HealthDegraded",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::HealthCheckCompleted(_) | Self::HealthDegraded { .. } => Some(1),
        }
    }
}
