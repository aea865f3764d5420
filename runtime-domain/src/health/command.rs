//! What may be asked: that a result is recorded. There is no command on an existing one (HLT-1).

use alloc::vec::Vec;

use crate::health::state::{CheckEntry, EvaluationWindow};
use crate::health::verdict::{Thresholds, Verdict};
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::value::ModuleId;

/// Asks that one evaluation of a service is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHealthCheck {
    /// The new result's identifier.
    pub health_check_result_id: HealthCheckResultId,
    /// The service's tenant.
    pub tenant_id: TenantId,
    /// The service's environment.
    pub environment_id: EnvironmentId,
    /// The service that was evaluated.
    pub service_id: ServiceId,
    /// The module that the service is of, so that results are found by it.
    pub module_id: ModuleId,
    /// The time that the evaluation is about.
    pub evaluation_window: EvaluationWindow,
    /// What the probes found, one entry for each: 1 to [`CheckEntry::MOST`].
    pub entries: Vec<CheckEntry>,
    /// What was believed of the service before, if anything was.
    pub previous: Option<Verdict>,
    /// Whether what was believed still counts. A verdict that is stale, or about another revision, only tells whether it is worse now.
    pub is_continued: bool,
    /// How many results in a row change what is believed.
    pub thresholds: Thresholds,
}
