//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::component::ImageDigest;
use crate::drift::compare::NonEmptyDiff;
use crate::drift::secrecy;
use crate::drift::{
    DesiredStateRevision, DriftKind, DriftState, FindingHash, MOST_ATTEMPTS_KEPT, RemediationAction,
    RemediationAttempt, RemediationResult, Resolution, Resolved, RuntimeDriftFinding, Severity, Subject,
};
use crate::id::{DriftFindingId, EnvironmentId, TenantId};
use crate::reason;
use crate::time::Timestamp;

/// The stored form of a [`RuntimeDriftFinding`], schema 1.
///
/// Difference, revision, hash and budget check themselves as they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeDriftFindingRecord {
    drift_finding_id: DriftFindingId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    subject: Subject,
    kind: DriftKind,
    severity: Severity,
    revision: DesiredStateRevision,
    diff: NonEmptyDiff,
    hash: FindingHash,
    desired_image: Option<ImageDigest>,
    is_automatic: bool,
    detected_at: Timestamp,
    last_seen_at: Timestamp,
    sightings: u64,
    attempted: u32,
    attempts: Vec<RemediationAttempt>,
    state: DriftState,
}

impl RuntimeDriftFindingRecord {
    pub(super) fn of(finding: &RuntimeDriftFinding) -> Self {
        let RuntimeDriftFinding {
            drift_finding_id,
            tenant_id,
            environment_id,
            subject,
            kind,
            severity,
            revision,
            diff,
            hash,
            desired_image,
            is_automatic,
            detected_at,
            last_seen_at,
            sightings,
            attempted,
            attempts,
            state,
        } = finding.clone();
        Self {
            drift_finding_id,
            tenant_id,
            environment_id,
            subject,
            kind,
            severity,
            revision,
            diff,
            hash,
            desired_image,
            is_automatic,
            detected_at,
            last_seen_at,
            sightings,
            attempted,
            attempts,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeDriftFinding, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeDriftFinding::KIND.name(), rule, why });
        if schema != RuntimeDriftFinding::SCHEMA {
            let known = RuntimeDriftFinding::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        let finding = RuntimeDriftFinding {
            drift_finding_id: self.drift_finding_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            subject: self.subject,
            kind: self.kind,
            severity: self.severity,
            revision: self.revision,
            diff: self.diff,
            hash: self.hash,
            desired_image: self.desired_image,
            is_automatic: self.is_automatic,
            detected_at: self.detected_at,
            last_seen_at: self.last_seen_at,
            sightings: self.sightings,
            attempted: self.attempted,
            attempts: self.attempts,
            state: self.state,
        };
        match finding.fault() {
            Some((rule, why)) => refused(rule, why.to_string()),
            None => Ok(finding),
        }
    }
}

type Fault = Option<(&'static str, &'static str)>;

impl RuntimeDriftFinding {
    fn fault(&self) -> Fault {
        if self.hash != FindingHash::of(self.environment_id, &self.subject, self.kind, &self.diff) {
            return Some(("DRF-2", "the hash is of another divergence"));
        }
        if self.sightings == 0 {
            return Some(("LIFECYCLE", "it was never seen"));
        }
        self.attempts_fault().or_else(|| self.state_fault())
    }

    fn attempts_fault(&self) -> Fault {
        let last = self.attempts.last().map_or(0, |attempt| attempt.number);
        let kept = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let first = last.saturating_sub(kept);
        let numbers = first.saturating_add(1)..=last;
        let in_order = self.attempts.iter().map(|attempt| attempt.number).eq(numbers);
        let whole = if first == 0 { true } else { self.attempts.len() == MOST_ATTEMPTS_KEPT };
        if last != self.attempted || !in_order || !whole || self.attempts.len() > MOST_ATTEMPTS_KEPT {
            return Some(("LIFECYCLE", "the attempts are not counted"));
        }
        let fits = |action: &RemediationAction| match action {
            RemediationAction::Prune => self.kind == DriftKind::UnmanagedResource,
            RemediationAction::Redeploy { .. } => {
                self.kind != DriftKind::UnmanagedResource && self.subject.module().is_some()
            }
        };
        if !self.attempts.iter().all(|attempt| fits(&attempt.action)) {
            return Some(("CONTENT", "an attempt does not fit the kind of drift"));
        }
        let earlier = self.attempts.iter().rev().skip(1);
        if !earlier.clone().all(|attempt| matches!(attempt.result, RemediationResult::Failed { .. })) {
            return Some(("LIFECYCLE", "an attempt follows one that did not fail"));
        }
        self.attempts.iter().find_map(|attempt| match &attempt.result {
            RemediationResult::Failed { reason } => kept_reason(reason),
            RemediationResult::Running | RemediationResult::Succeeded => None,
        })
    }

    fn state_fault(&self) -> Fault {
        let last = self.attempts.last();
        let result = last.map(|attempt| &attempt.result);
        let has_failed = matches!(result, Some(RemediationResult::Failed { .. }));
        match &self.state {
            DriftState::Resolved(Resolved { resolution: Resolution::Remediated { attempt }, .. }) => {
                let recorded = result == Some(&RemediationResult::Succeeded) && *attempt == self.attempted;
                (!recorded).then_some(("DRF-1", "it is Resolved, and no remediation is recorded"))
            }
            DriftState::Remediating(remediating) => {
                let same = last.is_some_and(|last| {
                    last.number == remediating.attempt
                        && last.action == remediating.action
                        && last.result == RemediationResult::Running
                });
                let counted = remediating.tries > 0;
                (!same || !counted).then_some(("LIFECYCLE", "the attempt under way is not the last"))
            }
            _ if last.is_some() && !has_failed => {
                Some(("LIFECYCLE", "the last attempt has not failed, and is not under way"))
            }
            DriftState::RemediationFailed(failed) => {
                let counted = has_failed && failed.tries > 0;
                (!counted).then_some(("LIFECYCLE", "no attempt has failed"))
            }
            DriftState::Escalated(escalated) => {
                if has_failed {
                    kept_reason(&escalated.reason)
                } else {
                    Some(("LIFECYCLE", "no attempt has failed"))
                }
            }
            DriftState::Excepted(exception)
            | DriftState::Resolved(Resolved { resolution: Resolution::Excepted(exception), .. }) => {
                kept_reason(&exception.reason)
            }
            DriftState::Vanished(vanished) if vanished.replaced_by.as_ref() == Some(&self.hash) => {
                Some(("DRF-2", "its own divergence is in its place"))
            }
            DriftState::Detected(_) | DriftState::Vanished(_) => None,
        }
    }
}

fn kept_reason(text: &str) -> Fault {
    if secrecy::is_like_a_secret(text) {
        return Some(("X-11", "a reason may hold a secret"));
    }
    (!reason::is_kept(text)).then_some(("CONTENT", "a reason is empty or too long"))
}
