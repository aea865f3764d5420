//! The invariants of scaling policies, as they show from outside.

use std::collections::BTreeSet;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::id::ServiceId;
use runtime_domain::scaling::{MOST_APPLIED, PolicyState, PolicyStatus, ScalingPolicy, Violation};
use runtime_domain::surface::SurfaceKind;

use crate::prove::Fault;

pub(super) fn check(before: Option<&ScalingPolicy>, after: &ScalingPolicy) -> Result<(), Fault> {
    if let Some(before) = before {
        let service = |policy: &ScalingPolicy| (policy.service_id(), policy.module_id().clone());
        Fault::unless(service(before) == service(after), "SCL-3", || {
            format!("it was of {:?} and is of {:?}", service(before), service(after))
        })?;
        let is_retired = before.state().status() == PolicyStatus::Retired;
        Fault::unless(!is_retired || before == after, "LIFECYCLE", || {
            "it was Retired, and changed".to_owned()
        })?;
    }
    is_within_bounds(after)?;
    is_of_one_service(after)?;
    is_judged_rightly(after)?;
    let actions = after.applied();
    let is_history = actions.len() <= MOST_APPLIED && actions.iter().all(|action| action.from != action.to);
    Fault::unless(is_history, "CONTENT", || format!("it remembers {actions:?}"))
}

/// SCL-1 and SCL-2, of what it says and of what it wants.
fn is_within_bounds(policy: &ScalingPolicy) -> Result<(), Fault> {
    let (least, most) = (policy.min_replicas(), policy.max_replicas().get());
    Fault::unless(least <= most, "SCL-1", || format!("it allows {least} to {most}"))?;
    let is_event_driven = matches!(policy.target(), SurfaceKind::ContainerApps | SurfaceKind::Functions);
    let is_woken = policy.rules().iter().any(|rule| !rule.metric.is_utilization());
    Fault::unless(least > 0 || (is_event_driven && is_woken), "SCL-2", || {
        format!("it goes to none on {:?} by {:?}", policy.target(), policy.rules())
    })?;
    Fault::unless(policy.scale_to_zero() == (least == 0), "SCL-2", || {
        format!("it allows {least}, and says otherwise")
    })?;
    let Some(wanted) = policy.wanted() else { return Ok(()) };
    let rule = if wanted.to == 0 { "SCL-2" } else { "SCL-1" };
    // A quota may leave room for fewer than the least: then as many are added as there is room for (TEN-2), and none is taken away.
    let is_allowed = wanted.to >= least || wanted.to > wanted.from;
    Fault::unless(is_allowed && wanted.from != wanted.to, rule, || {
        format!("it allows {least} to {most}, and wants {wanted:?}")
    })
}

fn is_of_one_service(policy: &ScalingPolicy) -> Result<(), Fault> {
    let (environment, module) = (policy.environment_id(), policy.module_id());
    Fault::unless(policy.service_id() == ServiceId::of(environment, module), "SCL-3", || {
        format!("{} is not {module} in {environment}", policy.service_id())
    })?;
    let is_retired = policy.state().status() == PolicyStatus::Retired;
    let claim = Claim::scaling_policy(environment, module);
    let wanted = if is_retired { BTreeSet::new() } else { BTreeSet::from([claim]) };
    Fault::unless(policy.claims() == wanted, "SCL-3", || {
        format!("it is {}, and holds {:?}", Aggregate::status(policy), policy.claims())
    })?;
    Fault::unless(policy.owns_replicas() != is_retired, "SCL-3", || {
        format!("it is {}, and the replicas are not as much its own", Aggregate::status(policy))
    })
}

fn is_judged_rightly(policy: &ScalingPolicy) -> Result<(), Fault> {
    let (least, most) = (policy.min_replicas(), policy.max_replicas());
    let is_right = match policy.state() {
        PolicyState::Violated(violated) => match &violated.violation {
            Violation::OutOfBounds { observed, .. } => !(least..=most.get()).contains(observed),
            Violation::MetricsMissing { signals, .. } => !signals.is_empty(),
            Violation::TargetMissed { most: missed, .. } => *missed == most,
        },
        PolicyState::Active(_) | PolicyState::Suspended(_) | PolicyState::Retired(_) => true,
    };
    Fault::unless(is_right, "LIFECYCLE", || {
        format!("it is violated by what it allows: {:?}", policy.state())
    })?;
    let is_watching = policy.state().watch().is_some();
    Fault::unless(is_watching == policy.wake_at().is_some(), "LIFECYCLE", || {
        format!("it is {}, and wakes at {:?}", Aggregate::status(policy), policy.wake_at())
    })
}
