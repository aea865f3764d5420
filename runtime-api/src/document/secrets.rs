//! Secret bindings. No document holds a value, and none could (SEC-1, X-11).

use runtime_domain::id::{EnvironmentId, SecretBindingId, ServiceId, TenantId};
use runtime_domain::schedule::Schedule;
use runtime_domain::secrets::{
    Delivery, ManagedIdentityRef, RotationKind, RotationOutcome, RotationRecord,
    RotationSchedule as Scheduled, SecretBinding as Bound, SecretReference, SecretState, SecretStatus,
    SuspensionCause,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{ModuleId, Revision};
use runtime_services::secrets::NewSecretBinding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::millis;
use crate::problem::{Problem, ProblemKind};

mod requests;

pub use requests::{
    ChangeRotationSchedule, ListSecretBindings, RotateSecret, SecretBindingHistoryRequest,
    SecretBindingReason,
};

/// Binds a component to a secret in a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BindSecret {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The component's module.
    pub module: ModuleId,
    /// Where the secret lies, with the version that is the current one: `https://<vault>.vault.azure.net/secrets/<name>/<version>`,
    /// `vault://<mount>/<path>?version=<number>#<field>`, `openbao://…` or `local://<vault>/<name>/<number>`.
    #[schemars(
        with = "String",
        regex(
            pattern = r"^(https://(?=[a-z0-9-]{3,24}\.)[a-z](-?[a-z0-9])+\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net)/secrets/[A-Za-z0-9-]{1,127}/[0-9a-f]{32}|(vault|openbao)://[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){1,8}\?version=[1-9][0-9]{0,8}#[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}|local://[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}/[1-9][0-9]{0,8})$"
        )
    )]
    pub secret: SecretReference,
    /// As whom the component asks the vault.
    pub identity: ManagedIdentityRef,
    /// How it gets it, and by which name: `file:<name>` or `env:<VARIABLE>`.
    pub delivery: Delivery,
    /// When it is rotated.
    #[serde(default)]
    pub rotation_schedule: RotationSchedule,
}

impl BindSecret {
    pub(crate) fn into_wanted(self) -> Result<NewSecretBinding, Problem> {
        Ok(NewSecretBinding {
            environment: self.environment_id,
            module: self.module,
            secret: self.secret,
            identity: self.identity,
            delivery: self.delivery,
            rotation_schedule: self.rotation_schedule.scheduled()?,
        })
    }
}

/// When a secret is rotated, and how long the old version stays valid.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationSchedule {
    /// When: `every` and a span such as `every 30d`, five cron fields such as `0 3 * * 0`, or a nickname such as `@daily`, with a time zone after the
    /// latter two. On demand only where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long the old version stays valid once every consumer has the new one, in milliseconds.
    #[serde(default)]
    pub grace_millis: u64,
}

impl RotationSchedule {
    pub(crate) fn scheduled(self) -> Result<Scheduled, Problem> {
        let unprocessable = |why: String| Problem::new(ProblemKind::Unprocessable, why);
        let schedule = self.schedule.map(|text| text.parse::<Schedule>()).transpose();
        let schedule =
            schedule.map_err(|error| unprocessable(format!("rotationSchedule.schedule: {error}")))?;
        Scheduled::new(schedule, Span::from_millis(self.grace_millis))
            .map_err(|error| unprocessable(error.to_string()))
    }
}

/// Names a secret binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretBindingRequest {
    /// The binding.
    pub secret_binding_id: SecretBindingId,
}

/// How a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "SecretStatus")]
pub enum Status {
    /// Its version is valid, and no rotation is under way.
    Bound,
    /// A rotation was asked for.
    Requested,
    /// The vault could not make a new version; it is tried again.
    RotationFailed,
    /// Consumers get the new version.
    Distributing,
    /// Every consumer has it; the old one is still valid.
    Grace,
    /// The old one is being retired.
    Retiring,
    /// It is not rotated until somebody resumes it.
    Suspended,
    /// The component gets it no longer.
    Unbound,
}

impl Status {
    pub(crate) const fn stored(self) -> SecretStatus {
        match self {
            Self::Bound => SecretStatus::Bound,
            Self::Requested => SecretStatus::Requested,
            Self::RotationFailed => SecretStatus::RotationFailed,
            Self::Distributing => SecretStatus::Distributing,
            Self::Grace => SecretStatus::Grace,
            Self::Retiring => SecretStatus::Retiring,
            Self::Suspended => SecretStatus::Suspended,
            Self::Unbound => SecretStatus::Unbound,
        }
    }
}

impl From<SecretStatus> for Status {
    fn from(status: SecretStatus) -> Self {
        match status {
            SecretStatus::Bound => Self::Bound,
            SecretStatus::Requested => Self::Requested,
            SecretStatus::RotationFailed => Self::RotationFailed,
            SecretStatus::Distributing => Self::Distributing,
            SecretStatus::Grace => Self::Grace,
            SecretStatus::Retiring => Self::Retiring,
            SecretStatus::Suspended => Self::Suspended,
            SecretStatus::Unbound => Self::Unbound,
        }
    }
}

/// A secret binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretBinding {
    /// Its identifier.
    pub secret_binding_id: SecretBindingId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The service that gets it.
    pub service_id: ServiceId,
    /// The service's module.
    pub module: ModuleId,
    /// Where the secret lies, without a version.
    pub key_vault_ref: String,
    /// Its name in the vault.
    pub secret_name: String,
    /// The version that is the current one.
    pub current_version: String,
    /// The version that is being distributed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_version: Option<String>,
    /// As whom the component asks the vault.
    pub identity: ManagedIdentityRef,
    /// How the component gets it.
    pub delivery: Delivery,
    /// When it is rotated.
    pub rotation_schedule: RotationSchedule,
    /// How it is.
    pub status: Status,
    /// Why it is not well, or not bound any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When it is rotated or tried next by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_at: Option<Timestamp>,
    /// When it was bound.
    pub bound_at: Timestamp,
    /// The newest rotations, the oldest first.
    pub rotations: Vec<Rotation>,
    /// How often it was written.
    pub revision: u64,
}

/// A rotation that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SecretRotation")]
pub struct Rotation {
    /// Why it was begun.
    pub cause: RotationReason,
    /// The version before.
    pub previous: String,
    /// The version that it made, where it came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub outcome: RotationEnd,
}

/// Why a rotation was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotationReason {
    /// By its schedule.
    Scheduled,
    /// Somebody asked.
    OnDemand,
    /// Its value may be known to others.
    Compromised,
}

/// How a rotation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotationEnd {
    /// Every consumer has the new version.
    Completed,
    /// It was called off.
    Aborted,
    /// The vault kept failing.
    Suspended,
}

impl Rotation {
    fn of(record: &RotationRecord) -> Self {
        Self {
            cause: match record.cause {
                RotationKind::Scheduled => RotationReason::Scheduled,
                RotationKind::OnDemand => RotationReason::OnDemand,
                RotationKind::Compromised => RotationReason::Compromised,
            },
            previous: record.previous.to_string(),
            version: record.version.map(|version| version.to_string()),
            requested_at: record.requested_at,
            ended_at: record.ended_at,
            outcome: match record.outcome {
                RotationOutcome::Completed => RotationEnd::Completed,
                RotationOutcome::Aborted => RotationEnd::Aborted,
                RotationOutcome::Suspended => RotationEnd::Suspended,
            },
        }
    }
}

impl SecretBinding {
    pub(crate) fn of(binding: &Bound, revision: Revision) -> Self {
        let (cause, next_rotation_at) = match binding.state() {
            SecretState::Bound(state) => (None, state.next_rotation_at),
            SecretState::RotationFailed(state) => (Some(state.fault.to_string()), Some(state.retry_at)),
            SecretState::Retiring(state) => {
                (state.fault.as_ref().map(ToString::to_string), Some(state.retry_at))
            }
            SecretState::Suspended(state) => (
                Some(match &state.cause {
                    SuspensionCause::Asked { by, reason } => format!("{by}: {reason}"),
                    SuspensionCause::VaultFailed { fault } => fault.to_string(),
                }),
                None,
            ),
            SecretState::Unbound(state) => (Some(state.reason.clone()), None),
            SecretState::Grace(state) => (None, Some(state.until)),
            SecretState::Requested(_) | SecretState::Distributing(_) => (None, None),
        };
        Self {
            secret_binding_id: binding.id(),
            tenant_id: binding.tenant_id(),
            environment_id: binding.environment_id(),
            service_id: binding.service_id(),
            module: binding.module().clone(),
            key_vault_ref: binding.key_vault_ref().to_string(),
            secret_name: binding.secret_name().to_owned(),
            current_version: binding.current_version().to_string(),
            new_version: binding.new_version().map(|version| version.to_string()),
            identity: binding.identity().clone(),
            delivery: binding.delivery().clone(),
            rotation_schedule: RotationSchedule {
                schedule: binding.rotation_schedule().schedule().map(Schedule::to_string),
                grace_millis: millis(binding.rotation_schedule().grace()),
            },
            status: binding.state().status().into(),
            cause,
            next_rotation_at,
            bound_at: binding.bound_at(),
            rotations: binding.rotations().iter().map(Rotation::of).collect(),
            revision: revision.0,
        }
    }
}
