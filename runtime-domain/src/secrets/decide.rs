//! What a command comes to.

mod rotation;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::id::ServiceId;
use crate::reason;
use crate::schedule::Schedule;
use crate::scope::Actor;
use crate::secrets::{
    BindSecret, RotationSchedule, SecretBinding, SecretBound, SecretCommand, SecretEvent, SecretRefusal,
    SecretState, SuspensionCause,
};
use crate::time::Timestamp;

type Decided = Result<Decision<SecretEvent>, SecretRefusal>;

impl SecretBinding {
    /// Decides on a new binding.
    ///
    /// # Errors
    /// X-1 where the environment is another tenant's.
    pub fn bind(command: &BindSecret, now: Timestamp) -> Decided {
        let environment = command.environment.environment();
        if command.environment.tenant() != command.tenant_id {
            return Err(SecretRefusal::ForeignEvidence);
        }
        let bound = SecretBound {
            secret_binding_id: command.secret_binding_id,
            tenant_id: command.tenant_id,
            environment_id: environment,
            service_id: ServiceId::of(environment, &command.module),
            module: command.module.clone(),
            key_vault_ref: command.secret.key_vault_ref().clone(),
            identity: command.identity.clone(),
            delivery: command.delivery.clone(),
            version: command.secret.version(),
            rotation_schedule: command.rotation_schedule.clone(),
            next_rotation_at: command
                .rotation_schedule
                .schedule()
                .and_then(|schedule| schedule.next_jittered(now, command.secret_binding_id.uuid())),
        };
        let explanation =
            format!("{} gets {} as {}", command.module, command.secret.key_vault_ref(), command.delivery);
        Ok(Decision::of(vec![SecretEvent::SecretBound(Box::new(bound))], explanation))
    }

    /// Answers the command that made this binding when it comes again, under whatever new identifier. The version is no part of it:
    /// the binding may have been rotated since.
    ///
    /// # Errors
    /// X-1 where the environment is another; X-3 where the binding differs from what is asked for; LIFECYCLE where it was unbound.
    pub fn bind_again(&self, command: &BindSecret) -> Decided {
        if command.tenant_id != self.tenant_id || command.environment.environment() != self.environment_id {
            return Err(SecretRefusal::ForeignEvidence);
        }
        if let SecretState::Unbound(_) = self.state {
            return Err(self.lifecycle("BindSecret"));
        }
        let what = if command.module != self.module {
            "module"
        } else if command.delivery != self.delivery {
            "delivery"
        } else if command.secret.key_vault_ref() != self.key_vault_ref() {
            "vault reference"
        } else if command.identity != self.identity {
            "identity"
        } else if command.rotation_schedule != self.rotation_schedule {
            "rotation schedule"
        } else {
            return Ok(Decision::unchanged("the secret was bound before"));
        };
        Err(SecretRefusal::Different { what })
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::secrets) says.
    pub fn decide(&self, command: &SecretCommand, now: Timestamp) -> Decided {
        match command {
            SecretCommand::RotateSecret(rotate) => self.rotate(rotate, now),
            SecretCommand::RecordNewVersion { version } => self.created(*version),
            SecretCommand::RecordConsumption { observed_at, consumption } => {
                self.consumed(*observed_at, consumption, now)
            }
            SecretCommand::RecordVaultFailure { fault, retry_after } => {
                self.failed(*fault, *retry_after, now)
            }
            SecretCommand::RecordRetired { version } => self.retired(*version, now),
            SecretCommand::ChangeSchedule { rotation_schedule } => self.reschedule(rotation_schedule, now),
            SecretCommand::AbortRotation { by, reason } => self.abort(by, reason, now),
            SecretCommand::SuspendRotation { by, reason } => self.suspend(by, reason),
            SecretCommand::ResumeRotation { by } => self.resume(by, now),
            SecretCommand::Unbind { reason } => self.unbind(reason),
            SecretCommand::Tick => Ok(self.tick(now)),
        }
    }

    fn reschedule(&self, rotation_schedule: &RotationSchedule, now: Timestamp) -> Decided {
        if let SecretState::Unbound(_) = self.state {
            return Err(self.lifecycle("ChangeSchedule"));
        }
        if *rotation_schedule == self.rotation_schedule {
            return Ok(Decision::unchanged("this schedule is kept already"));
        }
        let next_rotation_at = match &self.state {
            SecretState::Bound(_) => self.next_rotation(rotation_schedule.schedule(), now),
            _ => None,
        };
        let rotation_schedule = rotation_schedule.clone();
        let event = SecretEvent::SecretRotationScheduleChanged { rotation_schedule, next_rotation_at };
        Ok(Decision::of(vec![event], "another schedule was asked for"))
    }

    fn suspend(&self, by: &Actor, why: &str) -> Decided {
        match &self.state {
            SecretState::Suspended(_) => Ok(Decision::unchanged("it is suspended already")),
            SecretState::Bound(_)
            | SecretState::Requested(_)
            | SecretState::RotationFailed(_)
            | SecretState::Retiring(_) => {
                let reason = reason::stated(why).ok_or(SecretRefusal::BadReason)?;
                let cause = SuspensionCause::Asked { by: by.clone(), reason };
                let event = SecretEvent::SecretRotationSuspended { cause };
                Ok(Decision::of(vec![event], "someone asked that it is not rotated for now"))
            }
            SecretState::Distributing(_) | SecretState::Grace(_) | SecretState::Unbound(_) => {
                Err(self.lifecycle("SuspendRotation"))
            }
        }
    }

    fn resume(&self, by: &Actor, now: Timestamp) -> Decided {
        match &self.state {
            SecretState::Suspended(suspended) => {
                let next_rotation_at = match suspended.unretired {
                    Some(_) => None,
                    None => self.next_rotation(self.rotation_schedule.schedule(), now),
                };
                let event = SecretEvent::SecretRotationResumed { by: by.clone(), next_rotation_at };
                Ok(Decision::of(vec![event], "someone asked that it is rotated again"))
            }
            SecretState::Unbound(_) => Err(self.lifecycle("ResumeRotation")),
            _ => Ok(Decision::unchanged("it is not suspended")),
        }
    }

    fn unbind(&self, why: &str) -> Decided {
        if let SecretState::Unbound(_) = self.state {
            return Ok(Decision::unchanged("the secret was unbound before"));
        }
        let reason = reason::stated(why).ok_or(SecretRefusal::BadReason)?;
        let event = SecretEvent::SecretUnbound { reason };
        Ok(Decision::of(vec![event], "the component no longer gets the secret; its vault is left as it is"))
    }

    fn tick(&self, now: Timestamp) -> Decision<SecretEvent> {
        match &self.state {
            SecretState::RotationFailed(state) if now >= state.retry_at => {
                Decision::of(vec![SecretEvent::SecretRotationRetried], "it is time to ask the vault again")
            }
            _ => Decision::unchanged("nothing is due that time alone brings about"),
        }
    }

    fn next_rotation(&self, schedule: Option<&Schedule>, now: Timestamp) -> Option<Timestamp> {
        schedule?.next_jittered(now, self.secret_binding_id.uuid())
    }

    fn lifecycle(&self, command: &'static str) -> SecretRefusal {
        SecretRefusal::Lifecycle { command, status: self.state.status() }
    }
}
