//! Results of health evaluations.

use std::collections::BTreeMap;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::component::RevisionId;
use runtime_domain::health::{CheckEntry, HealthCheckResult as Evaluated, ProbeKind};
use runtime_domain::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name};
use runtime_ports::health_results::HealthRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Status;

/// Asks for results that are kept. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListHealthResults {
    /// In this environment.
    pub environment_id: EnvironmentId,
    /// Only of this module.
    #[serde(default)]
    pub module: Option<ModuleId>,
    /// Only about this revision.
    #[serde(default)]
    pub revision: Option<RevisionId>,
    /// Only evaluated then or later.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Only evaluated before then.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// One health evaluation of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckResult {
    /// Its identifier.
    pub health_check_result_id: HealthCheckResultId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service.
    pub service_id: ServiceId,
    /// The service's module.
    pub module: ModuleId,
    /// The revision that was judged, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionId>,
    /// The worst of its entries (HLT-2).
    pub status: Status,
    /// When it was evaluated.
    pub evaluated_at: Timestamp,
    /// When the window begins that it is about.
    pub window_start: Timestamp,
    /// When it ends.
    pub window_end: Timestamp,
    /// What was asked, and what it answered.
    pub entries: Vec<HealthCheckEntry>,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckEntry {
    /// Its name.
    pub probe: Name,
    /// What it is about.
    pub kind: ProbeKind,
    /// Whether it counts in full.
    pub required: bool,
    /// What it showed.
    pub status: Status,
    /// How long it took, in milliseconds.
    pub duration_millis: u32,
    /// What was seen.
    pub data: BTreeMap<String, String>,
}

impl HealthCheckResult {
    pub(crate) fn of(result: &Evaluated, revision: Option<RevisionId>) -> Self {
        let window = result.evaluation_window();
        let entry = |entry: &CheckEntry| HealthCheckEntry {
            probe: entry.probe.clone(),
            kind: entry.kind,
            required: entry.required,
            status: entry.status.into(),
            duration_millis: entry.duration.0,
            data: entry.data.clone(),
        };
        Self {
            health_check_result_id: result.health_check_result_id(),
            tenant_id: result.tenant(),
            environment_id: result.environment(),
            service_id: result.service_id(),
            module: result.module_id().clone(),
            revision,
            status: result.status().into(),
            evaluated_at: result.evaluated_at(),
            window_start: window.start(),
            window_end: window.end(),
            entries: result.entries().iter().map(entry).collect(),
        }
    }

    pub(crate) fn recorded(record: &HealthRecord) -> Self {
        Self::of(&record.result, record.revision.clone())
    }
}

/// What an evaluation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEvaluation {
    /// The result; none where nothing of the service can be told, which is no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<HealthCheckResult>,
}
