//! What may be asked about a health check result.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::health::{CheckEntry, EvaluationWindow};
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};

/// Asks to keep an evaluation. Its natural key is the service and the window's start (HLT-3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteHealthCheck {
    /// The new result's identifier.
    pub health_check_result_id: HealthCheckResultId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service that was evaluated.
    pub service_id: ServiceId,
    /// When.
    pub evaluation_window: EvaluationWindow,
    /// What the probes found: at least one, each name once.
    pub entries: Vec<CheckEntry>,
}

/// What might be asked of an existing result, and is always refused (HLT-1): a result that could be changed would prove nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCommand {
    /// Other entries.
    Amend {
        /// Which.
        entries: Vec<CheckEntry>,
    },
    /// It should not count.
    Withdraw {
        /// Why.
        reason: String,
    },
}

impl HealthCommand {
    /// The command's name, for refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Amend { .. } => "Amend",
            Self::Withdraw { .. } => "Withdraw",
        }
    }
}
