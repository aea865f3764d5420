//! The invariants of deployments, as they show from outside.

use std::collections::BTreeSet;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::rollout::{GateStatus, HealthGate};
use runtime_domain::value::Revision;

use crate::prove::Fault;

pub(super) fn check(before: Option<&RuntimeDeployment>, after: &RuntimeDeployment) -> Result<(), Fault> {
    if let Some(before) = before {
        stays(before, after)?;
        moves_legally(before.status(), after.status())?;
    }
    let status = after.status();
    let is_completed = status == DeploymentStatus::Completed;
    let unpassed = after.gates().iter().find(|gate| !gate.has_passed());
    Fault::unless(!(is_completed && unpassed.is_some()), "DEP-1", || {
        format!("it is Completed, and gate {:?} has not passed", unpassed.map(|gate| gate.name.clone()))
    })?;
    Fault::unless(after.rollback_point(Revision::FIRST).is_ok() == is_completed, "DEP-2", || {
        format!("it is {status:?}, and shows otherwise where to go back to")
    })?;
    let own = after.id();
    let target = after.restore_points().iter().find(|(module, point)| {
        point.revision.deployment == own
            || point.revision.module != **module
            || point.component.module != **module
    });
    Fault::unless(target.is_none(), "DEP-2", || format!("it would go back to {target:?}"))?;
    holds_claims(after)?;
    has_times(after)
}

/// What never changes once it is planned, and verdicts that stay.
fn stays(before: &RuntimeDeployment, after: &RuntimeDeployment) -> Result<(), Fault> {
    Fault::unless(before.release() == after.release() && before.purpose() == after.purpose(), "X-6", || {
        "what is rolled out changed under way".to_owned()
    })?;
    Fault::unless(before.restore_points() == after.restore_points(), "DEP-2", || {
        "what it goes back to changed under way".to_owned()
    })?;
    Fault::unless(before.numbers() == after.numbers(), "DEP-3", || "its numbers changed".to_owned())?;
    let is_planned = !before.plan().segments.is_empty();
    Fault::unless(!is_planned || before.plan() == after.plan(), "X-6", || "its plan changed".to_owned())?;
    for (was, is) in before.gates().iter().zip(after.gates()) {
        let stays = match (&was.status, &is.status) {
            (GateStatus::Passed { .. } | GateStatus::Failed { .. }, now) => was.status == *now,
            _ => true,
        };
        let same = |gate: &HealthGate| (gate.name.clone(), gate.check.clone(), gate.judged.clone());
        Fault::unless(stays && same(was) == same(is), "DEP-1", || {
            format!("gate {} was {:?} and is {:?}", was.name, was.status, is.status)
        })?;
    }
    let fewer = is_planned && after.gates().len() != before.gates().len();
    Fault::unless(!fewer, "DEP-1", || "a gate came or went".to_owned())?;
    let started = before.started_at().is_none() || before.started_at() == after.started_at();
    Fault::unless(started, "X-10", || "it started anew".to_owned())
}

fn moves_legally(from: DeploymentStatus, to: DeploymentStatus) -> Result<(), Fault> {
    use DeploymentStatus::{
        Completed, Failed, InProgress, Paused, Rejected, Requested, RolledBack, RollingBack,
    };
    let may = match from {
        Requested => matches!(to, Requested | InProgress | Paused | Rejected),
        InProgress => matches!(to, InProgress | Paused | RollingBack | Completed),
        Paused => matches!(to, Paused | Requested | InProgress | RollingBack | Rejected),
        RollingBack => matches!(to, RollingBack | RolledBack | Failed),
        Completed | RolledBack | Rejected | Failed => from == to,
    };
    Fault::unless(may, "LIFECYCLE", || format!("it went from {from:?} to {to:?}"))
}

/// DEP-3, the numbers and the quarantine.
fn holds_claims(deployment: &RuntimeDeployment) -> Result<(), Fault> {
    let status = deployment.status();
    let components: BTreeSet<_> = deployment.release().components.keys().collect();
    let claims = deployment.claims();
    let of = |kind: &str| claims.iter().filter(|claim| claim.key.starts_with(kind)).count();
    let in_flight = if status.is_final() { 0 } else { components.len() };
    Fault::unless(of("in-flight/") == in_flight, "DEP-3", || {
        format!("it is {status:?} with {} components, and holds {claims:?}", components.len())
    })?;
    Fault::unless(of("deployment-number/") == components.len(), "DEP-3", || {
        format!("it has {} components, and holds {claims:?}", components.len())
    })?;
    let may_quarantine = !matches!(status, DeploymentStatus::Completed | DeploymentStatus::Rejected);
    Fault::unless(may_quarantine || of("quarantine/") == 0, "QUARANTINE", || {
        format!("it is {status:?}, and keeps an image out: {claims:?}")
    })
}

fn has_times(deployment: &RuntimeDeployment) -> Result<(), Fault> {
    let status = deployment.status();
    Fault::unless(status.is_final() == deployment.completed_at().is_some(), "LIFECYCLE", || {
        format!("it is {status:?}, and ended at {:?}", deployment.completed_at())
    })?;
    let is_touched = deployment
        .release()
        .components
        .keys()
        .any(|module| deployment.deployed_version(module, Revision::FIRST).is_some());
    Fault::unless(is_touched == deployment.started_at().is_some(), "SVC-1", || {
        format!(
            "that a workload was touched is {is_touched}, and it started at {:?}",
            deployment.started_at()
        )
    })?;
    let must = matches!(
        status,
        DeploymentStatus::InProgress
            | DeploymentStatus::RollingBack
            | DeploymentStatus::RolledBack
            | DeploymentStatus::Failed
    );
    let must_not = matches!(status, DeploymentStatus::Requested | DeploymentStatus::Rejected);
    Fault::unless(if is_touched { !must_not } else { !must }, "LIFECYCLE", || {
        format!("it is {status:?}, and that a workload was touched is {is_touched}")
    })
}
