//! What is asked of secret bindings.

use runtime_domain::id::{EnvironmentId, SecretBindingId};
use runtime_domain::value::ModuleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RotationSchedule, Status};

/// Asks for a list of bindings. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListSecretBindings {
    /// Only in this environment.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Only of this module.
    #[serde(default)]
    pub module: Option<ModuleId>,
    /// Only with one of these statuses.
    #[serde(default)]
    pub status: Vec<Status>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for a binding's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretBindingHistoryRequest {
    /// The binding.
    pub secret_binding_id: SecretBindingId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for a new version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateSecret {
    /// The binding.
    pub secret_binding_id: SecretBindingId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
    /// Whether its value may be known to others: then the old version gets no grace.
    #[serde(default)]
    pub is_compromised: bool,
    /// Why it cannot wait until the environment's calendar opens.
    #[serde(default)]
    pub break_glass: Option<String>,
}

/// Rotates at other times, or with another grace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeRotationSchedule {
    /// The binding.
    pub secret_binding_id: SecretBindingId,
    /// When it is rotated.
    pub rotation_schedule: RotationSchedule,
}

/// Names a binding, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretBindingReason {
    /// The binding.
    pub secret_binding_id: SecretBindingId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}
