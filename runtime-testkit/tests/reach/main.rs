//! A story that never gets anywhere proves nothing: these show where stories get.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a story that cannot be made or applied is what fails here"
)]

mod play;
mod published;
mod texts;

use std::collections::BTreeSet;

use runtime_domain::aggregate::DomainEvent;
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_testkit::prove::Provable;

use play::{Moment, play};

/// What some thousand stories came to.
#[derive(Debug, Default)]
struct Reached {
    statuses: BTreeSet<String>,
    events: BTreeSet<&'static str>,
    rules: BTreeSet<&'static str>,
    explanations: Vec<String>,
}

fn reached<A: Provable>(stories: u32) -> Reached {
    let mut reached = Reached::default();
    play::<A>(stories, |moment| match moment {
        Moment::Refused(rule) => drop(reached.rules.insert(rule)),
        Moment::Happened(event, state) => {
            reached.events.insert(event.name());
            reached.statuses.insert(state.status().to_owned());
        }
        Moment::Explained(explanation) => reached.explanations.push(explanation),
    });
    reached
}

fn assert_all(what: &str, seen: impl IntoIterator<Item = impl ToString>, wanted: &[&str]) {
    let seen: BTreeSet<String> = seen.into_iter().map(|one| one.to_string()).collect();
    let missed: Vec<_> = wanted.iter().filter(|one| !seen.contains(**one)).collect();
    assert!(missed.is_empty(), "no story reaches {what} {missed:?}, only {seen:?}");
}

#[test]
fn stories_of_environments_reach_every_status_event_and_refusal() {
    let reached = reached::<RuntimeEnvironment>(3_000);
    let statuses = [
        "Requested",
        "Provisioning",
        "ProvisioningFailed",
        "Provisioned",
        "Decommissioning",
        "Decommissioned",
    ];
    assert_all("status", reached.statuses, &statuses);
    let events = [
        "EnvironmentRequested",
        "EnvironmentProvisioningStarted",
        "RuntimeEnvironmentProvisioned",
        "EnvironmentProvisioningFailed",
        "EnvironmentProvisioningRetried",
        "EnvironmentChanged",
        "EnvironmentResourcesUpdated",
        "EnvironmentChangeFailed",
        "EnvironmentProtected",
        "EnvironmentUnprotected",
        "EnvironmentExpiryChanged",
        "EnvironmentResourcesLost",
        "EnvironmentDecommissioningStarted",
        "EnvironmentDecommissioningFailed",
        "QuotaReserved",
        "QuotaCommitted",
        "QuotaReleased",
        "QuotaExpired",
        "CalendarChanged",
        "LineStopped",
        "LineResumed",
        "RuntimeEnvironmentDecommissioned",
    ];
    assert_all("event", reached.events, &events);
    assert_all(
        "refusal",
        reached.rules,
        &["ENV-2", "X-3", "X-1", "TEN-2", "CONTENT", "CAPABILITY", "CALENDAR", "LIFECYCLE"],
    );
}

#[test]
fn stories_of_deployments_reach_every_status_event_and_refusal() {
    let reached = reached::<RuntimeDeployment>(3_000);
    let statuses =
        ["Requested", "InProgress", "Paused", "RollingBack", "Completed", "RolledBack", "Rejected", "Failed"];
    assert_all("status", reached.statuses, &statuses);
    let events = [
        "RuntimeDeploymentRequested",
        "RolloutPlanned",
        "StageCleared",
        "EffectIntended",
        "EffectPerformed",
        "EffectDeferred",
        "EffectRepeated",
        "GateSampled",
        "GateApproved",
        "GatePassed",
        "GateFailed",
        "StageCompleted",
        "StageSkipped",
        "RolloutPaused",
        "RolloutResumed",
        "RolloutPromoted",
        "RollbackStarted",
        "RuntimeDeploymentCompleted",
        "RuntimeDeploymentRolledBack",
        "DeploymentRejected",
        "DeploymentFailed",
        "QuarantineReleased",
        "HoldReleased",
    ];
    assert_all("event", reached.events, &events);
    let rules = ["ENV-1", "DEP-1", "DEP-2", "X-1", "CONTENT", "CAPABILITY", "LIFECYCLE"];
    assert_all("refusal", reached.rules, &rules);
}

#[test]
fn stories_of_services_reach_every_status_event_and_refusal() {
    let reached = reached::<RuntimeService>(1_000);
    let statuses = ["Starting", "Running", "Degraded", "Unavailable", "Unknown", "Retired"];
    assert_all("status", reached.statuses, &statuses);
    let events = ["RuntimeInventoryUpdated", "ServiceSeen", "RuntimeServiceRetired"];
    assert_all("event", reached.events, &events);
    assert_all("refusal", reached.rules, &["SVC-1", "SVC-3", "X-1"]);
}

#[test]
fn stories_of_tenant_bindings_reach_every_status_event_and_refusal() {
    let reached = reached::<RuntimeTenantBinding>(6_000);
    assert_all("status", reached.statuses, &["Pending", "Bound", "Cordoned", "Moving", "Released"]);
    let events = [
        "TenantBindingRequested",
        "RuntimeTenantBound",
        "QuotaIncreaseRequested",
        "QuotaIncreaseLapsed",
        "RuntimeTenantQuotaAdjusted",
        "QuotaSettled",
        "TenantCordoned",
        "TenantUncordoned",
        "TenantProtected",
        "TenantUnprotected",
        "TenantMoveBegun",
        "TenantMoveTurned",
        "TenantMoveStepFailed",
        "TenantMoveAborted",
        "WorkloadsAdmitted",
        "WorkloadsSettled",
        "WorkloadScaled",
        "WorkloadsRetired",
        "TenantReleased",
        "TenantQuotaReturned",
    ];
    assert_all("event", reached.events, &events);
    assert_all("refusal", reached.rules, &["TEN-1", "TEN-2", "TEN-3", "X-1", "CONTENT", "LIFECYCLE"]);
}

#[test]
fn stories_of_health_checks_reach_every_status_event_and_refusal() {
    let reached = reached::<HealthCheckResult>(1_000);
    assert_all("status", reached.statuses, &["Healthy", "Degraded", "Unhealthy"]);
    assert_all("event", reached.events, &["HealthCheckCompleted", "HealthDegraded"]);
    assert_all("refusal", reached.rules, &["HLT-3", "CONTENT"]);
}

#[test]
fn stories_of_configurations_reach_every_status_event_and_refusal() {
    let reached = reached::<RuntimeConfiguration>(2_000);
    assert_all("status", reached.statuses, &["Published", "Synced", "Superseded", "Withdrawn"]);
    let events = [
        "ConfigurationPublished",
        "ConsumersExpected",
        "ConsumptionRecorded",
        "ConfigurationSynced",
        "ConfigurationFellOutOfSync",
        "ConfigurationSuperseded",
        "ConfigurationWithdrawn",
    ];
    assert_all("event", reached.events, &events);
    let rules = ["CFG-1", "CFG-2", "CFG-3", "X-1", "X-3", "CONTENT", "CALENDAR", "LIFECYCLE"];
    assert_all("refusal", reached.rules, &rules);
}

#[test]
fn stories_of_scaling_policies_reach_every_status_event_and_refusal() {
    let reached = reached::<ScalingPolicy>(1_000);
    assert_all("status", reached.statuses, &["Active", "Violated", "Suspended", "Retired"]);
    let events = [
        "ScalingPolicyApplied",
        "ScalingPolicyViolated",
        "ScalingPolicyKept",
        "ScalingReleaseFollowed",
        "ScalingEvaluated",
        "ReplicasObserved",
        "ScalingSuspended",
        "ScalingResumed",
        "ScalingPolicyRetired",
    ];
    assert_all("event", reached.events, &events);
    let rules = ["SCL-1", "SCL-2", "SCL-3", "X-1", "CONTENT", "LIFECYCLE"];
    assert_all("refusal", reached.rules, &rules);
}

#[test]
fn stories_of_secret_bindings_reach_every_status_event_and_refusal() {
    let reached = reached::<SecretBinding>(2_000);
    let statuses =
        ["Bound", "Requested", "RotationFailed", "Distributing", "Grace", "Retiring", "Suspended", "Unbound"];
    assert_all("status", reached.statuses, &statuses);
    let events = [
        "SecretBound",
        "SecretRotationRequested",
        "SecretRotationEscalated",
        "SecretRotationFailed",
        "SecretRotationRetried",
        "SecretVersionCreated",
        "SecretConsumptionObserved",
        "SecretDistributed",
        "SecretRotated",
        "SecretRetirementFailed",
        "SecretVersionRetired",
        "SecretRotationAborted",
        "SecretRotationScheduleChanged",
        "SecretRotationSuspended",
        "SecretRotationResumed",
        "SecretUnbound",
    ];
    assert_all("event", reached.events, &events);
    assert_all("refusal", reached.rules, &["SEC-2", "X-1", "X-3", "CONTENT", "CALENDAR", "LIFECYCLE"]);
}

#[test]
fn stories_of_scaling_policies_take_every_step_of_the_autoscaler() {
    let told = reached::<ScalingPolicy>(1_500).explanations;
    for step in [
        "replicas stay",
        "and abstains",
        "is unknown",
        "old, and is believed for",
        "in the future",
        "samples, and",
        "is negative",
        "no replica is ready",
        "where no replica runs",
        "nothing has been known for",
        "not all has been known for",
        "takes no replica away",
        "there has been nothing to do for",
        "there has not been nothing to do for",
        "the recommendations of the last",
        "a change was less than",
        "adds up to",
        "takes away down to",
        "the circuit to",
        "the bounds are",
        "the rollout that is under way holds",
        "to 0 replicas",
        "from 0 to",
    ] {
        let times = told.iter().filter(|explanation| explanation.contains(step)).count();
        assert!(times >= 20, "`{step}` comes {times} times in {} answers", told.len());
    }
}

#[test]
fn stories_of_drift_findings_reach_every_status_event_and_refusal() {
    let reached = reached::<RuntimeDriftFinding>(3_000);
    let statuses =
        ["Detected", "Excepted", "Remediating", "RemediationFailed", "Escalated", "Resolved", "Vanished"];
    assert_all("status", reached.statuses, &statuses);
    let events = [
        "RuntimeDriftDetected",
        "DriftSeenAgain",
        "RemediationPlanned",
        "RemediationPostponed",
        "RemediationFailed",
        "DriftEscalated",
        "RemediationRetried",
        "RuntimeDriftRemediated",
        "DriftExceptionAccepted",
        "DriftExceptionRevoked",
        "DriftExceptionExpired",
        "DriftResolvedByException",
        "DriftVanished",
    ];
    assert_all("event", reached.events, &events);
    let rules = ["DRF-1", "DRF-2", "DRF-3", "X-1", "X-11", "CALENDAR", "QUARANTINE", "CONTENT", "LIFECYCLE"];
    assert_all("refusal", reached.rules, &rules);
}
