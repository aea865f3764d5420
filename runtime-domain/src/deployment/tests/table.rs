//! Every command in every state, as the table in the context's docs says.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::world::*;
use crate::aggregate::Aggregate;
use crate::calendar::{Activity, BreakGlass, Clearance};
use crate::deployment::*;
use crate::refusal::{Refusal, Rule};
use crate::rollout::{GateIndex, Track};
use crate::scope::Actor;
use crate::surface::EffectId;
use crate::testing::assert_called;
use crate::time::Span;
use crate::value::Revision;

fn abort() -> DeploymentCommand {
    DeploymentCommand::Abort { reason: "stop".to_string() }
}

/// A deployment in each of the eight states, the approval `go` waited for in the first.
fn in_state(status: DeploymentStatus) -> World {
    let v1 = release(vec![component("cart", 1, 2)], rolling(), vec![]);
    let gates = if status == DeploymentStatus::Requested || status == DeploymentStatus::Rejected {
        vec![approval_gate("go", 1)]
    } else {
        vec![]
    };
    let v2 = release(vec![component("cart", 2, 2)], blue_green(), gates);
    let (mut world, first) = World::serving(v1);
    world.request(2, v2, &[&first]).unwrap();
    let until = |world: &mut World, reached: fn(&World) -> bool| {
        for _ in 0..500 {
            if reached(world) {
                return;
            }
            match world.deployment().next(world.now) {
                crate::rollout::Next::Act(actions) => {
                    if let Some(action) = actions.first() {
                        world.act(action);
                    }
                }
                crate::rollout::Next::Wait(at) => world.now = at,
                _ => {}
            }
        }
        panic!("not reached: {:?}", world.status());
    };
    match status {
        DeploymentStatus::Requested => {}
        DeploymentStatus::InProgress => {
            until(&mut world, |world| world.status() == DeploymentStatus::InProgress)
        }
        DeploymentStatus::Paused => {
            until(&mut world, |world| world.status() == DeploymentStatus::InProgress);
            world.command(&DeploymentCommand::Pause { reason: "look".to_string() }).unwrap();
        }
        DeploymentStatus::RollingBack => {
            until(&mut world, |world| world.changes.len() >= 2);
            world.command(&abort()).unwrap();
        }
        DeploymentStatus::Completed => world.settle(),
        DeploymentStatus::RolledBack => {
            until(&mut world, |world| world.changes.len() >= 2);
            world.command(&abort()).unwrap();
            world.settle();
        }
        DeploymentStatus::Rejected => {
            world.command(&abort()).unwrap();
        }
        DeploymentStatus::Failed => {
            until(&mut world, |world| world.changes.len() >= 2);
            let stable = world.deployment().restore_points().values().next().unwrap().revision.clone();
            world.broken.insert(stable);
            world.command(&abort()).unwrap();
            world.settle();
        }
    }
    assert_eq!(world.status(), status);
    world
}

fn people_commands() -> Vec<DeploymentCommand> {
    let by = Actor::new("ann").unwrap();
    vec![
        DeploymentCommand::Approve { gate: module("go"), by: by.clone() },
        DeploymentCommand::Reject { gate: module("go"), by, reason: "no".to_string() },
        DeploymentCommand::Pause { reason: "look".to_string() },
        DeploymentCommand::Resume,
        DeploymentCommand::PromoteNow,
        abort(),
        DeploymentCommand::ReleaseQuarantine { reason: "repaired".to_string() },
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Changes,
    Same,
    Refused(Rule),
}

#[test]
fn every_command_of_people_in_every_state_is_answered_as_the_table_says() {
    use Answer::{Changes, Refused, Same};
    let no = Refused(Rule::Lifecycle);
    // Without the gate `go` there is nothing to approve.
    let none = Refused(Rule::Dep1);
    let table = [
        (DeploymentStatus::Requested, [Changes, Changes, Changes, Same, no, Changes, no]),
        (DeploymentStatus::InProgress, [none, none, Changes, Same, Changes, Changes, no]),
        (DeploymentStatus::Paused, [none, none, Same, Changes, Changes, Changes, no]),
        (DeploymentStatus::RollingBack, [no, no, no, no, no, Same, no]),
        (DeploymentStatus::Completed, [no, no, no, no, no, no, no]),
        (DeploymentStatus::RolledBack, [no, no, no, no, no, Same, Changes]),
        (DeploymentStatus::Rejected, [no, no, no, no, no, Same, no]),
        (DeploymentStatus::Failed, [no, no, no, no, no, Same, Changes]),
    ];
    assert_eq!(table.map(|(status, _)| status), DeploymentStatus::ALL);
    for (status, answers) in table {
        let world = in_state(status);
        for (command, expected) in people_commands().into_iter().zip(answers) {
            assert_called(&command, command.name());
            let answer = match world.deployment().decide(&command, world.now) {
                Ok(decision) if decision.is_unchanged() => Same,
                Ok(_) => Changes,
                Err(refusal) => {
                    assert!(!refusal.remedy().is_empty());
                    Refused(refusal.rule())
                }
            };
            assert_eq!(answer, expected, "{} while {status:?}", command.name());
        }
    }
}

/// What reconcilers report, each as it would come for the deployment's first effect and first gate.
fn reports(world: &World) -> Vec<DeploymentCommand> {
    let effect = EffectId::of(deployment_id(2), 1);
    vec![
        DeploymentCommand::RecordIntention { track: Track::Component(module("cart")), job: None },
        DeploymentCommand::RecordOutcome { effect, outcome: EffectOutcome::Done },
        DeploymentCommand::RecordObservation { observation: world.observe(&module("cart")) },
        DeploymentCommand::RecordProbes { gate: GateIndex(0), results: vec![] },
        DeploymentCommand::RecordReading { gate: GateIndex(0), reading: Err("gone".to_string()) },
        DeploymentCommand::RecordJob { gate: GateIndex(0), report: JobReport::Succeeded },
        DeploymentCommand::Tick,
    ]
}

#[test]
fn every_report_in_every_state_that_is_not_final_is_counted_only_where_it_is_waited_for() {
    use Answer::{Changes, Same};
    let table = [
        // An approval is waited for: nothing was intended yet.
        (DeploymentStatus::Requested, [Same, Same, Same, Same, Same, Same, Same]),
        // The first effect is intended: its outcome is what is waited for.
        (DeploymentStatus::InProgress, [Same, Changes, Same, Same, Same, Same, Same]),
        // What was under way when it was paused may still end; nothing else counts.
        (DeploymentStatus::Paused, [Same, Changes, Same, Same, Same, Same, Same]),
        // The way back begins with an intention of its own; the outcome of a forward effect is late.
        (DeploymentStatus::RollingBack, [Changes, Same, Same, Same, Same, Same, Same]),
    ];
    for (status, answers) in table {
        let world = in_state(status);
        for (report, expected) in reports(&world).into_iter().zip(answers) {
            assert_called(&report, report.name());
            let decision = world.deployment().decide(&report, world.now).unwrap();
            let answer = if decision.is_unchanged() { Same } else { Changes };
            assert_eq!(answer, expected, "{} while {status:?}", report.name());
        }
    }
}

#[test]
fn late_reports_change_nothing_once_a_deployment_has_ended() {
    let ended = DeploymentStatus::ALL.into_iter().filter(|status| status.is_final());
    for status in ended {
        let world = in_state(status);
        for report in reports(&world) {
            let decision =
                world.deployment().decide(&report, Span::from_secs(999_999).after(world.now)).unwrap();
            assert!(decision.is_unchanged(), "{} while {status:?}", report.name());
        }
    }
}

/// Shows DEP-2.
#[test]
fn only_a_completed_deployment_can_be_gone_back_to() {
    for status in DeploymentStatus::ALL {
        let world = in_state(status);
        match world.deployment().rollback_point(Revision(3)) {
            Ok(point) => {
                assert_eq!(status, DeploymentStatus::Completed);
                assert_eq!(point.deployment(), deployment_id(2));
            }
            Err(refusal) => assert_eq!(refusal.rule(), Rule::Dep2, "{status:?}"),
        }
    }
}

/// Shows DEP-3.
#[test]
fn a_deployment_holds_its_components_exactly_while_it_is_in_flight() {
    for status in DeploymentStatus::ALL {
        let world = in_state(status);
        let in_flight = crate::claim::Claim::in_flight(environment(), &module("cart"));
        assert_eq!(world.deployment().claims().contains(&in_flight), !status.is_final(), "{status:?}");
    }
}

#[test]
fn a_rolled_back_image_stays_out_until_it_is_released() {
    let mut world = in_state(DeploymentStatus::RolledBack);
    let quarantine = crate::claim::Claim::quarantine(environment(), &module("cart"), &digest(2));
    assert!(world.deployment().claims().contains(&quarantine));
    world.command(&DeploymentCommand::ReleaseQuarantine { reason: "false alarm".to_string() }).unwrap();
    assert!(!world.deployment().claims().contains(&quarantine));
}

/// Shows DEP-1, DEP-2.
#[test]
fn a_damaged_record_is_refused_with_the_rule_it_breaks() {
    let world = in_state(DeploymentStatus::Completed);
    let record = serde_json::to_value(world.deployment().to_record()).unwrap();
    let refused = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut record = record.clone();
        edit(&mut record);
        let record: RuntimeDeploymentRecord = serde_json::from_value(record).unwrap();
        RuntimeDeployment::from_record(1, record).map(|_| "loaded").unwrap_err().rule
    };
    assert_eq!(refused(&|record| record["gates"][0]["status"] = "pending".into()), "DEP-1");
    assert_eq!(
        refused(&|record| record["restore_points"]["cart"]["revision"] =
            alloc::format!("cart@{}", deployment_id(2)).into()),
        "DEP-2"
    );
    assert_eq!(
        refused(&|record| record["restore_points"]["cart"]["component"]["module"] = "pay".into()),
        "DEP-2"
    );
    assert_eq!(refused(&|record| record["numbers"] = serde_json::json!({})), "DEP-3");
    assert_eq!(refused(&|record| record["touched"] = serde_json::json!([])), "SVC-1");
    assert_eq!(refused(&|record| record["started_at"] = serde_json::Value::Null), "SVC-1");
    assert_eq!(
        refused(&|record| {
            record["touched"] = serde_json::json!([]);
            record["started_at"] = serde_json::Value::Null;
        }),
        "LIFECYCLE"
    );
    let record: RuntimeDeploymentRecord = serde_json::from_value(record).unwrap();
    assert_eq!(RuntimeDeployment::from_record(2, record).unwrap_err().rule, "SCHEMA");
}

#[test]
fn a_stored_count_of_effects_at_its_end_numbers_no_more_and_does_no_harm() {
    let world = in_state(DeploymentStatus::InProgress);
    let mut form = serde_json::to_value(world.deployment().to_record()).unwrap();
    form["intentions"] = u32::MAX.into();
    form["state"]["progress"]["tracks"]["component/cart"]["effect"] = "clear".into();
    let deployment = RuntimeDeployment::from_record(1, serde_json::from_value(form).unwrap()).unwrap();
    let intend = DeploymentCommand::RecordIntention { track: Track::Component(module("cart")), job: None };
    let decision = deployment.decide(&intend, world.now).unwrap();
    assert!(decision.is_unchanged(), "{decision:?}");
    assert_eq!(decision.explanation, "no effect can be numbered any more");
}

#[test]
fn a_rollback_goes_to_an_earlier_completed_deployment_at_once() {
    let v1 = release(vec![component("cart", 1, 2)], rolling(), vec![]);
    let (mut world, first) = World::serving(v1);
    world.request(2, release(vec![component("cart", 2, 2)], canary(), vec![]), &[&first]).unwrap();
    world.settle();
    let second = world.deployment().clone();
    let back = |target: &RuntimeDeployment| RequestRollback {
        deployment_id: deployment_id(3),
        target: target.rollback_point(Revision(4)).unwrap(),
        admission: admission(),
        previous: vec![second.rollback_point(Revision(5)).unwrap()],
        seen: Default::default(),
        scaled: Default::default(),
        numbers: [(module("cart"), 3)].into(),
        surfaces: surfaces(),
    };
    let same = RuntimeDeployment::request_rollback(back(&second)).unwrap_err();
    assert_eq!(same, DeploymentRefusal::AlreadyServing { deployment: deployment_id(2) });

    let decision = RuntimeDeployment::request_rollback(back(&first)).unwrap();
    let mut deployment = None;
    for event in &decision.events {
        deployment = Some(RuntimeDeployment::evolve(deployment, event, world.now).unwrap());
    }
    world.deployment = deployment;
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
    assert_eq!(world.deployment().purpose(), Purpose::Rollback { to: deployment_id(1) });
    let left =
        |deployment: &RuntimeDeployment| deployment.rollback_point(Revision(6)).unwrap().left().clone();
    assert_eq!(left(world.deployment()), [(module("cart"), digest(2))].into());
    assert!(left(&first).is_empty() && left(&second).is_empty(), "a rollout goes back from nothing");
    let revision = crate::component::RevisionId::new(module("cart"), deployment_id(3));
    world.assert_serves_alone(&revision, 2);
    assert_eq!(world.revisions.get(&revision).map(|(_, image)| image.clone()), Some(digest(1)));
}

#[test]
fn a_rollout_takes_a_clearance_of_its_own_environment_for_deployments_only() {
    let asked = |clearance| {
        let component = component("cart", 1, 1);
        let request =
            RequestDeployment { clearance, ..request(1, release(vec![component], rolling(), vec![]), &[]) };
        RuntimeDeployment::request(request, start())
    };
    assert!(asked(clearance()).is_ok());
    let other = crate::testing::id(77);
    let strays = [
        Clearance { tenant: crate::testing::id(77), ..clearance() },
        Clearance { environment: other, ..clearance() },
        Clearance { activity: Activity::Configuration, ..clearance() },
    ];
    for stray in strays {
        assert_eq!(asked(stray).unwrap_err(), DeploymentRefusal::ForeignEvidence);
    }
}

#[test]
fn broken_glass_is_kept_with_what_it_let_through() {
    let glass = BreakGlass { by: Actor::new("ada").unwrap(), reason: "customers cannot pay".to_string() };
    let clearance = Clearance { break_glass: Some(glass.clone()), ..clearance() };
    let component = component("cart", 1, 1);
    let request =
        RequestDeployment { clearance, ..request(1, release(vec![component], rolling(), vec![]), &[]) };
    let decision = RuntimeDeployment::request(request, start()).unwrap();
    let DeploymentEvent::RuntimeDeploymentRequested(requested) = &decision.events[0] else { panic!() };
    assert_eq!(requested.break_glass, Some(glass));
    assert!(
        decision.explanation.ends_with("; ada broke the glass: customers cannot pay"),
        "{}",
        decision.explanation
    );
}

#[test]
fn a_request_rests_on_each_fact_once() {
    let facts = |at| {
        let component = component("cart", 1, 1);
        let clearance = Clearance { at, ..clearance() };
        RequestDeployment { clearance, ..request(1, release(vec![component], rolling(), vec![]), &[]) }
            .evidence()
    };
    assert_eq!(facts(Revision::FIRST).len(), 1);
    assert_eq!(facts(Revision(2)).len(), 2, "two revisions of one environment cannot both be current");
}
