//! Audits.

use runtime_services::audit::AuditReport as Report;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for the tenant's whole trail to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyAudit {
    /// What an earlier audit attested, as it was answered.
    #[serde(default)]
    pub attested: Option<String>,
}

/// What an audit has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Whether all is sound.
    pub is_sound: bool,
    /// How many entries were read.
    pub entries: u64,
    /// What does not fit.
    pub faults: Vec<String>,
    /// The end of every history, to be kept where whoever could change the store cannot write.
    pub attestation: String,
}

impl AuditReport {
    pub(crate) fn of(report: &Report) -> Self {
        Self {
            is_sound: report.is_sound(),
            entries: report.entries,
            faults: report.faults.iter().map(ToString::to_string).collect(),
            attestation: report.attestation.to_string(),
        }
    }
}
