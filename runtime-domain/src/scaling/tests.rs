//! The table of the context's docs, and what holds for every history.

mod autoscaler;
mod graveyard;
mod judging;
mod properties;
mod release;
mod values;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::aggregate::{Aggregate, DomainEvent, EvidenceRef};
use crate::claim::Claim;
use crate::environment::{HostedEnvironment, HostedSurface, IsolationModel};
use crate::id::{AggregateKind, ServiceId};
use crate::refusal::Rule;
use crate::scaling::*;
use crate::surface::{EffectId, SurfaceKind};
use crate::testing::{Answer, Told, answer, assert_refused, assert_schema_is_kept, at, id, name};
use crate::time::{Span, Timestamp};
use crate::value::{Measure, Percent, Replicas, Revision};

type Policy = Told<ScalingPolicy>;

pub(super) fn replicas(count: u16) -> Replicas {
    Replicas::new(count).unwrap()
}

pub(super) fn rule(metric: ScalingMetric, threshold: i64) -> ScalingRule {
    ScalingRule::new(metric, Measure::from_units(threshold))
}

/// Two to ten replicas by 50% of the processor, with nothing that holds back.
pub(super) fn bare() -> PolicyTerms {
    let bounds = ReplicaBounds::new(SurfaceKind::Kubernetes, 2, replicas(10)).unwrap();
    PolicyTerms {
        stabilisation: Stabilisation { scale_out: Span::ZERO, scale_in: Span::ZERO },
        cooldown_seconds: Cooldown::from_secs(0).unwrap(),
        ..PolicyTerms::new(bounds, [rule(ScalingMetric::CpuUtilization, 50)])
    }
}

/// Up to ten replicas, and none, by ten messages for each, with nothing that holds back.
pub(super) fn queued() -> PolicyTerms {
    let bounds = ReplicaBounds::new(SurfaceKind::ContainerApps, 0, replicas(10)).unwrap();
    PolicyTerms { bounds, rules: Vec::from([rule(ScalingMetric::QueueLength, 10)]), ..bare() }
}

pub(super) fn spec(terms: PolicyTerms) -> PolicySpec {
    PolicySpec::new(terms).unwrap()
}

pub(super) fn measured(units: i64, now: Timestamp) -> Reading {
    Reading::Measured { value: Measure::from_units(units), observed_at: now, samples: 1 }
}

pub(super) fn missing() -> Reading {
    Reading::Missing { why: "the source is down".to_string() }
}

/// So many replicas, of which this was read now.
pub(super) fn reads(current: u16, metric: ScalingMetric, units: i64, now: Timestamp) -> Input {
    let mut input = Input::of(current);
    input.readings.insert(metric, measured(units, now));
    input
}

pub(super) fn cpu(current: u16, percent: i64, seconds: u64) -> Input {
    reads(current, ScalingMetric::CpuUtilization, percent, at(seconds))
}

fn apply(terms: PolicyTerms) -> ApplyScalingPolicy {
    ApplyScalingPolicy {
        scaling_policy_id: id(5),
        tenant_id: id(2),
        environment_id: id(1),
        module_id: name("cart"),
        surface: hosted(terms.bounds.target()),
        policy: spec(terms),
    }
}

fn hosted(surface: SurfaceKind) -> HostedSurface {
    let environment = HostedEnvironment {
        tenant: id(2),
        environment: id(1),
        stage: crate::environment::EnvironmentStage::Dev,
        isolation_model: IsolationModel::Pool,
        at: Revision(3),
    };
    HostedSurface { environment, surface }
}

pub(super) fn applied(terms: PolicyTerms) -> Policy {
    Told::begin(ScalingPolicy::apply(&apply(terms)), at(0))
}

impl Policy {
    pub(super) fn command(&mut self, command: &ScalingCommand, seconds: u64) -> Result<(), ScalingRefusal> {
        let decision = self.now().decide(command, at(seconds))?;
        self.happen(decision, at(seconds));
        Ok(())
    }

    pub(super) fn evaluate(&mut self, input: Input, seconds: u64) {
        self.command(&ScalingCommand::RecordEvaluation { input }, seconds).unwrap();
    }

    fn names(&self) -> Vec<&'static str> {
        self.history.iter().map(|(event, _)| event.name()).collect()
    }
}

fn change(most: u16) -> ScalingCommand {
    let bounds = ReplicaBounds::new(SurfaceKind::Kubernetes, 2, replicas(most)).unwrap();
    ScalingCommand::ChangePolicy { policy: spec(PolicyTerms { bounds, ..bare() }) }
}

pub(super) fn suspend() -> ScalingCommand {
    ScalingCommand::SuspendScaling { reason: "an incident".to_string() }
}

fn retire() -> ScalingCommand {
    ScalingCommand::RetirePolicy { reason: "the service goes".to_string() }
}

fn evaluation(current: u16) -> ScalingCommand {
    ScalingCommand::RecordEvaluation { input: cpu(current, 50, 15) }
}

fn scaled(observed: u16) -> ScalingCommand {
    ScalingCommand::RecordScaled { observed }
}

/// A policy in each state; where it watches, four replicas were seen, or eleven where it is violated.
fn in_state(status: PolicyStatus) -> Policy {
    let mut told = applied(bare());
    let path: Vec<ScalingCommand> = match status {
        PolicyStatus::Active => Vec::from([evaluation(4)]),
        PolicyStatus::Violated => Vec::from([evaluation(11)]),
        PolicyStatus::Suspended => Vec::from([evaluation(4), suspend()]),
        PolicyStatus::Retired => Vec::from([evaluation(4), retire()]),
    };
    for command in path {
        told.command(&command, 15).unwrap();
    }
    assert_eq!(told.now().state().status(), status);
    told
}

const NO: Answer = Answer::Refused(Rule::Lifecycle);

/// The table of the context's docs: a command, and its answer while Active, Violated, Suspended and Retired.
fn table() -> Vec<(ScalingCommand, [Answer; 4])> {
    use Answer::{Changes as Yes, Same};
    Vec::from([
        (change(9), [Yes, Yes, Yes, NO]),
        (change(10), [Same, Same, Same, NO]),
        (suspend(), [Yes, Yes, Same, NO]),
        (ScalingCommand::ResumeScaling, [Same, Same, Yes, NO]),
        (evaluation(4), [Yes, Yes, NO, NO]),
        (ScalingCommand::RecordActivation, [Same, Same, Same, NO]),
        (scaled(5), [Yes, Yes, Same, NO]),
        (scaled(4), [Same, Yes, Same, NO]),
        (scaled(11), [Yes, Same, Same, NO]),
        (retire(), [Yes, Yes, Yes, Same]),
    ])
}

/// Shows X-3.
#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    for (command, row) in table() {
        for (status, expected) in PolicyStatus::ALL.into_iter().zip(row) {
            let told = in_state(status);
            let decided = told.now().decide(&command, at(30));
            assert_eq!(answer(&decided), expected, "{command:?} while {status}");
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(30));
                after.check_replay_and_record();
                let is_report = matches!(command, ScalingCommand::RecordEvaluation { .. });
                let again = answer(&after.now().decide(&command, at(30)));
                assert!(again == Answer::Same || is_report, "{command:?} again while {status}: {again:?}");
            }
        }
    }
}

#[test]
fn what_waits_at_no_replica_makes_the_policy_due_at_once_and_no_oftener_than_every_second() {
    let mut told = applied(queued());
    told.evaluate(reads(0, ScalingMetric::QueueLength, 0, at(15)), 15);
    assert_eq!(told.now().wake_at(), Some(at(30)));
    told.command(&ScalingCommand::RecordActivation, 20).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(20)));
    assert_eq!(answer(&told.now().decide(&ScalingCommand::RecordActivation, at(21))), Answer::Same, "once");
    told.check_replay_and_record();
    // Nothing is known to be there yet: it stays at none, and what waits goes on waiting.
    told.evaluate(reads(0, ScalingMetric::QueueLength, 0, at(20)), 20);
    told.command(&ScalingCommand::RecordActivation, 20).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(21)));
    told.evaluate(reads(0, ScalingMetric::QueueLength, 3, at(21)), 21);
    let (effect, wanted) = told.now().effect().unwrap();
    assert_eq!((effect.ordinal, wanted), (1, Wanted { from: 0, to: 1 }));
    assert_eq!(
        answer(&told.now().decide(&ScalingCommand::RecordActivation, at(22))),
        Answer::Same,
        "it comes"
    );
}

#[test]
fn what_waits_is_not_held_up_by_a_clock_that_went_back() {
    let mut told = applied(queued());
    told.evaluate(reads(0, ScalingMetric::QueueLength, 0, at(3_700)), 3_700);
    told.command(&ScalingCommand::RecordActivation, 100).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(100)));
}

#[test]
fn every_evaluation_that_wants_a_change_is_an_effect_of_its_own_and_repeats_as_the_same() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 100, 15), 15);
    let first = told.now().effect();
    assert_eq!(first.map(|(effect, _)| effect), Some(EffectId::of(told.now().id(), 1)));
    // Half of it is there: the intention is the same.
    told.command(&scaled(6), 16).unwrap();
    assert_eq!(told.now().effect(), first);
    // Somebody undid it: it is intended anew, and not taken for done.
    told.evaluate(cpu(4, 100, 30), 30);
    assert_eq!(told.now().effect().map(|(effect, _)| effect.ordinal), Some(2));
    told.command(&scaled(8), 31).unwrap();
    assert_eq!(told.now().effect(), None);
}

#[test]
fn a_policy_knows_what_it_said_at_a_time() {
    let mut told = applied(bare());
    told.command(&change(9), 100).unwrap();
    told.command(&change(8), 200).unwrap();
    let most_at =
        |told: &Policy, seconds| told.now().said_at(at(seconds)).map(|policy| policy.bounds().most().get());
    let said = [(0, 10), (99, 10), (100, 9), (199, 9), (200, 8), (900, 8)];
    assert!(said.iter().all(|(seconds, most)| most_at(&told, *seconds) == Some(*most)));
    told.command(&retire(), 300).unwrap();
    assert_eq!((most_at(&told, 299), most_at(&told, 300)), (Some(8), None));
    told.check_replay_and_record();
    for count in 0..40 {
        let most = if count % 2 == 0 { 9 } else { 8 };
        let mut other = applied(bare());
        for again in 0..=count {
            other.command(&change(if again % 2 == 0 { 9 } else { 8 }), 100 + again).unwrap();
        }
        assert_eq!(most_at(&other, 1_000), Some(most));
        other.check_replay_and_record();
    }
}

/// Shows SCL-2.
#[test]
fn a_policy_is_for_a_surface_that_its_environment_has() {
    let stray = ApplyScalingPolicy { surface: hosted(SurfaceKind::Process), ..apply(bare()) };
    assert_eq!(answer(&ScalingPolicy::apply(&stray)), Answer::Refused(Rule::Capability));
    let told = applied(bare());
    assert_eq!(answer(&told.now().apply_again(&stray)), Answer::Refused(Rule::Capability));
    let other = told.now().change_on(&spec(queued()), &hosted(SurfaceKind::Kubernetes), at(1));
    assert_eq!(answer(&other), Answer::Refused(Rule::Capability));
    let proven = hosted(SurfaceKind::ContainerApps);
    assert_eq!(answer(&told.now().change_on(&spec(queued()), &proven, at(1))), Answer::Changes);
}

/// Shows SCL-3, X-3.
#[test]
fn applying_again_gives_the_same_policy_or_says_what_differs() {
    for status in PolicyStatus::ALL {
        let told = in_state(status);
        let open = |otherwise| if status == PolicyStatus::Retired { NO } else { otherwise };
        let again = ApplyScalingPolicy { scaling_policy_id: id(6), ..apply(bare()) };
        assert_eq!(answer(&told.now().apply_again(&again)), open(Answer::Same), "{status}");
        let strict = PolicyTerms { tolerance: Percent::NONE, ..bare() };
        for (other, differs) in [
            (apply(strict), "tolerance"),
            (ApplyScalingPolicy { module_id: name("shop"), ..apply(bare()) }, "service"),
        ] {
            let refused = told.now().apply_again(&other);
            assert_eq!(answer(&refused), open(Answer::Refused(Rule::Scl3)), "{status}");
            if status != PolicyStatus::Retired {
                let refused = refused.unwrap_err();
                let service = ServiceId::of(id(1), &name("cart"));
                assert_eq!(refused, ScalingRefusal::Different { service, differences: Vec::from([differs]) });
                assert!(refused.to_string().ends_with(&["differs in ", differs].concat()), "{refused}");
            }
        }
    }
}

/// Shows X-1.
#[test]
fn only_the_environments_own_tenant_applies_a_policy() {
    let told = in_state(PolicyStatus::Active);
    let given = || apply(bare());
    for stray in [
        ApplyScalingPolicy { tenant_id: id(8), ..given() },
        ApplyScalingPolicy { environment_id: id(8), ..given() },
        ApplyScalingPolicy {
            surface: HostedSurface {
                environment: HostedEnvironment { tenant: id(8), ..given().surface.environment },
                ..given().surface
            },
            ..given()
        },
        ApplyScalingPolicy {
            surface: HostedSurface {
                environment: HostedEnvironment { environment: id(8), ..given().surface.environment },
                ..given().surface
            },
            ..given()
        },
    ] {
        assert_eq!(answer(&ScalingPolicy::apply(&stray)), Answer::Refused(Rule::X1), "{stray:?}");
        assert_eq!(answer(&told.now().apply_again(&stray)), Answer::Refused(Rule::X1), "{stray:?}");
    }
    // Evidence that is in order, of another tenant who asks for the same service.
    let other = ApplyScalingPolicy {
        tenant_id: id(8),
        surface: HostedSurface {
            environment: HostedEnvironment { tenant: id(8), ..given().surface.environment },
            ..given().surface
        },
        ..given()
    };
    let refused = told.now().apply_again(&other).unwrap_err();
    assert!(matches!(refused, ScalingRefusal::Different { differences, .. } if differences == ["tenant"]));
}

/// Shows SCL-3.
#[test]
fn a_policy_is_of_exactly_one_service_and_holds_its_key_until_it_is_retired() {
    for status in PolicyStatus::ALL {
        let told = in_state(status);
        let policy = told.now();
        assert_eq!(policy.service_id(), ServiceId::of(id(1), &name("cart")));
        assert_eq!(policy.modules(), BTreeSet::from([name("cart")]));
        let claims = policy.claims();
        if status == PolicyStatus::Retired {
            assert_eq!(claims, BTreeSet::new());
        } else {
            assert_eq!(claims, BTreeSet::from([Claim::scaling_policy(id(1), &name("cart"))]));
            let key = claims.first().unwrap().key.clone();
            assert_eq!(key, "scaling-policy/env_00000000000000000000000000000001/cart");
        }
        assert_refused(policy, "SCL-3", |record| record["module_id"] = "shop".into());
        assert_refused(policy, "SCL-3", |record| {
            record["service_id"] = "svc_00000000000000000000000000000004".into();
        });
    }
}

#[test]
fn a_policy_says_what_it_is() {
    for status in PolicyStatus::ALL {
        assert_eq!(status.to_string(), status.name());
        let told = in_state(status);
        let policy = told.now();
        assert_eq!(Aggregate::status(policy), status.name());
        assert_eq!((policy.id(), policy.tenant_id(), policy.environment_id()), (id(5), id(2), id(1)));
        assert_eq!((policy.uuid(), policy.tenant()), (uuid::Uuid::from_u128(5), id(2)));
        assert_eq!((policy.environment(), policy.module_id()), (id(1), &name("cart")));
        assert_eq!((policy.target(), policy.rules()), (SurfaceKind::Kubernetes, &bare().rules[..]));
        assert_eq!((policy.min_replicas(), policy.max_replicas()), (2, replicas(10)));
        assert_eq!(policy.target_utilization_percent(), Percent::new(50).ok());
        assert_eq!((policy.scale_to_zero(), policy.cooldown().as_secs()), (false, 0));
        assert_eq!((policy.applied_at(), policy.applied()), (at(0), &[][..]));
        assert_eq!(policy.owns_replicas(), status != PolicyStatus::Retired);
        assert_eq!(policy.spec(), &spec(bare()));
    }
    assert_eq!(PolicyStatus::ALL.map(PolicyStatus::name), ["Active", "Violated", "Suspended", "Retired"]);
    let to_zero = applied(queued());
    assert_eq!((to_zero.now().scale_to_zero(), to_zero.now().min_replicas()), (true, 0));
    assert_eq!(to_zero.now().target_utilization_percent(), None);
}

#[test]
fn a_command_names_itself_and_what_it_rests_on() {
    let names = table().into_iter().map(|(command, _)| command.name()).collect::<BTreeSet<_>>();
    let expected = [
        "ChangePolicy",
        "RecordActivation",
        "RecordEvaluation",
        "RecordScaled",
        "ResumeScaling",
        "RetirePolicy",
        "SuspendScaling",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    let kind = AggregateKind::RuntimeEnvironment;
    let fact = EvidenceRef { kind, id: uuid::Uuid::from_u128(1), revision: Revision(3) };
    assert_eq!(apply(bare()).evidence(), fact);
}

#[test]
fn scaling_stops_for_a_reason_or_not_at_all() {
    for reason in [String::new(), " \n".to_string(), "x".repeat(2_001)] {
        for status in [PolicyStatus::Active, PolicyStatus::Violated] {
            let told = in_state(status);
            let suspend = ScalingCommand::SuspendScaling { reason: reason.clone() };
            assert_eq!(answer(&told.now().decide(&suspend, at(30))), Answer::Refused(Rule::Content));
            let retire = ScalingCommand::RetirePolicy { reason: reason.clone() };
            assert_eq!(answer(&told.now().decide(&retire, at(30))), Answer::Refused(Rule::Content));
        }
    }
}

#[test]
fn a_reconciler_is_woken_for_the_next_evaluation_and_never_while_nothing_scales() {
    let mut told = applied(bare());
    assert_eq!(told.now().wake_at(), Some(at(0)));
    told.evaluate(cpu(4, 50, 7), 7);
    assert_eq!(told.now().wake_at(), Some(at(22)));
    told.command(&change(9), 8).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(8)));
    told.command(&suspend(), 9).unwrap();
    assert_eq!(told.now().wake_at(), None);
    assert_eq!(in_state(PolicyStatus::Retired).now().wake_at(), None);
    assert_eq!(in_state(PolicyStatus::Violated).now().wake_at(), Some(at(30)));
}

/// Shows SCL-1, SCL-2.
#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 100, 15), 15);
    let policy = told.now();
    assert_schema_is_kept(policy);
    let bounds = |record: &mut serde_json::Value, name: &str, value: serde_json::Value| {
        record["policy"]["bounds"][name] = value;
    };
    assert_refused(policy, "SCHEMA", |record| bounds(record, "min_replicas", 11.into()));
    assert_refused(policy, "SCHEMA", |record| bounds(record, "min_replicas", 0.into()));
    assert_refused(policy, "SCHEMA", |record| record["policy"]["rules"] = serde_json::json!([]));
    assert_refused(policy, "SCHEMA", |record| record["tenant_id"] = record["environment_id"].clone());
    let watch = |record: &mut serde_json::Value, path: &str, value: serde_json::Value| {
        *record.pointer_mut(&["/state/Active", path].concat()).unwrap() = value;
    };
    assert_refused(policy, "LIFECYCLE", |record| watch(record, "/observed", 8.into()));
    assert_refused(policy, "LIFECYCLE", |record| {
        watch(record, "/history/evaluated_at", serde_json::Value::Null);
    });
    assert_refused(policy, "SCL-1", |record| watch(record, "/wanted/to", 1.into()));
    assert_refused(policy, "LIFECYCLE", |record| watch(record, "/wanted/from", 8.into()));
    let stamp = serde_json::to_value(at(1)).unwrap();
    let unevaluated = applied(bare());
    for found in ["idle_since", "short_since"] {
        assert_refused(unevaluated.now(), "CONTENT", |record| {
            watch(record, &["/history/", found].concat(), stamp.clone());
        });
    }
    let change = serde_json::json!({ "at": stamp, "from": 1, "to": 2 });
    assert_refused(policy, "CONTENT", |record| {
        watch(record, "/history/changes", serde_json::Value::from(alloc::vec![change.clone(); 33]));
    });
    let slot = serde_json::json!({ "since": at(2), "until": at(1), "least": 1, "greatest": 1 });
    assert_refused(policy, "CONTENT", |record| watch(record, "/history/slots", serde_json::json!([slot])));
    let slot = serde_json::json!({ "since": at(1), "until": at(1), "least": 2, "greatest": 1 });
    assert_refused(policy, "CONTENT", |record| watch(record, "/history/slots", serde_json::json!([slot])));
    assert_refused(policy, "CONTENT", |record| {
        record["applied"] = serde_json::Value::from(alloc::vec![change.clone(); 33]);
    });
    assert_refused(policy, "CONTENT", |record| {
        record["applied"] = serde_json::json!([{ "at": at(1), "from": 2, "to": 2 }]);
    });
    for (status, name) in [(PolicyStatus::Suspended, "Suspended"), (PolicyStatus::Retired, "Retired")] {
        let told = in_state(status);
        assert_refused(told.now(), "CONTENT", |record| record["state"][name]["reason"] = "".into());
    }
    let violated = in_state(PolicyStatus::Violated);
    let violations = [
        serde_json::json!({ "out-of-bounds": { "observed": 10, "least": 2, "most": 10 } }),
        serde_json::json!({ "metrics-missing": { "signals": [], "since": at(1) } }),
        serde_json::json!({ "target-missed": { "most": 9, "since": at(1) } }),
    ];
    for violation in violations {
        assert_refused(violated.now(), "LIFECYCLE", |record| {
            record["state"]["Violated"]["violation"] = violation;
        });
    }
}

#[test]
fn every_event_but_the_first_is_refused_before_it_and_the_first_after_it() {
    for status in PolicyStatus::ALL {
        let told = in_state(status);
        for (event, when) in &told.history[1..] {
            assert!(ScalingPolicy::evolve(None, event, *when).is_err(), "{event:?}");
        }
        let (first, when) = &told.history[0];
        let refused = ScalingPolicy::evolve(told.state.clone(), first, *when).unwrap_err();
        assert_eq!((refused.event, refused.state), ("ScalingPolicyApplied", status.name()));
    }
    let everything = [
        ScalingEvent::ScalingPolicyKept,
        ScalingEvent::ScalingResumed,
        ScalingEvent::ReplicasObserved { observed: 3 },
        ScalingEvent::ScalingSuspended { reason: "x".to_string() },
    ];
    let fits = |event: &ScalingEvent, status: PolicyStatus| {
        ScalingPolicy::evolve(in_state(status).state, event, at(99)).is_ok()
    };
    let table = everything.map(|event| PolicyStatus::ALL.map(|status| fits(&event, status)));
    let expected = [
        [false, true, false, false],
        [false, false, true, false],
        [true, true, false, false],
        [true, true, false, false],
    ];
    assert_eq!(table, expected);
}
