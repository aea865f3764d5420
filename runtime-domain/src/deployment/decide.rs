//! Decides commands: what happens, or why not.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::aggregate::{Aggregate, Decision};
use crate::bug;
use crate::deployment::command::{DeploymentCommand, EffectOutcome, JobReport};
use crate::deployment::event::{DeploymentEvent, PauseCause, RollbackCause};
use crate::deployment::refusal::DeploymentRefusal;
use crate::deployment::state::{DeploymentState, DeploymentStatus, RuntimeDeployment};
use crate::reason::reported;
use crate::rollout::gate::{GateCheck, GateStatus};
use crate::rollout::progress::EffectState;
use crate::rollout::{GateIndex, Hold, Sample, SegmentKind, Track};
use crate::scope::Actor;
use crate::surface::{ComponentObservation, EffectId};
use crate::time::{Span, Timestamp};
use crate::value::Name;

mod consequence;
mod request;

type Decided = Result<Decision<DeploymentEvent>, DeploymentRefusal>;

/// The longest wait between two tries of the same effect.
const LONGEST_BACKOFF: Span = Span::from_secs(30);

impl RuntimeDeployment {
    /// Decides a command against the present state. Nothing changes until the events are applied, so this is also the preview.
    ///
    /// # Errors
    /// The command does not fit the present state, or breaks a rule; the refusal says what would be legal.
    pub fn decide(&self, command: &DeploymentCommand, now: Timestamp) -> Decided {
        let observation = match command {
            DeploymentCommand::RecordObservation { observation } => Some(observation),
            _ => None,
        };
        let first = self.answer(command, now)?;
        if first.events.is_empty() && !is_report(command) {
            return Ok(first);
        }
        self.with_consequences(first, observation, now)
    }

    fn answer(&self, command: &DeploymentCommand, now: Timestamp) -> Decided {
        if is_report(command) && self.status().is_final() {
            return Ok(Decision::unchanged("the deployment has ended: a late report changes nothing"));
        }
        match command {
            DeploymentCommand::Approve { gate, by } => self.approve(gate, by),
            DeploymentCommand::Reject { gate, by, reason } => self.reject(gate, by, reason),
            DeploymentCommand::Pause { reason } => self.pause(reason),
            DeploymentCommand::Resume => self.resume(),
            DeploymentCommand::PromoteNow => self.promote(),
            DeploymentCommand::Abort { reason } => self.abort(reason),
            DeploymentCommand::ReleaseQuarantine { reason } => self.release_quarantine(reason),
            DeploymentCommand::RecordIntention { track, job } => Ok(self.intention(track, *job)),
            DeploymentCommand::RecordOutcome { effect, outcome } => {
                Ok(self.outcome_of(*effect, outcome, now))
            }
            DeploymentCommand::RecordProbes { gate, results } => {
                Ok(self.sample(*gate, |check| match check {
                    GateCheck::Probe(check) => Some(check.judge(results)),
                    _ => None,
                }))
            }
            DeploymentCommand::RecordReading { gate, reading } => {
                Ok(self.sample(*gate, |check| match check {
                    GateCheck::Metric(check) => Some(check.judge(reading, now)),
                    _ => None,
                }))
            }
            DeploymentCommand::RecordJob { gate, report } => {
                Ok(self.sample(*gate, |check| match (check, report) {
                    (GateCheck::Job(_), JobReport::Succeeded) => {
                        Some(Sample::Success { seen: "the job ended well".to_string() })
                    }
                    (GateCheck::Job(_), JobReport::Failed { detail }) => {
                        Some(Sample::Failure { seen: detail.clone() })
                    }
                    (GateCheck::Job(_), JobReport::Unknown { detail }) => {
                        Some(Sample::Unknown { seen: detail.clone() })
                    }
                    _ => None,
                }))
            }
            DeploymentCommand::RecordObservation { .. } | DeploymentCommand::Tick => {
                Ok(Decision::unchanged("nothing has changed"))
            }
        }
    }

    fn with_consequences(
        &self,
        mut decision: Decision<DeploymentEvent>,
        observation: Option<&ComponentObservation>,
        now: Timestamp,
    ) -> Decided {
        let mut after = Cow::Borrowed(self);
        let mut applied = 0;
        loop {
            for event in decision.events.get(applied..).unwrap_or_default() {
                // An event that was just decided against this very state applies to it.
                match Self::evolve(Some(after.into_owned()), event, now) {
                    Ok(next) => after = Cow::Owned(next),
                    Err(_) => return Ok(decision),
                }
            }
            applied = decision.events.len();
            match after.consequence(observation, now)? {
                Some((event, why)) => {
                    decision.events.push(event);
                    decision.explanation = why;
                }
                None => return Ok(decision),
            }
        }
    }

    fn refused(&self, command: &'static str, remedy: &'static str) -> Decided {
        Err(DeploymentRefusal::Lifecycle { command, status: self.status().name(), remedy })
    }

    /// The approval gate of this name that is waited for now.
    fn approval(&self, name: &Name) -> Option<(GateIndex, &crate::rollout::gate::ApprovalCheck)> {
        let (plan, progress) = self.work()?;
        let waiting = progress.active(plan).flat_map(|(_, stage, _)| stage.gates.iter());
        waiting.copied().find_map(|index| match self.gates.get(usize::from(index.0)) {
            // A verdict stays: one who disagreed while it was paused is not outvoted afterwards.
            Some(gate) if gate.name == *name => match (&gate.check, &gate.status) {
                (GateCheck::Approval(check), GateStatus::Pending | GateStatus::Evaluating(_)) => {
                    Some((index, check))
                }
                _ => None,
            },
            _ => None,
        })
    }

    fn waited_approval(
        &self,
        command: &'static str,
        name: &Name,
        by: &Actor,
    ) -> Result<GateIndex, DeploymentRefusal> {
        if matches!(self.state, DeploymentState::RollingBack(_)) || self.status().is_final() {
            return Err(DeploymentRefusal::Lifecycle {
                command,
                status: self.status().name(),
                remedy: "approvals are only waited for while a deployment goes forward",
            });
        }
        let (index, check) =
            self.approval(name).ok_or(DeploymentRefusal::NoSuchApproval { gate: name.clone() })?;
        if check.approvers.is_empty() || check.approvers.contains(by) {
            Ok(index)
        } else {
            Err(DeploymentRefusal::NotAnApprover { actor: by.clone(), gate: name.clone() })
        }
    }

    fn approve(&self, name: &Name, by: &Actor) -> Decided {
        let passed = self.gates.iter().any(|gate| {
            gate.name == *name && matches!(gate.check, GateCheck::Approval(_)) && gate.has_passed()
        });
        if passed {
            return Ok(Decision::unchanged(format!("`{name}` was approved before")));
        }
        let gate = self.waited_approval("Approve", name, by)?;
        let known =
            self.gates.get(usize::from(gate.0)).is_some_and(|gate| gate.tally().approvals.contains(by));
        if known {
            return Ok(Decision::unchanged(format!("{by} has approved `{name}` before")));
        }
        let event = DeploymentEvent::GateApproved { gate, by: by.clone() };
        Ok(Decision::of(vec![event], format!("{by} approves `{name}`")))
    }

    fn reject(&self, name: &Name, by: &Actor, reason: &str) -> Decided {
        let gate = self.waited_approval("Reject", name, by)?;
        let reason = format!("{by} rejects it: {reason}");
        Ok(Decision::of(vec![DeploymentEvent::GateFailed { gate, reason: reason.clone() }], reason))
    }

    fn pause(&self, reason: &str) -> Decided {
        match self.status() {
            DeploymentStatus::Requested | DeploymentStatus::InProgress => {
                let cause = PauseCause::Requested { reason: reason.to_string() };
                Ok(Decision::of(vec![DeploymentEvent::RolloutPaused { cause }], format!("paused: {reason}")))
            }
            DeploymentStatus::Paused => Ok(Decision::unchanged("it is paused already")),
            DeploymentStatus::RollingBack => self.refused(
                "Pause",
                "a rollback is not paused: let it end, so that the previous release serves again",
            ),
            _ => self.refused("Pause", "it has ended: there is nothing to pause"),
        }
    }

    fn resume(&self) -> Decided {
        match self.status() {
            DeploymentStatus::Paused => Ok(Decision::of(vec![DeploymentEvent::RolloutResumed], "resumed")),
            DeploymentStatus::Requested | DeploymentStatus::InProgress => {
                let held: Vec<DeploymentEvent> = self
                    .work()
                    .into_iter()
                    .flat_map(|(plan, progress)| progress.active(plan))
                    .filter(|(_, stage, cursor)| {
                        stage.hold == Hold::UntilResumed
                            && !cursor.released
                            && matches!(cursor.effect, EffectState::Performed { .. })
                    })
                    .map(|(track, _, _)| DeploymentEvent::HoldReleased { track: track.clone() })
                    .collect();
                Ok(Decision::of(held, "what was held goes on"))
            }
            _ => self.refused("Resume", "only a paused or held deployment can be resumed"),
        }
    }

    fn promote(&self) -> Decided {
        let promoted = self.work().is_some_and(|(_, progress)| progress.promoted);
        match self.status() {
            DeploymentStatus::InProgress if promoted => Ok(Decision::unchanged("it is promoted already")),
            DeploymentStatus::InProgress => Ok(Decision::of(
                vec![DeploymentEvent::RolloutPromoted],
                "what waits is skipped; every gate must still pass",
            )),
            DeploymentStatus::Paused => Ok(Decision::of(
                vec![DeploymentEvent::RolloutResumed, DeploymentEvent::RolloutPromoted],
                "what waits is skipped; every gate must still pass",
            )),
            DeploymentStatus::Requested => {
                self.refused("PromoteNow", "nothing is rolled out yet: approvals and jobs come first")
            }
            _ => self.refused("PromoteNow", "only a deployment that goes forward can be promoted"),
        }
    }

    fn abort(&self, reason: &str) -> Decided {
        let cause = RollbackCause::Aborted { reason: reason.to_string() };
        match self.status() {
            _ if bug!("abort-ignored-once-promoted") && self.work().is_some_and(|(_, at)| at.promoted) => {
                Ok(Decision::unchanged("it is promoted already"))
            }
            DeploymentStatus::Requested | DeploymentStatus::InProgress | DeploymentStatus::Paused => {
                let why = cause.to_string();
                Ok(Decision::of(vec![self.give_up(cause)], why))
            }
            DeploymentStatus::RollingBack => Ok(Decision::unchanged("it is going back already")),
            DeploymentStatus::RolledBack | DeploymentStatus::Rejected | DeploymentStatus::Failed => {
                Ok(Decision::unchanged("it has ended without the new release already"))
            }
            DeploymentStatus::Completed => self
                .refused("Abort", "it is Completed: request a rollback to an earlier Completed deployment"),
        }
    }

    /// The way out of a forward state: back where a workload was touched, rejected where none was.
    fn give_up(&self, cause: RollbackCause) -> DeploymentEvent {
        if self.touched.is_empty() {
            DeploymentEvent::DeploymentRejected { cause }
        } else {
            DeploymentEvent::RollbackStarted { cause }
        }
    }

    fn release_quarantine(&self, reason: &str) -> Decided {
        let quarantined = match &self.state {
            DeploymentState::RolledBack(state) => &state.quarantined,
            DeploymentState::Failed(state) => &state.quarantined,
            _ => {
                return self.refused(
                    "ReleaseQuarantine",
                    "only a rolled-back or failed deployment quarantines images",
                );
            }
        };
        if quarantined.is_empty() {
            return Ok(Decision::unchanged("nothing is quarantined"));
        }
        let event = DeploymentEvent::QuarantineReleased { reason: reason.to_string() };
        Ok(Decision::of(vec![event], format!("quarantine released: {reason}")))
    }

    fn intention(&self, track: &Track, job: Option<GateIndex>) -> Decision<DeploymentEvent> {
        let is_open = !matches!(self.state, DeploymentState::Paused(_)) && self.is_clear(track, job);
        if !is_open {
            return Decision::unchanged("nothing is to be intended there now");
        }
        // A number is never given twice: a stored count that is at its end, which no rollout reaches, ends the intentions.
        let Some(ordinal) = self.intentions.checked_add(1) else {
            return Decision::unchanged("no effect can be numbered any more");
        };
        let effect = EffectId::of(self.deployment_id, ordinal);
        let event = DeploymentEvent::EffectIntended { track: track.clone(), job, effect };
        Decision::of(vec![event], "the intention is made durable before it is carried out")
    }

    fn is_clear(&self, track: &Track, job: Option<GateIndex>) -> bool {
        let Some((stage, cursor)) = self.work().and_then(|(plan, progress)| progress.at(plan, track)) else {
            return false;
        };
        match job {
            None => stage.change.is_some() && cursor.effect == EffectState::Clear,
            Some(index) => {
                let gate = self.gates.get(usize::from(index.0));
                stage.gates.contains(&index)
                    && gate.is_some_and(|gate| {
                        matches!(gate.check, GateCheck::Job(_)) && gate.status == GateStatus::Pending
                    })
            }
        }
    }

    fn outcome_of(
        &self,
        effect: EffectId,
        outcome: &EffectOutcome,
        now: Timestamp,
    ) -> Decision<DeploymentEvent> {
        let Some(attempts) = self.attempts(effect) else {
            return Decision::unchanged("the effect is not waited for: a late report changes nothing");
        };
        let deferred = |reason: &str| {
            let wait = Span::from_millis(250).times(1 << attempts.min(7)).min(LONGEST_BACKOFF);
            let event = DeploymentEvent::EffectDeferred {
                effect,
                reason: reported(reason),
                not_before: wait.after(now),
            };
            Decision::of(vec![event], format!("it will be tried again in {wait}: {reason}"))
        };
        let is_going_back =
            matches!(self.state, DeploymentState::RollingBack(_) | DeploymentState::Paused(_));
        match outcome {
            EffectOutcome::Done => {
                Decision::of(vec![DeploymentEvent::EffectPerformed { effect }], "accepted")
            }
            // Only looking tells; what is not seen after a while is done again.
            EffectOutcome::Unknown { reason } => Decision::of(
                vec![DeploymentEvent::EffectPerformed { effect }],
                format!("outcome unknown, looking: {reason}"),
            ),
            EffectOutcome::Deferred { reason } => deferred(reason),
            EffectOutcome::Refused { reason } if is_going_back => deferred(reason),
            EffectOutcome::Refused { reason } if self.is_retiring() => self.skip_retirement(effect, reason),
            EffectOutcome::Refused { reason } => {
                let cause = RollbackCause::EffectRefused { reason: reason.clone() };
                let why = cause.to_string();
                Decision::of(vec![self.give_up(cause)], why)
            }
        }
    }

    fn is_retiring(&self) -> bool {
        self.work().is_some_and(|(plan, progress)| progress.kind(plan) == Some(SegmentKind::Retirement))
    }

    fn skip_retirement(&self, effect: EffectId, reason: &str) -> Decision<DeploymentEvent> {
        let track = self.work().and_then(|(plan, progress)| {
            progress.active(plan).find_map(|(track, _, cursor)| match &cursor.effect {
                EffectState::Intended { effect: own, .. } if *own == effect => Some(track.clone()),
                _ => None,
            })
        });
        match track {
            Some(track) => {
                let event = DeploymentEvent::StageSkipped { track, reason: reason.to_string() };
                Decision::of(vec![event], format!("the old revision could not be retired: {reason}"))
            }
            None => Decision::unchanged("the effect is not waited for"),
        }
    }

    /// Counts a sample where the gate is waited for now, and only then: a verdict never carries over.
    fn sample(
        &self,
        index: GateIndex,
        judge: impl FnOnce(&GateCheck) -> Option<Sample>,
    ) -> Decision<DeploymentEvent> {
        let is_waited_for =
            matches!(self.state, DeploymentState::Requested(_) | DeploymentState::InProgress(_))
                && self.work().is_some_and(|(plan, progress)| {
                    progress.active(plan).any(|(_, stage, cursor)| {
                        stage.gates.contains(&index) && matches!(cursor.effect, EffectState::Performed { .. })
                    })
                });
        let gate = self.gates.get(usize::from(index.0)).filter(|gate| {
            is_waited_for && matches!(gate.status, GateStatus::Pending | GateStatus::Evaluating(_))
        });
        match gate.and_then(|gate| judge(&gate.check)) {
            Some(sample) => {
                let seen = sample.seen().to_string();
                Decision::of(vec![DeploymentEvent::GateSampled { gate: index, sample }], seen)
            }
            None => Decision::unchanged("the gate does not wait for this"),
        }
    }
}

const fn is_report(command: &DeploymentCommand) -> bool {
    matches!(
        command,
        DeploymentCommand::RecordIntention { .. }
            | DeploymentCommand::RecordOutcome { .. }
            | DeploymentCommand::RecordObservation { .. }
            | DeploymentCommand::RecordProbes { .. }
            | DeploymentCommand::RecordReading { .. }
            | DeploymentCommand::RecordJob { .. }
            | DeploymentCommand::Tick
    )
}

pub(super) type Because = (DeploymentEvent, String);
