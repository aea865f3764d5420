//! Bugs that others shipped, each a small scenario: theirs named in the comment, ours in the assertion.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::world::*;
use crate::component::{ComponentSpec, ConfigurationVersionRef, RevisionId, VariableName};
use crate::deployment::*;
use crate::id::ConfigurationId;
use crate::refusal::{Refusal, Rule};
use crate::rollout::PlanRefusal;
use crate::scope::Actor;
use crate::surface::TrafficControl;
use crate::time::Span;

fn old() -> RevisionId {
    RevisionId::new(module("cart"), deployment_id(1))
}
fn new() -> RevisionId {
    RevisionId::new(module("cart"), deployment_id(2))
}
fn abort() -> DeploymentCommand {
    DeploymentCommand::Abort { reason: "stop".to_string() }
}

fn upgrading(strategy: crate::rollout::DeploymentStrategy, gates: Vec<crate::rollout::GateSpec>) -> World {
    let (mut world, first) = World::serving(release(vec![component("cart", 1, 3)], rolling(), vec![]));
    world.request(2, release(vec![component("cart", 2, 3)], strategy, gates), &[&first]).unwrap();
    world
}

// argo-rollouts#1292: an abort with nothing in flight scaled the stable revision to 0.
#[test]
fn an_abort_with_nothing_in_flight_leaves_the_stable_revision_at_full_capacity() {
    let mut world = upgrading(canary(), vec![]);
    world.command(&abort()).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Rejected);
    world.assert_serves_alone(&old(), 3);
}

// argo-rollouts#1297, #2669: the code rolled back, the configuration did not.
/// Shows X-6.
#[test]
fn code_and_configuration_go_back_as_one() {
    let mut v1 = component("cart", 1, 1);
    let configured = |number| ConfigurationVersionRef {
        configuration: ConfigurationId::from_uuid(uuid::Uuid::from_u128(number)),
        checksum: crate::configuration::Checksum::new(&alloc::format!("sha256:{number:064x}")).unwrap(),
    };
    v1.tuple.configuration = Some(configured(1));
    let carrying = |release: Release, number| Release {
        configuration_id: Some(ConfigurationId::from_uuid(uuid::Uuid::from_u128(number))),
        ..release
    };
    let (mut world, first) = World::serving(carrying(release(vec![v1.clone()], rolling(), vec![]), 1));
    let mut v2 = component("cart", 2, 1);
    v2.tuple.configuration = Some(configured(2));
    world.request(2, carrying(release(vec![v2], canary(), vec![]), 2), &[&first]).unwrap();
    let point = world.deployment().restore_points().get(&module("cart")).unwrap();
    assert_eq!(point.component.tuple, v1.tuple);
}

// flagger#1011: no traffic, and the canary was advanced in silence, or failed for nothing.
#[test]
fn a_canary_without_traffic_is_neither_promoted_nor_failed_but_waits_for_a_person() {
    let mut world = upgrading(canary(), vec![metric_gate("errors")]);
    world.metric = None;
    world.samples = 0;
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Paused);
    world.metric = Some(crate::value::Measure::from_units(0));
    world.samples = 100;
    world.command(&DeploymentCommand::Resume).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
}

// argo-rollouts#4128: failing pods, and the abort had no effect. kubernetes#67250: the rollback waited for the broken pod.
#[test]
fn a_rollback_does_not_wait_for_the_broken_revision() {
    let mut world = upgrading(blue_green(), vec![]);
    world.broken.insert(new());
    for _ in 0..6 {
        if let crate::rollout::Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.command(&abort()).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    world.assert_serves_alone(&old(), 3);
}

// argo-rollouts#4479, #521: "Successful" though every measurement was an error.
#[test]
fn a_gate_whose_every_reading_is_an_error_does_not_pass() {
    let mut world = upgrading(canary(), vec![metric_gate("errors")]);
    world.metric = None;
    world.settle();
    let passed = world.deployment().gates().iter().filter(|gate| gate.has_passed()).count();
    assert_eq!(passed, 1, "only readiness");
    assert_eq!(world.status(), DeploymentStatus::Paused);
}

// argo-rollouts#1411: the analysis failed, and the rollout completed anyway.
/// Shows DEP-1.
#[test]
fn a_failed_gate_rolls_back_to_the_previous_release() {
    let mut world = upgrading(canary(), vec![metric_gate("errors")]);
    world.metric = Some("0.5".parse().unwrap());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    world.assert_serves_alone(&old(), 3);
}

// argo-rollouts#3110, #1774: a broken stable revision blocked the fix.
#[test]
fn a_broken_stable_revision_does_not_block_the_fix() {
    let mut world = upgrading(blue_green(), vec![]);
    world.broken.insert(old());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
    world.assert_serves_alone(&new(), 3);
}

// flagger#1931: rolled back to a broken primary and deleted the healthy canary.
#[test]
fn a_healthy_new_revision_is_not_deleted_while_the_old_one_cannot_serve() {
    let mut world = upgrading(canary(), vec![]);
    while world.traffic.get(&module("cart")).is_none_or(|traffic| !traffic.revisions().contains(&&new())) {
        if let crate::rollout::Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.broken.insert(old());
    world.command(&abort()).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Failed);
    assert!(world.revisions.contains_key(&new()), "what can serve is left alone");
}

// nomad#10465: a rollout stalled past both of its deadlines.
#[test]
fn a_component_that_never_becomes_ready_is_rolled_back_within_its_deadline() {
    let mut world = upgrading(rolling(), vec![]);
    world.broken.insert(new());
    let begun = world.now;
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    assert!(Span::between(begun, world.now) <= Span::from_secs(700));
    world.assert_serves_alone(&old(), 3);
}

#[test]
fn a_component_that_exits_at_once_is_rolled_back_before_its_deadline() {
    let mut world = upgrading(rolling(), vec![]);
    world.crashing.insert(new());
    let begun = world.now;
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    assert!(Span::between(begun, world.now) < Span::from_secs(60));
}

// argo-cd#25475: the migration hook was skipped.
#[test]
fn a_migration_runs_once_and_before_any_workload_is_touched() {
    let mut world = upgrading(blue_green(), vec![job_gate("migrate")]);
    while world.jobs_started == 0 {
        assert!(world.changes.is_empty());
        if let crate::rollout::Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
    assert_eq!(world.jobs_started, 1);
}

#[test]
fn a_migration_that_fails_or_whose_end_is_unknown_touches_no_workload() {
    for (report, expected) in [
        (JobReport::Failed { detail: "exit 1".to_string() }, DeploymentStatus::Rejected),
        (JobReport::Unknown { detail: "host died".to_string() }, DeploymentStatus::Paused),
    ] {
        let mut world = upgrading(blue_green(), vec![job_gate("migrate")]);
        world.job = report;
        world.settle();
        assert_eq!(world.status(), expected);
        assert!(world.changes.is_empty());
        world.assert_serves_alone(&old(), 3);
    }
}

#[test]
fn an_approval_needs_as_many_different_people_as_it_says() {
    let mut world = upgrading(rolling(), vec![approval_gate("go", 2)]);
    let approve = |by: &str| DeploymentCommand::Approve { gate: module("go"), by: Actor::new(by).unwrap() };
    world.settle();
    assert!(world.command(&approve("ann")).unwrap());
    assert!(!world.command(&approve("ann")).unwrap(), "the same person twice counts once");
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Requested);
    world.command(&approve("bob")).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
}

#[test]
fn a_rejected_approval_ends_it_before_anything_is_touched() {
    let mut world = upgrading(rolling(), vec![approval_gate("go", 1)]);
    world.settle();
    let reject = DeploymentCommand::Reject {
        gate: module("go"),
        by: Actor::new("ann").unwrap(),
        reason: "friday".to_string(),
    };
    world.command(&reject).unwrap();
    assert_eq!(world.status(), DeploymentStatus::Rejected);
    assert!(world.changes.is_empty());
}

/// Shows DEP-1.
#[test]
fn one_who_disagreed_while_it_was_paused_is_not_outvoted_afterwards() {
    let mut world = upgrading(rolling(), vec![approval_gate("go", 1)]);
    world.settle();
    world.command(&DeploymentCommand::Pause { reason: "look".to_string() }).unwrap();
    let (gate, ann, bob) = (module("go"), Actor::new("ann").unwrap(), Actor::new("bob").unwrap());
    let reject = DeploymentCommand::Reject { gate: gate.clone(), by: ann, reason: "friday".to_string() };
    world.command(&reject).unwrap();
    let refused = world.command(&DeploymentCommand::Approve { gate: gate.clone(), by: bob }).unwrap_err();
    assert_eq!(refused, DeploymentRefusal::NoSuchApproval { gate: gate.clone() });
    assert_eq!(world.command(&reject).unwrap_err(), DeploymentRefusal::NoSuchApproval { gate });
    world.command(&DeploymentCommand::Resume).unwrap();
    assert_eq!(world.status(), DeploymentStatus::Rejected);
}

#[test]
fn promoting_skips_what_waits_and_nothing_that_judges() {
    let mut world = upgrading(canary(), vec![metric_gate("errors")]);
    while world.status() != DeploymentStatus::InProgress {
        if let crate::rollout::Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.command(&DeploymentCommand::PromoteNow).unwrap();
    world.metric = Some("0.5".parse().unwrap());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
}

#[test]
fn a_plan_that_the_surface_cannot_honour_is_refused_before_anything_moves() {
    let (_, first) = World::serving(release(vec![component("cart", 1, 3)], rolling(), vec![]));
    let mut asked = request(2, release(vec![component("cart", 2, 3)], canary(), vec![]), &[&first]);
    for surface in asked.surfaces.values_mut() {
        surface.traffic = TrafficControl::PerInstance;
    }
    let refusal = RuntimeDeployment::request(asked, start()).unwrap_err();
    assert_eq!(refusal.rule(), Rule::Capability);
}

#[test]
fn components_that_depend_on_each_other_in_a_circle_are_refused_by_name() {
    let mut cart = component("cart", 1, 1);
    let mut pay = component("pay", 1, 1);
    cart.depends_on.insert(module("pay"));
    pay.depends_on.insert(module("cart"));
    let refusal =
        RuntimeDeployment::request(request(1, release(vec![cart, pay], rolling(), vec![]), &[]), start())
            .unwrap_err();
    assert_eq!(refusal, PlanRefusal::DependencyCycle { modules: "cart, pay".to_string() }.into());
}

// nomad#10098: three versions were live.
#[test]
fn what_an_earlier_deployment_left_behind_is_retired_by_the_next() {
    let (mut world, first) = World::serving(release(vec![component("cart", 1, 3)], rolling(), vec![]));
    let left = RevisionId::new(module("cart"), deployment_id(9));
    world.revisions.insert(left.clone(), (2, digest(9)));
    let mut asked = request(2, release(vec![component("cart", 2, 3)], blue_green(), vec![]), &[&first]);
    asked.seen = [(module("cart"), [(old(), 3), (left, 2)].into())].into();
    world.begin(RuntimeDeployment::request(asked, start()).unwrap());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
    world.assert_serves_alone(&new(), 3);
}

// argo-rollouts#3848: what a scaler did was forgotten.
#[test]
fn what_was_scaled_out_comes_back_at_that_capacity() {
    let (mut world, first) = World::serving(release(vec![component("cart", 1, 2)], rolling(), vec![]));
    world.revisions.insert(old(), (5, digest(1)));
    let mut asked =
        request(2, release(vec![component("cart", 2, 2)], canary(), vec![metric_gate("errors")]), &[&first]);
    asked.seen = [(module("cart"), [(old(), 5)].into())].into();
    world.begin(RuntimeDeployment::request(asked, start()).unwrap());
    world.metric = Some("0.5".parse().unwrap());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    world.assert_serves_alone(&old(), 5);
}

/// Shows CFG-2, X-11.
#[test]
fn a_plain_variable_that_looks_like_a_secret_is_refused_and_not_repeated() {
    use crate::rollout::GateCheck;

    let secret = alloc::format!("ghp_{}", "a1B2".repeat(9));
    let variables = |name: &str, value: &str| [(VariableName::new(name).unwrap(), value.to_string())].into();
    let refused = |cart: ComponentSpec, gates| {
        let asked = request(2, release(vec![cart], rolling(), gates), &[]);
        let refusal = RuntimeDeployment::request(asked, start()).unwrap_err();
        assert_eq!(refusal.rule(), Rule::Cfg2);
        let told = alloc::format!("{refusal} {refusal:?} {}", refusal.remedy());
        assert!(!told.contains(&secret), "{told}");
        assert!(told.contains("SecretBinding"), "{told}");
        refusal.to_string()
    };
    let with = |name: &str, value: &str| ComponentSpec {
        variables: variables(name, value),
        ..component("cart", 1, 1)
    };
    let told = refused(with("GREETING", &secret), vec![]);
    assert!(told.starts_with("the variable `GREETING` of `cart` looks like"), "{told}");
    let told = refused(with(&secret, "hello"), vec![]);
    assert!(told.starts_with("the variable of `cart` looks like"), "{told}");
    refused(with("DB_PASSWORD", "hunter2"), vec![]);
    let mut gate = job_gate("migrate");
    let GateCheck::Job(job) = &mut gate.check else { panic!() };
    job.variables = variables("GREETING", &secret);
    let told = refused(component("cart", 1, 1), vec![gate]);
    assert!(told.contains("of `migrate`"), "{told}");
    let asked = request(2, release(vec![with("GREETING", "hello")], rolling(), vec![]), &[]);
    assert!(RuntimeDeployment::request(asked, start()).is_ok());
}
