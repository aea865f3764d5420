//! What follows from where a deployment stands, one event at a time: clearings, verdicts, completions, deadlines.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::bug;
use crate::component::RevisionId;
use crate::deployment::decide::Because;
use crate::deployment::event::{DeploymentEvent, PauseCause, RollbackCause};
use crate::deployment::refusal::DeploymentRefusal;
use crate::deployment::state::{DeploymentState, RollingBack, RuntimeDeployment};
use crate::reason::reported;
use crate::rollout::gate::{Conclusion, GateCheck, GateStatus};
use crate::rollout::plan::{Change, Condition};
use crate::rollout::progress::{Cursor, EffectState, REASSERT_AFTER};
use crate::rollout::{GateIndex, HealthGate, Progress, Stage, Track};
use crate::surface::ComponentObservation;
use crate::time::{Span, Timestamp};

type Consequence = Result<Option<Because>, DeploymentRefusal>;

impl RuntimeDeployment {
    /// The next thing that follows, if any does.
    pub(super) fn consequence(
        &self,
        observation: Option<&ComponentObservation>,
        now: Timestamp,
    ) -> Consequence {
        match &self.state {
            DeploymentState::Requested(_) | DeploymentState::InProgress(_) => self.forward(observation, now),
            DeploymentState::Paused(_) => Ok(self.deadline(now)),
            DeploymentState::RollingBack(state) => Ok(self.backward(state, observation, now)),
            DeploymentState::Completed(_)
            | DeploymentState::RolledBack(_)
            | DeploymentState::Rejected(_)
            | DeploymentState::Failed(_) => Ok(None),
        }
    }

    fn forward(&self, observation: Option<&ComponentObservation>, now: Timestamp) -> Consequence {
        let Some((plan, progress)) = self.work() else { return Ok(None) };
        if progress.is_finished(plan) {
            return self.completion().map(Some);
        }
        if let Some(because) = self.failure(observation).or_else(|| self.deadline(now)) {
            return Ok(Some(because));
        }
        let is_retiring = self.is_retiring();
        Ok(progress.active(plan).find_map(|(track, stage, cursor)| {
            let seen =
                observation.filter(|seen| track.module() == Some(&seen.key.module) && self.is_own(seen));
            let place = Place { progress, gates: &self.gates, track, stage, cursor, seen, now };
            place.step().or_else(|| self.stage_deadline(&place, is_retiring))
        }))
    }

    fn is_own(&self, seen: &ComponentObservation) -> bool {
        seen.key.tenant == self.tenant_id && seen.key.environment == self.environment_id
    }

    /// DEP-1: every gate has passed, or it is not complete.
    fn completion(&self) -> Result<Because, DeploymentRefusal> {
        match self.gates.iter().find(|gate| !gate.has_passed()) {
            None => Ok((
                DeploymentEvent::RuntimeDeploymentCompleted,
                format!("everything is in place and all {} gates have passed", self.gates.len()),
            )),
            Some(gate) => Err(DeploymentRefusal::GateNotPassed { gate: gate.name.clone() }),
        }
    }

    fn giving_up(&self, cause: RollbackCause) -> Because {
        let why = cause.to_string();
        (self.give_up(cause), why)
    }

    fn failure(&self, observation: Option<&ComponentObservation>) -> Option<Because> {
        let failed = self.gates.iter().find_map(|gate| match &gate.status {
            GateStatus::Failed { reason, .. } => {
                Some(RollbackCause::GateFailed { gate: gate.name.clone(), reason: reason.clone() })
            }
            _ => None,
        });
        failed.or_else(|| self.crash(observation?)).map(|cause| self.giving_up(cause))
    }

    fn crash(&self, seen: &ComponentObservation) -> Option<RollbackCause> {
        let module = &seen.key.module;
        let revision = RevisionId::new(module.clone(), self.deployment_id);
        let crashing = seen.revisions.get(&revision).filter(|_| self.is_own(seen))?;
        (crashing.restarts() > self.release.limits.crash_limit).then(|| RollbackCause::CrashLoop {
            module: module.clone(),
            detail: match &crashing.trouble {
                Some(trouble) => format!("{} restarts, last: {trouble}", crashing.restarts()),
                None => format!("{} restarts", crashing.restarts()),
            },
        })
    }

    fn deadline(&self, now: Timestamp) -> Option<Because> {
        let limit = self.release.limits.deadline;
        // In the retirement every gate has passed, and its stages have deadlines of their own.
        let has_own = self.is_retiring() && !matches!(self.state, DeploymentState::Paused(_));
        if limit.after(self.requested_at) > now || has_own {
            return None;
        }
        let waited_for = format!("the end of the deployment, whose deadline is {limit}");
        Some(self.giving_up(RollbackCause::DeadlinePassed { waited_for }))
    }

    fn stage_deadline(&self, place: &Place<'_>, is_retiring: bool) -> Option<Because> {
        let judged_by_others = place.stage.gates.iter().any(|index| {
            place.gate(*index).is_some_and(|gate| !gate.has_passed() && gate.check != GateCheck::Readiness)
        });
        let is_held = !place.progress.hold_is_over(place.stage, place.cursor, place.now)
            && matches!(place.cursor.effect, EffectState::Performed { .. });
        if judged_by_others || is_held {
            return None;
        }
        let hold = match (place.stage.hold, place.progress.promoted) {
            (crate::rollout::Hold::For(span), false) => span,
            _ => Span::ZERO,
        };
        let limit = self.release.limits.progress_deadline;
        if (limit + hold).after(place.cursor.deadline_from) > place.now || bug!("stalls-past-its-deadline") {
            return None;
        }
        let waited_for = place.waited_for();
        // An old revision that will not go is left; but where the new one is not fit to take over, the old one comes back.
        if is_retiring && place.cursor.effect != EffectState::Blocked {
            let reason = format!("it took longer than {limit} to see {waited_for}");
            return Some((
                DeploymentEvent::StageSkipped { track: place.track.clone(), reason: reason.clone() },
                reason,
            ));
        }
        let waited_for = match self.trouble(place) {
            Some(trouble) => reported(&format!("{waited_for} within {limit}: {trouble}")),
            None => format!("{waited_for} within {limit}"),
        };
        Some(self.giving_up(RollbackCause::DeadlinePassed { waited_for }))
    }

    /// What is known to be in the way: what the surface answered, or what it sees of the new revision.
    fn trouble<'p>(&self, place: &'p Place<'_>) -> Option<&'p str> {
        if let EffectState::Intended { trouble, .. } = &place.cursor.effect {
            return trouble.as_deref();
        }
        let seen = place.seen?;
        let revision = RevisionId::new(seen.key.module.clone(), self.deployment_id);
        seen.revisions.get(&revision)?.trouble.as_deref()
    }

    fn backward(
        &self,
        state: &RollingBack,
        observation: Option<&ComponentObservation>,
        now: Timestamp,
    ) -> Option<Because> {
        let RollingBack { plan, progress, cause, since } = state;
        if progress.is_finished(plan) {
            return Some(self.rolled_back(cause, Vec::new()));
        }
        let step = progress.active(plan).find_map(|(track, stage, cursor)| {
            let seen =
                observation.filter(|seen| track.module() == Some(&seen.key.module) && self.is_own(seen));
            Place { progress, gates: &[], track, stage, cursor, seen, now }.step()
        });
        if step.is_some() || self.release.limits.rollback_deadline.after(*since) > now {
            return step;
        }
        Some(self.rollback_deadline(state))
    }

    fn rolled_back(&self, cause: &RollbackCause, leftovers: Vec<String>) -> Because {
        let event = DeploymentEvent::RuntimeDeploymentRolledBack {
            cause: cause.clone(),
            quarantined: self.to_quarantine(),
            leftovers,
        };
        (event, format!("what served before serves again, because {cause}"))
    }

    /// What served before is back where only removals are left; else someone must look.
    fn rollback_deadline(&self, state: &RollingBack) -> Because {
        let left: Vec<&Stage> = state.progress.active(&state.plan).map(|(_, stage, _)| stage).collect();
        if left.iter().all(|stage| matches!(stage.change, Some(Change::Retire { .. }))) {
            let leftovers =
                left.iter().filter_map(|stage| stage.change.as_ref()).map(ToString::to_string).collect();
            return self.rolled_back(&state.cause, leftovers);
        }
        let unmet: Vec<String> =
            left.iter().flat_map(|stage| &stage.until).map(ToString::to_string).collect();
        let why =
            format!("within {} there was not: {}", self.release.limits.rollback_deadline, unmet.join("; "));
        (DeploymentEvent::DeploymentFailed { why: why.clone(), quarantined: self.to_quarantine() }, why)
    }
}

/// One track's place, with what is seen of its component.
struct Place<'p> {
    progress: &'p Progress,
    gates: &'p [HealthGate],
    track: &'p Track,
    stage: &'p Stage,
    cursor: &'p Cursor,
    seen: Option<&'p ComponentObservation>,
    now: Timestamp,
}

impl Place<'_> {
    fn step(&self) -> Option<Because> {
        match self.cursor.effect {
            EffectState::Blocked => {
                let entered_at = self.cursor.entered_at;
                self.shows(&self.stage.requires, entered_at).then(|| {
                    (
                        DeploymentEvent::StageCleared { track: self.track.clone() },
                        "what it requires is observed".to_string(),
                    )
                })
            }
            EffectState::Clear | EffectState::Intended { .. } => None,
            EffectState::Performed { at } => {
                self.verdicts().or_else(|| self.completed(at)).or_else(|| self.repeated(at))
            }
        }
    }

    /// Only an observation made since `since` tells anything.
    fn shows(&self, conditions: &[Condition], since: Timestamp) -> bool {
        conditions.is_empty()
            || self.seen.is_some_and(|seen| {
                seen.observed_at >= since && conditions.iter().all(|condition| condition.is_met(seen))
            })
    }

    fn gate(&self, index: GateIndex) -> Option<&HealthGate> {
        self.gates.get(usize::from(index.0))
    }

    fn hold_is_over(&self) -> bool {
        self.progress.hold_is_over(self.stage, self.cursor, self.now)
    }

    fn verdicts(&self) -> Option<Because> {
        self.stage.gates.iter().find_map(|index| {
            let gate = self.gate(*index).filter(|gate| !gate.has_passed())?;
            let seen = gate.tally().seen;
            match gate.conclusion() {
                Conclusion::Failed if bug!("completed-though-failed") => {
                    Some((DeploymentEvent::GatePassed { gate: *index, evidence: seen.clone() }, seen))
                }
                Conclusion::Failed => {
                    Some((DeploymentEvent::GateFailed { gate: *index, reason: seen.clone() }, seen))
                }
                Conclusion::Inconclusive => {
                    let why = format!("gate {} comes to no verdict: {seen}", gate.name);
                    let cause = PauseCause::Inconclusive { gate: *index, seen };
                    Some((DeploymentEvent::RolloutPaused { cause }, why))
                }
                Conclusion::Sufficient if self.hold_is_over() => {
                    let evidence = match &gate.check {
                        GateCheck::Approval(_) => format!("{} approvals", gate.tally().approvals.len()),
                        _ => seen,
                    };
                    Some((DeploymentEvent::GatePassed { gate: *index, evidence: evidence.clone() }, evidence))
                }
                Conclusion::Sufficient | Conclusion::Undecided => None,
            }
        })
    }

    fn completed(&self, since: Timestamp) -> Option<Because> {
        let passed = |index: &GateIndex| self.gate(*index).is_some_and(HealthGate::has_passed);
        let unpassed: Vec<GateIndex> =
            self.stage.gates.iter().filter(|index| !passed(index)).copied().collect();
        let only_readiness = unpassed
            .iter()
            .all(|index| self.gate(*index).is_some_and(|gate| gate.check == GateCheck::Readiness));
        if !self.hold_is_over() || !only_readiness || !self.shows(&self.stage.until, since) {
            return None;
        }
        let seen: Vec<String> = self.stage.until.iter().map(ToString::to_string).collect();
        let seen = match seen.join(", ") {
            nothing if nothing.is_empty() => "all that this stage waits for is over".to_string(),
            seen => seen,
        };
        Some(match unpassed.first() {
            Some(gate) => (DeploymentEvent::GatePassed { gate: *gate, evidence: seen.clone() }, seen),
            None => (DeploymentEvent::StageCompleted { track: self.track.clone() }, seen),
        })
    }

    /// A change that was accepted long ago and is not to be seen is made again: it says what should be, so that does no harm.
    fn repeated(&self, since: Timestamp) -> Option<Because> {
        let is_unseen =
            self.stage.change.is_some() && self.seen.is_some() && !self.shows(&self.stage.until, since);
        (is_unseen && REASSERT_AFTER.after(since) <= self.now).then(|| {
            (
                DeploymentEvent::EffectRepeated { track: self.track.clone() },
                format!("not seen after {REASSERT_AFTER}: {}", self.waited_for()),
            )
        })
    }

    fn waited_for(&self) -> String {
        let conditions = match self.cursor.effect {
            EffectState::Blocked => &self.stage.requires,
            _ => &self.stage.until,
        };
        let conditions: Vec<String> = conditions.iter().map(ToString::to_string).collect();
        match (&self.stage.change, conditions.is_empty()) {
            (Some(change), true) => change.to_string(),
            _ => conditions.join(", "),
        }
    }
}
