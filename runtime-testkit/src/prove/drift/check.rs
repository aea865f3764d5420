//! The invariants of drift findings, as they show from outside.

use std::collections::BTreeSet;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::drift::{
    DriftState, DriftStatus, FindingHash, MOST_ATTEMPTS_KEPT, RemediationAction, RemediationAttempt,
    RemediationResult, Resolution, RuntimeDriftFinding,
};

use crate::plan::drift::CANARY;
use crate::prove::Fault;

pub(super) fn check(before: Option<&RuntimeDriftFinding>, after: &RuntimeDriftFinding) -> Result<(), Fault> {
    if let Some(before) = before {
        stays(before, after)?;
        moves_legally(before.state().status(), after.state().status())?;
    }
    is_one_finding(after)?;
    is_counted(after.attempts())?;
    is_resolved_by_something(after)?;
    Fault::unless(!format!("{after:?}").contains(CANARY), "X-11", || "it tells a secret".to_owned())?;
    let must_wake = match after.state() {
        DriftState::Excepted(_) | DriftState::Remediating(_) | DriftState::RemediationFailed(_) => true,
        DriftState::Escalated(_) | DriftState::Resolved(_) | DriftState::Vanished(_) => false,
        DriftState::Detected(detected) => detected.look_at.is_some(),
    };
    Fault::unless(must_wake == after.wake_at().is_some(), "LIFECYCLE", || {
        format!("it is {}, and wakes at {:?}", Aggregate::status(after), after.wake_at())
    })
}

fn stays(before: &RuntimeDriftFinding, after: &RuntimeDriftFinding) -> Result<(), Fault> {
    let what = |finding: &RuntimeDriftFinding| {
        (finding.subject().clone(), finding.kind(), finding.hash().clone(), finding.diff().clone())
    };
    Fault::unless(what(before) == what(after), "DRF-2", || "it became another divergence".to_owned())?;
    Fault::unless(before.detected_at() == after.detected_at(), "X-10", || "it began anew".to_owned())?;
    Fault::unless(before.sightings() <= after.sightings(), "DRF-2", || {
        format!("it was seen {} times, and then {}", before.sightings(), after.sightings())
    })?;
    let is_closed = !before.state().is_open();
    Fault::unless(!is_closed || before == after, "LIFECYCLE", || {
        format!("it was {}, and changed", Aggregate::status(before))
    })
}

fn moves_legally(from: DriftStatus, to: DriftStatus) -> Result<(), Fault> {
    use DriftStatus::{Detected, Escalated, Excepted, Remediating, RemediationFailed, Resolved, Vanished};
    let may = from == to
        || match from {
            Detected => matches!(to, Excepted | Remediating | Vanished),
            Excepted => matches!(to, Detected | Resolved),
            Remediating => matches!(to, RemediationFailed | Escalated | Resolved),
            RemediationFailed => matches!(to, Detected | Excepted | Remediating | Vanished),
            Escalated => matches!(to, Detected | Excepted | Vanished),
            Resolved | Vanished => false,
        };
    Fault::unless(may, "LIFECYCLE", || format!("it went from {from} to {to}"))
}

/// DRF-2, and DRF-3 as far as it shows: the revision is one that can be read.
fn is_one_finding(finding: &RuntimeDriftFinding) -> Result<(), Fault> {
    let environment = finding.environment_id();
    let hash = FindingHash::of(environment, finding.subject(), finding.kind(), finding.diff());
    Fault::unless(hash == *finding.hash(), "DRF-2", || "its hash is of another divergence".to_owned())?;
    let claim = Claim::drift_finding(environment, finding.hash());
    let wanted = if finding.state().is_open() { BTreeSet::from([claim]) } else { BTreeSet::new() };
    Fault::unless(finding.claims() == wanted, "DRF-2", || {
        format!("it is {}, and holds {:?}", Aggregate::status(finding), finding.claims())
    })?;
    let revision = finding.revision().as_str().parse();
    Fault::unless(revision.as_ref() == Ok(finding.revision()), "DRF-3", || {
        format!("{} says what is desired", finding.revision())
    })?;
    Fault::unless(
        finding.desired().eq(finding
            .diff()
            .entries()
            .iter()
            .map(|entry| (entry.path.as_str(), &entry.desired))),
        "DRF-3",
        || "what it shows as desired is not what differs".to_owned(),
    )
}

fn is_counted(attempts: &[RemediationAttempt]) -> Result<(), Fault> {
    let is_in_order = attempts.windows(2).all(|pair| match pair {
        [one, next] => {
            one.number + 1 == next.number && matches!(one.result, RemediationResult::Failed { .. })
        }
        _ => true,
    });
    let is_bounded = attempts.len() <= MOST_ATTEMPTS_KEPT;
    Fault::unless(is_in_order && is_bounded, "DRF-1", || format!("the attempts are {attempts:?}"))
}

/// DRF-1.
fn is_resolved_by_something(finding: &RuntimeDriftFinding) -> Result<(), Fault> {
    let last = finding.attempts().last();
    let has_succeeded = last.is_some_and(|last| last.result == RemediationResult::Succeeded);
    let by_deployment = last.and_then(|last| match last.action {
        RemediationAction::Redeploy { deployment } => Some(deployment),
        RemediationAction::Prune => None,
    });
    let (is_recorded, by) = match finding.state() {
        DriftState::Resolved(resolved) => match &resolved.resolution {
            Resolution::Remediated { attempt } => {
                (has_succeeded && last.is_some_and(|last| last.number == *attempt), by_deployment)
            }
            Resolution::Excepted(exception) => (!exception.reason.trim().is_empty(), None),
        },
        _ => (!has_succeeded, None),
    };
    Fault::unless(is_recorded, "DRF-1", || format!("it is {}, after {last:?}", Aggregate::status(finding)))?;
    Fault::unless(finding.remediation_deployment_id() == by, "DRF-1", || {
        format!("it was repaired by {by:?}, and says {:?}", finding.remediation_deployment_id())
    })
}
