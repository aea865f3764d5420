//! What holds of every binding, and what a model is compared with.

use std::collections::BTreeSet;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::secrets::{
    Consumption, Rotation, RotationCause, RotationSchedule, SecretBinding, SecretState, SecretVersion,
    SuspensionCause,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;

use super::FAULTS;
use crate::model::Facts;
use crate::prove::Fault;

pub(super) fn check(before: Option<&SecretBinding>, after: &SecretBinding) -> Result<(), Fault> {
    if let Some(before) = before {
        keeps_what_it_is(before, after)?;
        moves_forward(before, after)?;
    }
    let is_unbound = matches!(after.state(), SecretState::Unbound(_));
    let claims = match after.state() {
        SecretState::Unbound(_) => BTreeSet::new(),
        _ => {
            let claim = Claim::secret_binding(after.environment_id(), after.module(), after.delivery());
            BTreeSet::from([claim])
        }
    };
    Fault::unless(after.claims() == claims, "X-3", || format!("it holds {:?}", after.claims()))?;
    Fault::unless(after.prove(Revision::FIRST).is_ok() != is_unbound, "CFG-2", || {
        format!("it is {}, and proves otherwise", after.status())
    })?;
    let delivered = (!is_unbound).then(|| after.new_version().unwrap_or(after.current_version()));
    Fault::unless(after.version_to_deliver().map(|it| it.version) == delivered, "X-6", || {
        format!("it is {}, and delivers {:?}", after.status(), after.version_to_deliver())
    })?;
    Fault::unless(after.rotations().len() <= SecretBinding::MOST_RECORDS, "CONTENT", || {
        format!("it keeps {} rotations", after.rotations().len())
    })?;
    let past = after.rotations().iter().flat_map(|past| [Some(past.previous), past.version]);
    let mut versions = past.flatten().chain(after.new_version()).chain([after.current_version()]);
    let odd = versions.find(|version| !after.key_vault_ref().takes(*version));
    Fault::unless(odd.is_none(), "SEC-2", || format!("its vault gives no version such as {odd:?}"))?;
    stands(after)
}

/// SEC-2, SEC-3: who gets which secret, and how, never changes.
fn keeps_what_it_is(before: &SecretBinding, after: &SecretBinding) -> Result<(), Fault> {
    let own = |it: &SecretBinding| {
        let where_to = (it.module().clone(), it.service_id(), it.delivery().clone());
        (where_to, it.key_vault_ref().clone(), it.identity().clone(), it.bound_at())
    };
    Fault::unless(own(before) == own(after), "SEC-3", || format!("{:?} became {:?}", own(before), own(after)))
}

/// SEC-2: a version that is brought was not seen before, and becomes the current one after the look at its consumers only.
fn moves_forward(before: &SecretBinding, after: &SecretBinding) -> Result<(), Fault> {
    let has_seen = |version: SecretVersion| {
        let past = before.rotations().iter().flat_map(|past| [Some(past.previous), past.version]);
        version == before.current_version() || past.flatten().any(|past| past == version)
    };
    if let (None, Some(version)) = (before.new_version(), after.new_version()) {
        let is_new = !has_seen(version) && !before.current_version().is_counted_after(version);
        Fault::unless(is_new, "SEC-2", || format!("it brings {version}, which is no new version"))?;
    }
    let (was, is) = (before.current_version(), after.current_version());
    if was == is {
        return Ok(());
    }
    let is_retiring = matches!(after.state(), SecretState::Retiring(state) if state.version == was);
    let has_come = matches!(before.state(), SecretState::Grace(grace) if grace.version == is);
    Fault::unless(is_retiring && has_come, "SEC-2", || {
        format!("it is on {is} instead of {was}, and went from {} to {}", before.status(), after.status())
    })
}

fn stands(after: &SecretBinding) -> Result<(), Fault> {
    let failures = match after.state() {
        SecretState::Requested(state) => state.failures,
        SecretState::RotationFailed(state) => state.failures,
        SecretState::Retiring(state) => state.failures,
        _ => 0,
    };
    Fault::unless(failures < SecretBinding::MOST_FAILURES, "LIFECYCLE", || {
        format!("its vault failed {failures} times, and nobody was asked")
    })?;
    let is_ordered = match after.state() {
        SecretState::Grace(grace) => grace.since <= grace.until,
        _ => true,
    };
    Fault::unless(is_ordered, "LIFECYCLE", || "its grace ends before it begins".to_owned())?;
    let grace = after.rotation_schedule().grace();
    Fault::unless(grace <= RotationSchedule::LONGEST_GRACE, "CONTENT", || format!("its grace is {grace}"))
}

fn millis(at: Timestamp) -> i64 {
    at.timestamp_millis() - 1_800_000_000_000
}

pub(super) fn facts(binding: &SecretBinding, facts: Facts) -> Facts {
    let past = binding.rotations().iter().map(|past| {
        let version = past.version.map(|version| version.to_string()).unwrap_or_default();
        let (from, to) = (millis(past.requested_at), millis(past.ended_at));
        format!("{:?} {} {version} {:?} {from} {to}\n", past.cause, past.previous, past.outcome)
    });
    let rotation = match binding.state() {
        SecretState::Requested(state) => Some(&state.rotation),
        SecretState::RotationFailed(state) => Some(&state.rotation),
        SecretState::Distributing(state) => Some(&state.rotation),
        SecretState::Grace(state) => Some(&state.rotation),
        _ => None,
    };
    let wakes_at = binding.wake_at().map(|at| millis(at).to_string());
    let delivered = binding.version_to_deliver().map(|delivered| delivered.version.to_string());
    facts
        .with("wakes at", wakes_at.unwrap_or_default())
        .with("current", binding.current_version())
        .with("deliver", delivered.unwrap_or_default())
        .with("past", past.collect::<String>())
        .with("rotation", rotation.map(told).unwrap_or_default())
        .with("more", more(binding))
}

fn told(rotation: &Rotation) -> String {
    let reason = match &rotation.cause {
        RotationCause::Scheduled => None,
        RotationCause::OnDemand { reason, .. } | RotationCause::Compromised { reason, .. } => Some(reason),
    };
    let glass = rotation.break_glass.as_ref().map(|glass| &glass.reason);
    format!("{:?} {reason:?} {glass:?} {}", rotation.cause.kind(), millis(rotation.requested_at))
}

/// What exists in one state only.
fn more(binding: &SecretBinding) -> String {
    match binding.state() {
        SecretState::Bound(_) => String::new(),
        SecretState::Requested(state) => format!("{} failures", state.failures),
        SecretState::RotationFailed(state) => format!("{} failures", state.failures),
        SecretState::Distributing(state) => {
            let users = state.consumption.as_ref().map(|seen| match seen {
                Consumption::Nobody => 0,
                Consumption::Instances(instances) => instances.len(),
            });
            format!("{} for {users:?}", state.version)
        }
        SecretState::Grace(state) => format!("{} since {}", state.version, millis(state.since)),
        SecretState::Retiring(state) => format!("{}, {} failures", state.version, state.failures),
        SecretState::Suspended(state) => {
            let why = match &state.cause {
                SuspensionCause::Asked { reason, .. } => format!("asked: {reason}"),
                SuspensionCause::VaultFailed { fault } => {
                    let number = FAULTS.iter().position(|one| one == fault);
                    format!("fault {}", number.unwrap_or(FAULTS.len()))
                }
            };
            format!("{why}, {:?}", state.unretired.map(|version| version.to_string()))
        }
        SecretState::Unbound(state) => state.reason.clone(),
    }
}
