//! The way of a rotation, from the request to the retirement of the old version.

use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::bug;
use crate::calendar::Activity;
use crate::reason;
use crate::scope::Actor;
use crate::secrets::decide::Decided;
use crate::secrets::{
    Consumption, Distributing, Grace, RotateSecret, RotationCause, RotationOutcome, RotationRecord,
    SecretBinding, SecretEvent, SecretRefusal, SecretState, SecretVersion, SuspensionCause, VaultFault,
};
use crate::time::{Span, Timestamp};

impl SecretBinding {
    pub(super) fn rotate(&self, command: &RotateSecret, now: Timestamp) -> Decided {
        let clearance = &command.clearance;
        if clearance.tenant() != self.tenant_id || clearance.environment() != self.environment_id {
            return Err(SecretRefusal::ForeignEvidence);
        }
        if clearance.activity() != Activity::Rotation {
            return Err(SecretRefusal::OtherActivity);
        }
        let mut cause = command.cause.clone();
        if let RotationCause::OnDemand { reason, .. } | RotationCause::Compromised { reason, .. } = &mut cause
        {
            *reason = reason::stated(reason).ok_or(SecretRefusal::BadReason)?;
        }
        let break_glass = clearance.break_glass().cloned();
        let rotation = match &self.state {
            SecretState::Bound(bound) => {
                let is_due = bound.next_rotation_at.is_some_and(|due| due <= now);
                if cause == RotationCause::Scheduled && !is_due {
                    return Ok(Decision::unchanged("its schedule does not say so yet"));
                }
                let explanation = format!("{:?} rotation, and the calendar lets it", cause.kind());
                let event = SecretEvent::SecretRotationRequested { cause, break_glass };
                return Ok(Decision::of(vec![event], explanation));
            }
            SecretState::Requested(state) => &state.rotation,
            SecretState::RotationFailed(state) => &state.rotation,
            SecretState::Distributing(state) => &state.rotation,
            SecretState::Grace(state) => &state.rotation,
            SecretState::Retiring(_) | SecretState::Suspended(_) | SecretState::Unbound(_) => {
                return Err(self.lifecycle("RotateSecret"));
            }
        };
        if cause.is_compromise() && !rotation.cause.is_compromise() {
            let event = SecretEvent::SecretRotationEscalated { cause, break_glass };
            return Ok(Decision::of(vec![event], "its value may be known: the old version gets no grace"));
        }
        Ok(Decision::unchanged("it is being rotated already"))
    }

    pub(super) fn created(&self, version: SecretVersion) -> Decided {
        match &self.state {
            SecretState::Requested(_) | SecretState::RotationFailed(_) => {
                if !self.key_vault_ref().takes(version) {
                    return Err(SecretRefusal::OtherVault);
                }
                let runs_back = self.current_version().is_counted_after(version);
                if runs_back || self.has_seen(version) {
                    return Err(SecretRefusal::NotNew);
                }
                let event = SecretEvent::SecretVersionCreated { version };
                Ok(Decision::of(vec![event], "the vault has made a new version"))
            }
            SecretState::Unbound(_) => Err(self.lifecycle("RecordNewVersion")),
            _ if self.new_version().unwrap_or(self.current_version()) == version => {
                Ok(Decision::unchanged("this version was recorded before"))
            }
            _ => Err(self.lifecycle("RecordNewVersion")),
        }
    }

    pub(super) fn consumed(
        &self,
        observed_at: Timestamp,
        consumption: &Consumption,
        now: Timestamp,
    ) -> Decided {
        if observed_at > now {
            return Err(SecretRefusal::FutureReport);
        }
        if let Consumption::Instances(instances) = consumption {
            if !(1..=Consumption::MOST).contains(&instances.len()) {
                return Err(SecretRefusal::BadReport);
            }
            if instances.keys().any(|consumer| consumer.revision().module != self.module) {
                return Err(SecretRefusal::ForeignConsumer);
            }
        }
        Ok(match &self.state {
            SecretState::Distributing(state) if observed_at >= state.since => {
                self.distributing(state, consumption, now)
            }
            SecretState::Grace(state) if observed_at >= state.since => {
                self.graced(state, observed_at, consumption)
            }
            _ => Decision::unchanged("nothing waits for this report"),
        })
    }

    fn distributing(
        &self,
        state: &Distributing,
        consumption: &Consumption,
        now: Timestamp,
    ) -> Decision<SecretEvent> {
        if !consumption.is_all_on(state.version) {
            if state.consumption.as_ref() == Some(consumption) {
                return Decision::unchanged("the consumers are as they were");
            }
            let event = SecretEvent::SecretConsumptionObserved { consumption: consumption.clone() };
            return Decision::of(vec![event], "not every consumer is on the new version");
        }
        if state.rotation.cause.is_compromise() || bug!("revoked-at-once") {
            let rotated = self.rotated(state.version, &state.rotation.cause);
            let events = vec![SecretEvent::SecretDistributed { grace_until: now }, rotated];
            return Decision::of(
                events,
                "every consumer is on the new version, and the old one gets no grace",
            );
        }
        let grace_until = self.rotation_schedule.grace().after(now);
        Decision::of(
            vec![SecretEvent::SecretDistributed { grace_until }],
            "every consumer is on the new version",
        )
    }

    fn graced(
        &self,
        state: &Grace,
        observed_at: Timestamp,
        consumption: &Consumption,
    ) -> Decision<SecretEvent> {
        if !consumption.is_all_on(state.version) {
            let event = SecretEvent::SecretConsumptionObserved { consumption: consumption.clone() };
            return Decision::of(vec![event], "a consumer is no longer seen on the new version");
        }
        if observed_at < state.until {
            return Decision::unchanged("the grace is not over");
        }
        let rotated = self.rotated(state.version, &state.rotation.cause);
        Decision::of(vec![rotated], "the grace is over, and every consumer is on the new version")
    }

    fn rotated(&self, version: SecretVersion, cause: &RotationCause) -> SecretEvent {
        SecretEvent::SecretRotated {
            secret_binding_id: self.secret_binding_id,
            service_id: self.service_id(),
            module: self.module.clone(),
            previous: self.current_version(),
            version,
            cause: cause.kind(),
        }
    }

    pub(super) fn failed(&self, fault: VaultFault, retry_after: Option<Span>, now: Timestamp) -> Decided {
        let failures = match &self.state {
            SecretState::Requested(state) => state.failures,
            SecretState::Retiring(state) => state.failures,
            SecretState::RotationFailed(_) | SecretState::Suspended(_) => {
                return Ok(Decision::unchanged("a failure is recorded already"));
            }
            SecretState::Bound(_)
            | SecretState::Distributing(_)
            | SecretState::Grace(_)
            | SecretState::Unbound(_) => return Err(self.lifecycle("RecordVaultFailure")),
        };
        if fault.needs_a_person() || failures.saturating_add(1) >= Self::MOST_FAILURES {
            let cause = SuspensionCause::VaultFailed { fault };
            let event = SecretEvent::SecretRotationSuspended { cause };
            return Ok(Decision::of(vec![event], format!("{fault}: a person must look")));
        }
        let retry_at =
            backoff(failures).max(retry_after.unwrap_or(Span::ZERO).min(Self::LONGEST_BACKOFF)).after(now);
        let event = match &self.state {
            SecretState::Retiring(_) => SecretEvent::SecretRetirementFailed { fault, retry_at },
            _ => SecretEvent::SecretRotationFailed { fault, retry_at },
        };
        Ok(Decision::of(vec![event], format!("{fault}, and is asked again later")))
    }

    pub(super) fn retired(&self, version: SecretVersion, now: Timestamp) -> Decided {
        match &self.state {
            SecretState::Retiring(state) if state.version == version => {
                let next_rotation_at = self.next_rotation(self.rotation_schedule.schedule(), now);
                let event = SecretEvent::SecretVersionRetired { version, next_rotation_at };
                Ok(Decision::of(vec![event], "the vault has retired the old version"))
            }
            SecretState::Retiring(_) => Err(SecretRefusal::OtherVersion),
            SecretState::Bound(_) if self.was_retired(version) => {
                Ok(Decision::unchanged("this version was retired before"))
            }
            _ => Err(self.lifecycle("RecordRetired")),
        }
    }

    fn was_retired(&self, version: SecretVersion) -> bool {
        let is_it =
            |past: &RotationRecord| past.outcome == RotationOutcome::Completed && past.previous == version;
        self.rotations.iter().any(is_it)
    }

    pub(super) fn abort(&self, by: &Actor, why: &str, now: Timestamp) -> Decided {
        match &self.state {
            SecretState::Requested(_) | SecretState::RotationFailed(_) | SecretState::Distributing(_) => {
                let next_rotation_at = match self.new_version() {
                    Some(_) => None,
                    None => self.next_rotation(self.rotation_schedule.schedule(), now),
                };
                let event = SecretEvent::SecretRotationAborted {
                    by: by.clone(),
                    reason: reason::stated(why).ok_or(SecretRefusal::BadReason)?,
                    next_rotation_at,
                };
                Ok(Decision::of(vec![event], "the old version is valid, and stays the current one"))
            }
            SecretState::Bound(_) | SecretState::Suspended(_) => {
                Ok(Decision::unchanged("no rotation is under way"))
            }
            SecretState::Grace(_) | SecretState::Retiring(_) | SecretState::Unbound(_) => {
                Err(self.lifecycle("AbortRotation"))
            }
        }
    }
}

/// How long to wait after as many failures before this one.
fn backoff(failures: u32) -> Span {
    let doubled = SecretBinding::SHORTEST_BACKOFF.times(1_u64.checked_shl(failures).unwrap_or(u64::MAX));
    doubled.min(SecretBinding::LONGEST_BACKOFF)
}
