//! When a repair begins, and what follows where it fails.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::{Decided, stated};
use crate::aggregate::Decision;
use crate::bug;
use crate::calendar::Activity;
use crate::component::ImageDigest;
use crate::drift::secrecy;
use crate::drift::{
    DriftEvent, DriftKind, DriftRefusal, DriftState, LONGEST_POSTPONEMENT, PlanRemediation, Remediating,
    RemediationAction, RemediationMode, RuntimeDriftFinding,
};
use crate::reason;
use crate::scope::Actor;
use crate::time::Timestamp;

impl RuntimeDriftFinding {
    pub(super) fn plan(&self, plan: &PlanRemediation, now: Timestamp) -> Decided {
        let PlanRemediation { action, policy, requested_by, quarantined, clearance } = plan;
        if clearance.tenant() != self.tenant_id || clearance.environment() != self.environment_id {
            return Err(DriftRefusal::ForeignEvidence);
        }
        if clearance.activity() != Activity::Remediation {
            return Err(DriftRefusal::OtherActivity { given: clearance.activity() });
        }
        let tries = match &self.state {
            DriftState::Detected(_) => 1,
            DriftState::RemediationFailed(failed) if now < failed.retry_at => {
                return Err(DriftRefusal::BackingOff { retry_at: failed.retry_at });
            }
            DriftState::RemediationFailed(failed) => failed.tries.saturating_add(1),
            DriftState::Remediating(present) if present.action == *action => {
                return Ok(Decision::unchanged("this repair is under way"));
            }
            DriftState::Remediating(_) => {
                return Err(self.lifecycle("PlanRemediation", "let the repair that is under way end"));
            }
            DriftState::Excepted(_) => {
                return Err(self.lifecycle("PlanRemediation", "revoke the exception first"));
            }
            DriftState::Escalated(_) => {
                return Err(self.lifecycle("PlanRemediation", "let an operator retry the remediation"));
            }
            DriftState::Resolved(_) | DriftState::Vanished(_) => {
                return Err(self.lifecycle("PlanRemediation", "there is nothing left to repair"));
            }
        };
        let mode = policy.mode(self.kind);
        let is_allowed = match mode {
            RemediationMode::Off => false,
            RemediationMode::Warn => requested_by.is_some(),
            RemediationMode::Remediate => true,
        };
        if !is_allowed {
            return Err(DriftRefusal::NotRemediated { kind: self.kind, mode });
        }
        let is_fit = match action {
            RemediationAction::Prune => self.kind == DriftKind::UnmanagedResource,
            RemediationAction::Redeploy { .. } => {
                self.kind != DriftKind::UnmanagedResource && self.subject.module().is_some()
            }
        };
        if !is_fit {
            return Err(DriftRefusal::UnfitAction { kind: self.kind });
        }
        let is_out =
            |digest: &&ImageDigest| quarantined.contains(*digest) && !bug!("repair-undoes-a-rollback");
        if let Some(digest) = self.desired_image.as_ref().filter(is_out) {
            return Err(DriftRefusal::Quarantined { digest: digest.clone() });
        }
        let planned = DriftEvent::RemediationPlanned {
            attempt: self.attempted.saturating_add(1),
            tries,
            action: *action,
            until: policy.budget.deadline().after(now),
            budget: policy.budget,
            requested_by: requested_by.clone(),
            break_glass: clearance.break_glass().cloned(),
        };
        let most = policy.budget.most_attempts();
        Ok(Decision::of(vec![planned], format!("attempt {tries} of {most}, with the mode {mode:?}")))
    }

    pub(super) fn postpone(&self, until: Timestamp, why: &str, now: Timestamp) -> Decided {
        let due = match &self.state {
            DriftState::Detected(detected) => detected.look_at,
            DriftState::RemediationFailed(failed) => Some(failed.retry_at),
            _ => {
                return Err(self.lifecycle("PostponeRemediation", "put off a repair that waits to begin"));
            }
        };
        if due == Some(until) {
            return Ok(Decision::unchanged("it waits until then"));
        }
        let reason = stated(why)?;
        let latest = LONGEST_POSTPONEMENT.after(now);
        if until <= now || until > latest {
            return Err(DriftRefusal::BadTime { latest });
        }
        let postponed = DriftEvent::RemediationPostponed { until, reason };
        Ok(Decision::of(vec![postponed], format!("no repair begins until {until}")))
    }

    pub(super) fn failed(&self, attempt: u32, why: &str, now: Timestamp) -> Decided {
        match &self.state {
            DriftState::Remediating(present) if present.attempt == attempt => {
                Ok(present.fail(reported(why), now))
            }
            DriftState::RemediationFailed(_) | DriftState::Escalated(_) if attempt == self.attempted => {
                Ok(Decision::unchanged("this attempt failed before"))
            }
            _ => Err(self.lifecycle("RecordRemediationFailed", "record what became of the present attempt")),
        }
    }

    pub(super) fn retry(&self, by: &Actor) -> Decided {
        match &self.state {
            DriftState::RemediationFailed(_) | DriftState::Escalated(_) => Ok(Decision::of(
                vec![DriftEvent::RemediationRetried { by: by.clone() }],
                format!("{by} lets it be tried again, as often as at first"),
            )),
            DriftState::Detected(_) | DriftState::Remediating(_) => {
                Ok(Decision::unchanged("nothing has failed since people last looked"))
            }
            DriftState::Excepted(_) => Err(self.lifecycle("RetryRemediation", "revoke the exception first")),
            DriftState::Resolved(_) | DriftState::Vanished(_) => {
                Err(self.lifecycle("RetryRemediation", "there is nothing left to repair"))
            }
        }
    }
}

impl Remediating {
    /// What follows where this attempt failed: another one, after a while, or people.
    pub(super) fn fail(&self, reason: String, now: Timestamp) -> Decision<DriftEvent> {
        let (attempt, most) = (self.attempt, self.budget.most_attempts());
        if self.tries >= most || bug!("repair-is-never-retried") {
            let explanation = format!("it failed {} times, and may be tried {most} times", self.tries);
            return Decision::of(vec![DriftEvent::DriftEscalated { attempt, reason }], explanation);
        }
        let retry_at = self.budget.backoff(self.tries).after(now);
        let explanation =
            format!("it failed {} of {most} times, and is tried again at {retry_at}", self.tries);
        Decision::of(vec![DriftEvent::RemediationFailed { attempt, reason, retry_at }], explanation)
    }
}

/// What an engine or a surface reports: what happened has happened, so it is never refused, and is hidden where it may hold a secret.
fn reported(why: &str) -> String {
    if secrecy::is_like_a_secret(why) && !bug!("credentials-in-an-error") {
        "what was said may hold a secret, and is not kept".to_owned()
    } else {
        reason::reported(why)
    }
}
