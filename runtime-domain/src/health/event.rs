//! What happens to a result: it is made.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::health::state::{CheckEntry, EvaluationWindow, HealthStatus};
use crate::health::verdict::Verdict;
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// All of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Completed {
    /// The result.
    pub health_check_result_id: HealthCheckResultId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service that was evaluated.
    pub service_id: ServiceId,
    /// The module that the service is of.
    pub module_id: ModuleId,
    /// The worst of the entries (HLT-2).
    pub status: HealthStatus,
    /// When it was evaluated.
    pub evaluated_at: Timestamp,
    /// The time that the evaluation is about.
    pub evaluation_window: EvaluationWindow,
    /// What the probes found.
    pub entries: Vec<CheckEntry>,
    /// What is believed of the service after it; absent in results from before verdicts were kept, and then the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What happens to a result. Exhaustive, so that a new event breaks the build of who must handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum HealthEvent {
    /// A service was evaluated. Published.
    HealthCheckCompleted(Completed),
    /// It is believed to be worse than before. Published, after the completion.
    HealthDegraded {
        /// The service.
        service_id: ServiceId,
        /// How it was.
        from: HealthStatus,
        /// How it is.
        to: HealthStatus,
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
