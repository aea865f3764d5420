//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::id::{EnvironmentId, SecretBindingId, ServiceId, TenantId};
use crate::reason;
use crate::secrets::{
    Consumption, Delivery, ManagedIdentityRef, Rotation, RotationOutcome, RotationRecord, RotationSchedule,
    SecretBinding, SecretReference, SecretState, SecretVersion, SuspensionCause,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// The stored form of a [`SecretBinding`], schema 1.
///
/// References, versions, names and schedules check themselves as they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretBindingRecord {
    secret_binding_id: SecretBindingId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    service_id: ServiceId,
    module: ModuleId,
    current: SecretReference,
    identity: ManagedIdentityRef,
    delivery: Delivery,
    rotation_schedule: RotationSchedule,
    bound_at: Timestamp,
    rotations: Vec<RotationRecord>,
    state: SecretState,
}

type Fault = (&'static str, &'static str);

impl SecretBindingRecord {
    pub(super) fn of(binding: &SecretBinding) -> Self {
        let service_id = binding.service_id();
        let SecretBinding {
            secret_binding_id,
            tenant_id,
            environment_id,
            module,
            current,
            identity,
            delivery,
            rotation_schedule,
            bound_at,
            rotations,
            state,
        } = binding.clone();
        Self {
            secret_binding_id,
            tenant_id,
            environment_id,
            service_id,
            module,
            current,
            identity,
            delivery,
            rotation_schedule,
            bound_at,
            rotations,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<SecretBinding, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: SecretBinding::KIND.name(), rule, why });
        if schema != SecretBinding::SCHEMA {
            let known = SecretBinding::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        let service_id = self.service_id;
        let binding = SecretBinding {
            secret_binding_id: self.secret_binding_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            module: self.module,
            current: self.current,
            identity: self.identity,
            delivery: self.delivery,
            rotation_schedule: self.rotation_schedule,
            bound_at: self.bound_at,
            rotations: self.rotations,
            state: self.state,
        };
        if binding.service_id() != service_id {
            return refused("SEC-3", "its service is not its module's in its environment".to_string());
        }
        match binding.fault() {
            Some((rule, why)) => refused(rule, why.to_string()),
            None => Ok(binding),
        }
    }
}

impl SecretBinding {
    fn fault(&self) -> Option<Fault> {
        if self.rotations.len() > Self::MOST_RECORDS {
            return Some(("CONTENT", "it keeps more rotations than are kept"));
        }
        let versions = self.rotations.iter().flat_map(|past| [Some(past.previous), past.version]).flatten();
        if versions.chain(self.new_version()).any(|version| !self.key_vault_ref().takes(version)) {
            return Some(("SEC-2", "it has a version that its vault does not give"));
        }
        if self.rotations.iter().any(|past| past.version == Some(past.previous)) {
            return Some(("SEC-2", "a past rotation made no new version"));
        }
        match &self.state {
            SecretState::Bound(_) => None,
            SecretState::Requested(state) => unkept(&state.rotation).or_else(|| spent(state.failures)),
            SecretState::RotationFailed(state) => {
                let never = (state.failures == 0).then_some(("LIFECYCLE", "it failed, and never did"));
                unkept(&state.rotation).or_else(|| spent(state.failures)).or(never)
            }
            SecretState::Distributing(state) => unkept(&state.rotation)
                .or_else(|| self.not_new(state.version))
                .or_else(|| self.misread(state.consumption.as_ref()?)),
            SecretState::Grace(state) => {
                let backwards =
                    (state.until < state.since).then_some(("LIFECYCLE", "its grace ends before it begins"));
                unkept(&state.rotation).or_else(|| self.not_new(state.version)).or(backwards)
            }
            SecretState::Retiring(state) => {
                self.not_old(state.version).or_else(|| spent(state.failures)).or_else(|| {
                    let differ = (state.failures == 0) != state.fault.is_none();
                    differ.then_some(("LIFECYCLE", "its failures and what went wrong do not agree"))
                })
            }
            SecretState::Suspended(state) => {
                let why = match &state.cause {
                    SuspensionCause::Asked { reason, .. } => unsaid(reason),
                    SuspensionCause::VaultFailed { .. } => None,
                };
                why.or_else(|| self.not_old(state.unretired?))
            }
            SecretState::Unbound(state) => unsaid(&state.reason),
        }
    }

    fn not_new(&self, version: SecretVersion) -> Option<Fault> {
        let runs_back = self.current_version().is_counted_after(version);
        (runs_back || self.has_seen(version))
            .then_some(("SEC-2", "the version that is brought was seen before"))
    }

    fn not_old(&self, version: SecretVersion) -> Option<Fault> {
        let current = self.current_version();
        let is_out_of_use = self.rotations.last().is_some_and(|past| match past.outcome {
            RotationOutcome::Completed => past.previous == version && past.version == Some(current),
            RotationOutcome::Aborted => past.version == Some(version) && past.previous == current,
            RotationOutcome::Suspended => false,
        });
        (!is_out_of_use)
            .then_some(("SEC-2", "the version that is retired was neither replaced nor called off"))
    }

    fn misread(&self, consumption: &Consumption) -> Option<Fault> {
        let Consumption::Instances(instances) = consumption else { return None };
        if !(1..=Consumption::MOST).contains(&instances.len()) {
            return Some(("CONTENT", "it lists no consumer, or too many"));
        }
        let is_foreign = instances.keys().any(|consumer| consumer.revision().module != self.module);
        is_foreign.then_some(("X-1", "a consumer is of another component"))
    }
}

fn unkept(rotation: &Rotation) -> Option<Fault> {
    rotation.cause.reason().and_then(unsaid)
}

fn unsaid(text: &str) -> Option<Fault> {
    (!reason::is_kept(text)).then_some(("CONTENT", "a reason is empty or too long"))
}

fn spent(failures: u32) -> Option<Fault> {
    (failures >= SecretBinding::MOST_FAILURES).then_some(("LIFECYCLE", "it failed more often than it may"))
}
