//! What watches over what runs: health, scaling and drift.

use std::collections::{BTreeMap, BTreeSet};

use factory_runtime::domain::component::ImageDigest;
use factory_runtime::domain::drift::{
    ActualComponent, ActualState, Authoritative, ComparisonPolicy, DesiredComponent, DesiredState,
    DetectDrift, DriftCommand, Ownership, RemediationMode, RuntimeDriftFinding, compare_states,
};
use factory_runtime::domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthStatus, LatencyMs, ProbeKind, RecordHealthCheck,
    Thresholds, Verdict,
};
use factory_runtime::domain::id::ServiceId;
use factory_runtime::domain::scaling::{
    ApplyScalingPolicy, Input, PolicySpec, PolicyTerms, Reading, ReplicaBounds, ScalingCommand,
    ScalingMetric, ScalingPolicy, ScalingRule,
};
use factory_runtime::domain::surface::SurfaceKind;
use factory_runtime::domain::time::Timestamp;
use factory_runtime::domain::value::{Measure, Replicas, Revision};

use super::placement::provisioned;
use super::{after, at, begun, id, name};
use crate::measure;

pub fn run() {
    health();
    scaling();
    drift();
}

fn health() {
    let entry = |probe, kind| CheckEntry {
        probe: name(probe),
        kind,
        required: true,
        status: HealthStatus::Healthy,
        duration: LatencyMs(4),
        data: BTreeMap::new(),
    };
    let command = || RecordHealthCheck {
        health_check_result_id: id(8),
        tenant_id: id(2),
        environment_id: id(1),
        service_id: ServiceId::of(id(1), &name("cart")),
        module_id: name("cart"),
        evaluation_window: EvaluationWindow::new(at(0), at(15)).unwrap(),
        entries: vec![entry("ready", ProbeKind::Readiness), entry("alive", ProbeKind::Liveness)],
        previous: Some(Verdict::first(HealthStatus::Healthy)),
        is_continued: true,
        thresholds: Thresholds::default(),
    };
    measure::<HealthCheckResult>("RecordHealthCheck", None, at(15), || {
        HealthCheckResult::record(command(), at(15)).unwrap()
    });
}

/// Two to ten replicas, by the processor and by requests.
fn policy() -> ScalingPolicy {
    let bounds = ReplicaBounds::new(SurfaceKind::Process, 2, Replicas::new(10).unwrap()).unwrap();
    let rule = |metric, threshold| ScalingRule::new(metric, Measure::from_units(threshold));
    let rules = [rule(ScalingMetric::CpuUtilization, 50), rule(ScalingMetric::RequestRate, 100)];
    let command = ApplyScalingPolicy {
        scaling_policy_id: id(12),
        tenant_id: id(2),
        environment_id: id(1),
        module_id: name("cart"),
        policy: PolicySpec::new(PolicyTerms::new(bounds, rules)).unwrap(),
        surface: provisioned().host_on(SurfaceKind::Process, Revision(3)).unwrap(),
    };
    begun(&ScalingPolicy::apply(&command).unwrap())
}

fn evaluation(now: Timestamp) -> ScalingCommand {
    let read = |units| Reading::Measured { value: Measure::from_units(units), observed_at: now, samples: 5 };
    let readings = [(ScalingMetric::CpuUtilization, read(80)), (ScalingMetric::RequestRate, read(150))];
    ScalingCommand::RecordEvaluation { input: Input { readings: readings.into(), ..Input::of(3) } }
}

fn scaling() {
    // As after a quarter of an hour: its windows hold what the evaluations before have found.
    let evaluated = (1..60).map(|round| round * 15).fold(policy(), |policy, seconds| {
        let decision = policy.decide(&evaluation(at(seconds)), at(seconds)).unwrap();
        after(policy, &decision, at(seconds))
    });
    let command = evaluation(at(900));
    measure("RecordEvaluation, of two rules", Some(&evaluated), at(900), || {
        evaluated.decide(&command, at(900)).unwrap()
    });
}

fn image(number: u8) -> ImageDigest {
    ImageDigest::new(&format!("sha256:{number:064x}")).unwrap()
}

/// The cart runs another image than is desired.
fn detect() -> DetectDrift {
    let desired = DesiredComponent {
        surface: SurfaceKind::Process,
        image: image(1),
        replicas: Replicas::new(3).unwrap(),
        configuration: None,
        secrets: BTreeSet::new(),
        scaling: None,
        settings: serde_json::Value::Null,
    };
    let actual = ActualComponent {
        observed_at: at(20),
        surface: SurfaceKind::Process,
        image: image(2),
        replicas: 3,
        configuration: None,
        secrets: BTreeSet::new(),
        scaling: None,
        settings: serde_json::Value::Null,
    };
    let desired =
        DesiredState { components: BTreeMap::from([(name("cart"), desired)]), resources: BTreeMap::new() };
    let actual = ActualState {
        tenant: id(2),
        environment: id(1),
        listed_at: at(20),
        components: BTreeMap::from([(name("cart"), actual)]),
        resources: BTreeMap::new(),
    };
    let desired = Authoritative::from_revision("pulumi:shop@7".parse().unwrap(), id(2), id(1), desired);
    let policy = ComparisonPolicy::default();
    let mut compared = compare_states(&desired, &actual, &Ownership::nobody(), &policy, at(20)).unwrap();
    let drift = compared.detected.pop().unwrap();
    DetectDrift { drift_finding_id: id(13), drift, mode: RemediationMode::Warn }
}

fn drift() {
    let command = detect();
    measure::<RuntimeDriftFinding>("DetectDrift", None, at(20), || {
        RuntimeDriftFinding::detect(&command, at(20)).unwrap()
    });
    let found: RuntimeDriftFinding = begun(&RuntimeDriftFinding::detect(&command, at(20)).unwrap());
    let postpone =
        DriftCommand::PostponeRemediation { until: at(600), reason: "the calendar is closed".to_owned() };
    measure("PostponeRemediation", Some(&found), at(21), || found.decide(&postpone, at(21)).unwrap());
}
