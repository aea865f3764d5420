//! What a command comes to.

mod remediation;

use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::aggregate::Decision;
use crate::deployment::DeployedVersion;
use crate::drift::secrecy;
use crate::drift::{
    DetectDrift, DetectedDrift, DriftCommand, DriftDetected, DriftEvent, DriftException, DriftRefusal,
    DriftRemediated, DriftState, FindingHash, HEARTBEAT, InSync, LONGEST_EXCEPTION, Remediating,
    RemediationAction, RuntimeDriftFinding,
};
use crate::reason;
use crate::time::Timestamp;

type Decided = Result<Decision<DriftEvent>, DriftRefusal>;

impl RuntimeDriftFinding {
    /// Decides on a new finding.
    ///
    /// # Errors
    /// CONTENT where what was observed is too old.
    pub fn detect(command: &DetectDrift, now: Timestamp) -> Decided {
        let DetectDrift { drift_finding_id, drift, mode } = command;
        fresh(drift.until, now)?;
        let detected = DriftDetected {
            drift_finding_id: *drift_finding_id,
            tenant_id: drift.tenant,
            environment_id: drift.environment,
            service_id: drift.subject.service(drift.environment),
            subject: drift.subject.clone(),
            kind: drift.kind,
            severity: drift.severity,
            revision: drift.revision.clone(),
            diff: drift.diff.clone(),
            hash: drift.hash.clone(),
            desired_image: drift.desired_image.clone(),
            seen_at: drift.seen_at,
            mode: *mode,
        };
        let explanation =
            format!("{} shows {} against {}", detected.subject, detected.kind, detected.revision);
        Ok(Decision::of(vec![DriftEvent::RuntimeDriftDetected(detected)], explanation))
    }

    /// Answers the command that made this finding when the same divergence is seen again (DRF-2, X-3).
    ///
    /// # Errors
    /// X-1 where it is of another tenant or environment; DRF-2 where it is another divergence; CONTENT where what was observed is too old;
    /// LIFECYCLE where the finding is closed.
    pub fn detect_again(&self, drift: &DetectedDrift, now: Timestamp) -> Decided {
        if drift.tenant != self.tenant_id || drift.environment != self.environment_id {
            return Err(DriftRefusal::ForeignEvidence);
        }
        if drift.hash != self.hash {
            return Err(DriftRefusal::OtherDivergence {
                expected: self.hash.clone(),
                given: drift.hash.clone(),
            });
        }
        if !self.state.is_open() {
            return Err(self.lifecycle("DetectDrift", "make a new finding of it"));
        }
        fresh(drift.until, now)?;
        let is_other = drift.revision != self.revision
            || drift.severity != self.severity
            || drift.desired_image != self.desired_image;
        let is_later = drift.seen_at > self.last_seen_at;
        let is_due = drift.seen_at >= HEARTBEAT.after(self.last_seen_at);
        if !(is_due || (is_later && is_other)) {
            return Ok(Decision::unchanged("the same divergence was found before"));
        }
        let seen = DriftEvent::DriftSeenAgain {
            seen_at: drift.seen_at,
            revision: drift.revision.clone(),
            severity: drift.severity,
            desired_image: drift.desired_image.clone(),
        };
        Ok(Decision::of(vec![seen], "the same divergence is still there"))
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::drift) says.
    pub fn decide(&self, command: &DriftCommand, now: Timestamp) -> Decided {
        match command {
            DriftCommand::SeeInSync { in_sync, deployed } => {
                self.see_in_sync(in_sync, deployed.as_deref(), now)
            }
            DriftCommand::SeeReplaced { drift } => self.see_replaced(drift, now),
            DriftCommand::PlanRemediation(plan) => self.plan(plan, now),
            DriftCommand::PostponeRemediation { until, reason } => self.postpone(*until, reason, now),
            DriftCommand::RecordRemediationFailed { attempt, reason } => self.failed(*attempt, reason, now),
            DriftCommand::RetryRemediation { by } => self.retry(by),
            DriftCommand::AcceptException(exception) => self.accept(exception, now),
            DriftCommand::RevokeException { reason } => self.revoke(reason),
            DriftCommand::Tick => Ok(self.tick(now)),
        }
    }

    fn see_in_sync(&self, seen: &InSync, deployed: Option<&DeployedVersion>, now: Timestamp) -> Decided {
        let is_own = seen.tenant == self.tenant_id
            && seen.environment == self.environment_id
            && seen.subject == self.subject
            && seen.kind == self.kind;
        let is_own_deployment = deployed.is_none_or(|deployed| {
            deployed.tenant() == self.tenant_id
                && deployed.environment() == self.environment_id
                && Some(&deployed.component().module) == self.subject.module()
        });
        if !is_own || !is_own_deployment {
            return Err(DriftRefusal::ForeignEvidence);
        }
        fresh(seen.until, now)?;
        if seen.seen_at <= self.last_seen_at {
            return Ok(Decision::unchanged("it was seen to diverge since"));
        }
        match &self.state {
            DriftState::Remediating(remediating) => self.repaired(remediating, seen, deployed),
            _ => Ok(self.gone(None)),
        }
    }

    fn repaired(
        &self,
        remediating: &Remediating,
        seen: &InSync,
        deployed: Option<&DeployedVersion>,
    ) -> Decided {
        if seen.seen_at <= remediating.since {
            return Ok(Decision::unchanged("it was observed before the repair began"));
        }
        let deployment = match (remediating.action, deployed) {
            (RemediationAction::Prune, _) => None,
            (RemediationAction::Redeploy { .. }, None) => {
                return Ok(Decision::unchanged(
                    "what runs is what is desired, and the planned deployment has not shown that it brought it",
                ));
            }
            (RemediationAction::Redeploy { deployment: planned }, Some(deployed)) => {
                let given = deployed.deployment();
                if given != planned {
                    return Err(DriftRefusal::OtherDeployment { planned, given });
                }
                Some(planned)
            }
        };
        let remediated = DriftRemediated {
            drift_finding_id: self.drift_finding_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            service_id: self.service_id(),
            subject: self.subject.clone(),
            kind: self.kind,
            attempt: remediating.attempt,
            remediation_deployment_id: deployment,
        };
        let explanation = format!("attempt {} repaired it, and it was seen", remediating.attempt);
        Ok(Decision::of(vec![DriftEvent::RuntimeDriftRemediated(remediated)], explanation))
    }

    fn see_replaced(&self, drift: &DetectedDrift, now: Timestamp) -> Decided {
        let is_own = drift.tenant == self.tenant_id
            && drift.environment == self.environment_id
            && drift.subject == self.subject
            && drift.kind == self.kind;
        if !is_own {
            return Err(DriftRefusal::ForeignEvidence);
        }
        fresh(drift.until, now)?;
        if drift.hash == self.hash {
            return Ok(Decision::unchanged("this is the finding's own divergence"));
        }
        if drift.seen_at <= self.last_seen_at {
            return Ok(Decision::unchanged("its own divergence was seen since"));
        }
        match &self.state {
            DriftState::Remediating(_) => Ok(Decision::unchanged("a repair is under way, and changes it")),
            _ => Ok(self.gone(Some(drift.hash.clone()))),
        }
    }

    /// The divergence is not there any more, and nothing was being done about it.
    fn gone(&self, replaced_by: Option<FindingHash>) -> Decision<DriftEvent> {
        match &self.state {
            DriftState::Excepted(exception) => Decision::of(
                vec![DriftEvent::DriftResolvedByException],
                format!("it went while {} accepted it", exception.owner),
            ),
            DriftState::Resolved(_) | DriftState::Vanished(_) => {
                Decision::unchanged("the finding was closed before")
            }
            DriftState::Detected(_)
            | DriftState::Remediating(_)
            | DriftState::RemediationFailed(_)
            | DriftState::Escalated(_) => Decision::of(
                vec![DriftEvent::DriftVanished { replaced_by }],
                "it went, and no repair of ours made it go",
            ),
        }
    }

    fn accept(&self, exception: &DriftException, now: Timestamp) -> Decided {
        match &self.state {
            // The reason is kept without the space around it.
            DriftState::Excepted(present)
                if (&present.owner, present.expires_at) == (&exception.owner, exception.expires_at)
                    && present.reason == exception.reason.trim() =>
            {
                return Ok(Decision::unchanged("the same exception was accepted before"));
            }
            DriftState::Detected(_)
            | DriftState::Excepted(_)
            | DriftState::RemediationFailed(_)
            | DriftState::Escalated(_) => {}
            DriftState::Remediating(_) => {
                return Err(self.lifecycle("AcceptException", "let the repair end, or record that it failed"));
            }
            DriftState::Resolved(_) | DriftState::Vanished(_) => {
                return Err(self.lifecycle("AcceptException", "there is nothing left to accept"));
            }
        }
        let reason = stated(&exception.reason)?;
        let latest = LONGEST_EXCEPTION.after(now);
        if exception.expires_at <= now || exception.expires_at > latest {
            return Err(DriftRefusal::BadTime { latest });
        }
        let exception = DriftException { reason, ..exception.clone() };
        let explanation = format!("{} accepts it until {}", exception.owner, exception.expires_at);
        Ok(Decision::of(vec![DriftEvent::DriftExceptionAccepted { exception }], explanation))
    }

    fn revoke(&self, why: &str) -> Decided {
        match &self.state {
            DriftState::Excepted(_) => {
                let reason = stated(why)?;
                let revoked = DriftEvent::DriftExceptionRevoked { reason };
                Ok(Decision::of(vec![revoked], "it is no longer accepted"))
            }
            DriftState::Resolved(_) | DriftState::Vanished(_) => {
                Err(self.lifecycle("RevokeException", "the finding is closed; nothing is accepted any more"))
            }
            _ => Ok(Decision::unchanged("there is no exception")),
        }
    }

    fn tick(&self, now: Timestamp) -> Decision<DriftEvent> {
        match &self.state {
            DriftState::Excepted(exception) if exception.expires_at <= now => Decision::of(
                vec![DriftEvent::DriftExceptionExpired],
                format!("it was accepted until {}", exception.expires_at),
            ),
            DriftState::Remediating(remediating) if remediating.until <= now => {
                let reason = format!("nothing was heard of it until {}", remediating.until);
                remediating.fail(reason, now)
            }
            _ => Decision::unchanged("nothing has ended"),
        }
    }

    pub(super) fn lifecycle(&self, command: &'static str, remedy: &'static str) -> DriftRefusal {
        DriftRefusal::Lifecycle { command, status: self.state.status(), remedy }
    }
}

fn fresh(until: Timestamp, now: Timestamp) -> Result<(), DriftRefusal> {
    if now <= until { Ok(()) } else { Err(DriftRefusal::Stale { until }) }
}

/// A reason that a caller states: it is refused where it may hold a secret.
fn stated(why: &str) -> Result<String, DriftRefusal> {
    let reason = reason::stated(why).ok_or(DriftRefusal::BadReason)?;
    if secrecy::is_like_a_secret(&reason) { Err(DriftRefusal::SecretReason) } else { Ok(reason) }
}
