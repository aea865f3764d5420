//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::drift::{
    Detected, DriftDetected, DriftEvent, DriftState, Escalated, MOST_ATTEMPTS_KEPT, Remediating,
    RemediationAttempt, RemediationFailed, RemediationMode, RemediationResult, Resolution, Resolved,
    RuntimeDriftFinding, RuntimeDriftFindingRecord, Vanished,
};
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for RuntimeDriftFinding {
    const KIND: AggregateKind = AggregateKind::RuntimeDriftFinding;
    const SCHEMA: u16 = 1;
    type Event = DriftEvent;
    type Record = RuntimeDriftFindingRecord;

    fn uuid(&self) -> Uuid {
        self.drift_finding_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.state.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        self.subject.module().cloned().into_iter().collect()
    }

    fn claims(&self) -> BTreeSet<Claim> {
        let claim = || Claim::drift_finding(self.environment_id, &self.hash);
        self.state.is_open().then(claim).into_iter().collect()
    }

    fn wake_at(&self) -> Option<Timestamp> {
        match &self.state {
            DriftState::Detected(detected) => detected.look_at,
            DriftState::Excepted(exception) => Some(exception.expires_at),
            DriftState::Remediating(remediating) => Some(remediating.until),
            DriftState::RemediationFailed(failed) => Some(failed.retry_at),
            DriftState::Escalated(_) | DriftState::Resolved(_) | DriftState::Vanished(_) => None,
        }
    }

    fn evolve(state: Option<Self>, event: &DriftEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (None, DriftEvent::RuntimeDriftDetected(detected)) => Ok(Self::begin(detected, at)),
            (None, _) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(finding), event) => {
                let state = finding.state.status().name();
                finding.apply(event, at).ok_or(Misapplied { event: event.name(), state })
            }
        }
    }

    fn to_record(&self) -> RuntimeDriftFindingRecord {
        RuntimeDriftFindingRecord::of(self)
    }

    fn from_record(schema: u16, record: RuntimeDriftFindingRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

impl RuntimeDriftFinding {
    fn begin(detected: &DriftDetected, at: Timestamp) -> Self {
        let is_automatic = detected.mode == RemediationMode::Remediate;
        Self {
            drift_finding_id: detected.drift_finding_id,
            tenant_id: detected.tenant_id,
            environment_id: detected.environment_id,
            subject: detected.subject.clone(),
            kind: detected.kind,
            severity: detected.severity,
            revision: detected.revision.clone(),
            diff: detected.diff.clone(),
            hash: detected.hash.clone(),
            desired_image: detected.desired_image.clone(),
            is_automatic,
            detected_at: at,
            last_seen_at: detected.seen_at,
            sightings: 1,
            attempted: 0,
            attempts: Vec::new(),
            state: DriftState::Detected(Detected { look_at: is_automatic.then_some(at) }),
        }
    }

    fn apply(mut self, event: &DriftEvent, at: Timestamp) -> Option<Self> {
        match event {
            DriftEvent::DriftSeenAgain { seen_at, revision, severity, desired_image } => {
                self.last_seen_at = *seen_at;
                self.revision = revision.clone();
                self.severity = *severity;
                self.desired_image = desired_image.clone();
                self.sightings = self.sightings.saturating_add(1);
                return self.state.is_open().then_some(self);
            }
            DriftEvent::RemediationPlanned { attempt, action, .. } => {
                self.attempted = *attempt;
                if self.attempts.len() >= MOST_ATTEMPTS_KEPT {
                    self.attempts.remove(0);
                }
                let result = RemediationResult::Running;
                self.attempts.push(RemediationAttempt {
                    number: *attempt,
                    action: *action,
                    result,
                    timestamp: at,
                });
            }
            DriftEvent::RemediationFailed { reason, .. } | DriftEvent::DriftEscalated { reason, .. } => {
                let last = self.attempts.last_mut()?;
                last.result = RemediationResult::Failed { reason: reason.clone() };
                last.timestamp = at;
            }
            DriftEvent::RuntimeDriftRemediated(_) => {
                let last = self.attempts.last_mut()?;
                last.result = RemediationResult::Succeeded;
                last.timestamp = at;
            }
            _ => {}
        }
        let state = self.state.clone().step(event, self.is_automatic, at)?;
        Some(Self { state, ..self })
    }
}

impl DriftState {
    fn step(self, event: &DriftEvent, is_automatic: bool, at: Timestamp) -> Option<Self> {
        let detected = Self::Detected(Detected { look_at: is_automatic.then_some(at) });
        Some(match (self, event) {
            (
                Self::Detected(_) | Self::RemediationFailed(_),
                DriftEvent::RemediationPlanned { attempt, tries, action, until, budget, .. },
            ) => Self::Remediating(Remediating {
                attempt: *attempt,
                tries: *tries,
                action: *action,
                since: at,
                until: *until,
                budget: *budget,
            }),
            (Self::Detected(_), DriftEvent::RemediationPostponed { until, .. }) => {
                Self::Detected(Detected { look_at: Some(*until) })
            }
            (Self::RemediationFailed(failed), DriftEvent::RemediationPostponed { until, .. }) => {
                Self::RemediationFailed(RemediationFailed { retry_at: *until, ..failed })
            }
            (Self::Remediating(remediating), DriftEvent::RemediationFailed { retry_at, .. }) => {
                Self::RemediationFailed(RemediationFailed { tries: remediating.tries, retry_at: *retry_at })
            }
            (Self::Remediating(_), DriftEvent::DriftEscalated { reason, .. }) => {
                Self::Escalated(Escalated { since: at, reason: reason.clone() })
            }
            // Somebody who asks for a retry waits for it, whether or not this kind is repaired by itself.
            (Self::RemediationFailed(_) | Self::Escalated(_), DriftEvent::RemediationRetried { .. }) => {
                Self::Detected(Detected { look_at: Some(at) })
            }
            (Self::Remediating(remediating), DriftEvent::RuntimeDriftRemediated(_)) => {
                let resolution = Resolution::Remediated { attempt: remediating.attempt };
                Self::Resolved(Resolved { resolved_at: at, resolution })
            }
            (
                Self::Detected(_) | Self::Excepted(_) | Self::RemediationFailed(_) | Self::Escalated(_),
                DriftEvent::DriftExceptionAccepted { exception },
            ) => Self::Excepted(exception.clone()),
            (
                Self::Excepted(_),
                DriftEvent::DriftExceptionRevoked { .. } | DriftEvent::DriftExceptionExpired,
            ) => detected,
            (Self::Excepted(exception), DriftEvent::DriftResolvedByException) => {
                Self::Resolved(Resolved { resolved_at: at, resolution: Resolution::Excepted(exception) })
            }
            (
                Self::Detected(_) | Self::RemediationFailed(_) | Self::Escalated(_),
                DriftEvent::DriftVanished { replaced_by },
            ) => Self::Vanished(Vanished { vanished_at: at, replaced_by: replaced_by.clone() }),
            _ => return None,
        })
    }
}
