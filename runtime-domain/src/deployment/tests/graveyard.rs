//! Bugs that others shipped, each a small scenario: theirs and ours in the comment, ours in the assertion. See GRAVEYARD.md.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::world::*;
use crate::component::{ComponentSpec, ConfigurationVersionRef, RevisionId, VariableName};
use crate::deployment::*;
use crate::id::ConfigurationId;
use crate::refusal::{Refusal, Rule};
use crate::rollout::{Action, Next, PlanRefusal};
use crate::scope::Actor;
use crate::surface::{Traffic, TrafficControl};
use crate::time::Span;
use crate::value::Revision;

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

/// Buried: argo-rollouts#1292.
#[test]
fn an_abort_with_nothing_in_flight_leaves_the_stable_revision_at_full_capacity() {
    let mut world = upgrading(canary(), vec![]);
    world.command(&abort()).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Rejected);
    world.assert_serves_alone(&old(), 3);
}

/// Buried: argo-rollouts#1297, argo-rollouts#2669.
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

/// Buried: flagger#1011.
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

/// Buried: argo-rollouts#4128, kubernetes#67250. Theirs: with failing pods an abort had no effect, and a rollback waited for the pod that was
/// broken. Ours: the way back waits for nothing of the new revision.
#[test]
fn a_rollback_does_not_wait_for_the_broken_revision() {
    let mut world = upgrading(blue_green(), vec![]);
    world.broken.insert(new());
    for _ in 0..6 {
        if let Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.command(&abort()).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    world.assert_serves_alone(&old(), 3);
}

/// Buried: argo-rollouts#4479, argo-rollouts#521. Theirs: an analysis was Successful although every measurement of it was an error. Ours: what could
/// not be read is unknown and never a success: the gate does not pass, and people are asked.
#[test]
fn a_gate_whose_every_reading_is_an_error_does_not_pass() {
    let mut world = upgrading(canary(), vec![metric_gate("errors")]);
    world.metric = None;
    world.settle();
    let passed = world.deployment().gates().iter().filter(|gate| gate.has_passed()).count();
    assert_eq!(passed, 1, "only readiness");
    assert_eq!(world.status(), DeploymentStatus::Paused);
}

/// Buried: argo-rollouts#1411. Theirs: an analysis failed, and the rollout completed anyway. Ours: a gate that failed rolls back to the release
/// before.
/// Shows DEP-1.
#[test]
fn a_failed_gate_rolls_back_to_the_previous_release() {
    let mut world = upgrading(canary(), vec![metric_gate("errors")]);
    world.metric = Some("0.5".parse().unwrap());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    world.assert_serves_alone(&old(), 3);
}

/// Buried: argo-rollouts#4612. Theirs: a weight was set before there was capacity for it. Ours: a revision gets a share of the traffic once as large a
/// share of its replicas is ready.
/// Buried: argo-rollouts#2235. Theirs: a route went to a set of which no pod was ready. Ours: what is not ready gets no traffic, and the way back
/// begins without any.
#[test]
fn traffic_goes_only_where_enough_is_ready_for_it() {
    for (strategy, is_broken) in
        [rolling(), blue_green(), canary()].into_iter().flat_map(|it| [(it.clone(), false), (it, true)])
    {
        let mut world = upgrading(strategy, vec![]);
        // Whether an instance is ready is seen a while after it was begun.
        world.broken.insert(new());
        let (mut traffic, mut shifts) = (world.traffic[&module("cart")].clone(), 0);
        for step in 0..2_000 {
            if !is_broken && step == 9 {
                world.broken.remove(&new());
            }
            if !world.step() {
                break;
            }
            let routed = &world.traffic[&module("cart")];
            if *routed == traffic {
                continue;
            }
            (traffic, shifts) = (routed.clone(), shifts + 1);
            let seen = world.observe(&module("cart"));
            for revision in traffic.revisions() {
                let share = match &traffic {
                    Traffic::Weighted(weights) => u16::from(weights.share(revision).get()),
                    Traffic::PerInstance(_) => 1,
                };
                let ready = seen.ready(revision);
                assert!(ready * 100 >= share * 3, "{share} % to {ready} of {revision}");
            }
        }
        let (status, serves) = match is_broken {
            true => (DeploymentStatus::RolledBack, old()),
            false => (DeploymentStatus::Completed, new()),
        };
        assert_eq!((world.status(), shifts > 0), (status, !is_broken));
        world.assert_serves_alone(&serves, 3);
    }
}

/// Buried: flagger#1588. Theirs: a canary was stuck in Promoting, and could not be rolled back. Ours: at whatever step the new revision fails, while it
/// is promoted as well, an abort brings back the old one at full capacity.
#[test]
fn a_rollout_that_is_stuck_at_any_step_can_be_gone_back_from() {
    for (strategy, is_promoted) in
        [rolling(), blue_green(), canary()].into_iter().flat_map(|it| [(it.clone(), false), (it, true)])
    {
        for steps in 0.. {
            let mut world = upgrading(strategy.clone(), vec![metric_gate("errors")]);
            for _ in 0..steps {
                world.step();
                if is_promoted && world.status() == DeploymentStatus::InProgress {
                    world.command(&DeploymentCommand::PromoteNow).unwrap();
                }
            }
            world.broken.insert(new());
            for _ in 0..3 {
                world.step();
            }
            if world.status() == DeploymentStatus::Completed {
                assert!(steps > 8, "{strategy:?}: {steps}");
                break;
            }
            world.command(&abort()).unwrap();
            world.settle();
            let is_back =
                [DeploymentStatus::RolledBack, DeploymentStatus::Rejected].contains(&world.status());
            assert!(is_back, "{strategy:?} after {steps} steps: {:?}", world.status());
            world.assert_serves_alone(&old(), 3);
        }
    }
}

/// Buried: kubernetes#51315. Theirs: revisions were numbered anew with every rollback, and the target that somebody had noted was lost. Ours: a target
/// is the deployment that brought it, and has its name for ever, however often it is gone back to.
#[test]
fn a_rollback_target_keeps_its_name_however_often_it_is_gone_back_to() {
    let of = |version| release(vec![component("cart", version, 2)], rolling(), vec![]);
    let (mut world, first) = World::serving(of(1));
    world.request(2, of(2), &[&first]).unwrap();
    world.settle();
    let second = world.deployment().clone();
    let mut serving = second.clone();
    for (number, target, version) in [(3, &first, 1), (4, &second, 2), (5, &first, 1), (6, &second, 2)] {
        let back = RequestRollback {
            deployment_id: deployment_id(number),
            target: target.rollback_point(Revision(4)).unwrap(),
            admission: admission(),
            previous: vec![serving.rollback_point(Revision(5)).unwrap()],
            seen: Default::default(),
            scaled: Default::default(),
            numbers: [(module("cart"), u32::try_from(number).unwrap())].into(),
            surfaces: surfaces(),
        };
        world.begin(RuntimeDeployment::request_rollback(back).unwrap());
        world.settle();
        serving = world.deployment().clone();
        assert_eq!(serving.status(), DeploymentStatus::Completed);
        assert_eq!(serving.purpose(), Purpose::Rollback { to: target.id() });
        let revision = RevisionId::new(module("cart"), deployment_id(number));
        world.assert_serves_alone(&revision, 2);
        assert_eq!(world.revisions[&revision].1, digest(version));
    }
}

/// Buried: omicron#3085. Theirs: a node that had failed in part was never undone. Ours: what a component had changed before it failed goes back with
/// those that had succeeded, though it was told that nothing was done.
#[test]
fn what_failed_in_part_goes_back_with_what_had_succeeded() {
    let of = |version| {
        let mut pay = component("pay", version, 2);
        pay.depends_on.insert(module("cart"));
        release(vec![component("cart", version, 2), pay], rolling(), vec![])
    };
    let (mut world, first) = World::serving(of(1));
    world.request(2, of(2), &[&first]).unwrap();
    let mut has_failed = false;
    for _ in 0..2_000 {
        if let Next::Act(actions) = world.deployment().next(world.now)
            && let [Action::Perform(effect), ..] = &actions[..]
            && effect.module == Some(module("pay"))
            && !has_failed
        {
            world.perform(effect);
            let outcome = EffectOutcome::Refused { reason: "half of it was done".to_string() };
            world.command(&DeploymentCommand::RecordOutcome { effect: effect.id, outcome }).unwrap();
            has_failed = true;
        } else if !world.step() {
            break;
        }
    }
    let half = RevisionId::new(module("pay"), deployment_id(2));
    assert!(world.changes.iter().any(|change| change.starts_with(&alloc::format!("bring up {half}"))));
    assert_eq!((world.status(), has_failed), (DeploymentStatus::RolledBack, true));
    for name in ["cart", "pay"] {
        world.assert_serves_alone(&RevisionId::new(module(name), deployment_id(1)), 2);
    }
}

/// Buried: argo-cd#4577. Theirs: the next wave began while the one before was still progressing. Ours: nothing is begun of a component before what it
/// depends on serves; and where that never does, nothing ever is.
#[test]
fn nothing_begins_while_what_it_depends_on_is_still_progressing() {
    let mut pay = component("pay", 1, 1);
    pay.depends_on.insert(module("cart"));
    let mut world = World::new();
    world.broken.insert(old());
    world.request(1, release(vec![component("cart", 1, 1), pay], rolling(), vec![]), &[]).unwrap();
    world.settle();
    assert!(world.status().is_final() && world.status() != DeploymentStatus::Completed);
    assert!(world.changes.iter().any(|change| change.starts_with("bring up cart@")));
    assert!(world.changes.iter().all(|change| !change.contains("pay@")), "{:?}", world.changes);
}

/// Buried: argo-rollouts#3110, argo-rollouts#1774. Theirs: a stable revision that was broken kept the rollout that mends it from going on. Ours: the
/// fix completes, and serves alone.
#[test]
fn a_broken_stable_revision_does_not_block_the_fix() {
    let mut world = upgrading(blue_green(), vec![]);
    world.broken.insert(old());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
    world.assert_serves_alone(&new(), 3);
}

/// Buried: flagger#1931. Theirs: rolled back to a broken primary, and deleted the healthy canary. Ours: what can serve is left alone: the deployment
/// has failed, and people are called.
#[test]
fn a_healthy_new_revision_is_not_deleted_while_the_old_one_cannot_serve() {
    let mut world = upgrading(canary(), vec![]);
    while world.traffic.get(&module("cart")).is_none_or(|traffic| !traffic.revisions().contains(&&new())) {
        if let Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.broken.insert(old());
    world.command(&abort()).unwrap();
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Failed);
    assert!(world.revisions.contains_key(&new()), "what can serve is left alone");
}

/// Buried: nomad#10465. Theirs: a deployment stalled past both of its deadlines. Ours: it is rolled back within its deadline, whatever never becomes
/// ready.
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

/// Buried: argo-cd#25475. Theirs: the migration hook was skipped, and the new version rolled out without it. Ours: a migration is a gate before the
/// rollout: it runs once, before any workload is touched.
#[test]
fn a_migration_runs_once_and_before_any_workload_is_touched() {
    let mut world = upgrading(blue_green(), vec![job_gate("migrate")]);
    while world.jobs_started == 0 {
        assert!(world.changes.is_empty());
        if let Next::Act(actions) = world.deployment().next(world.now) {
            world.act(&actions[0]);
        }
    }
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::Completed);
    assert_eq!(world.jobs_started, 1);
}

/// Buried: argo-cd#25475.
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
        if let Next::Act(actions) = world.deployment().next(world.now) {
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
fn a_job_works_for_a_component_of_its_own_release() {
    use crate::rollout::GateCheck;
    let asked = |works_for: &str| {
        let mut gate = job_gate("migrate");
        let GateCheck::Job(job) = &mut gate.check else { panic!() };
        job.component = Some(module(works_for));
        RuntimeDeployment::request(
            request(1, release(vec![component("cart", 1, 1)], rolling(), vec![gate]), &[]),
            start(),
        )
    };
    assert!(asked("cart").is_ok());
    let refusal = asked("pay").unwrap_err();
    assert!(refusal.to_string().contains("works for `pay`, which the release does not contain"), "{refusal}");
    assert_eq!(refusal.remedy(), "name a component of the release, or none");
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

/// Buried: nomad#10098. Theirs: three versions of one job were live at once. Ours: what an earlier deployment left is retired by the next, and one
/// revision serves alone.
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

/// Buried: argo-rollouts#3848.
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

/// Buried: argo-rollouts#3848, flagger#1407.
#[test]
fn a_release_keeps_as_many_replicas_as_its_scaling_policy_has_given_it() {
    for (scaled, kept) in [(7, 7), (2, 2), (0, 1)] {
        let (_, first) = World::serving(release(vec![component("cart", 1, 4)], rolling(), vec![]));
        let old = RevisionId::new(module("cart"), deployment_id(1));
        let policy = crate::testing::id(9);
        let asked = || release(vec![component("cart", 2, 4)], canary(), vec![]);
        let mut command = request(2, asked(), &[&first]);
        command.seen = [(module("cart"), [(old, scaled)].into())].into();
        command.scaled = [(module("cart"), policy)].into();
        let mut world = World::new();
        world.begin(RuntimeDeployment::request(command, world.now).unwrap());
        let brought = &world.deployment().release().components[&module("cart")];
        assert_eq!((brought.replicas.get(), brought.tuple.scaling_policy), (kept, Some(policy)));
        assert_eq!(world.deployment().restore_points()[&module("cart")].replicas.get(), kept);
        assert!(world.deployment().brings(&asked()), "how many there are is no part of what was asked");
        let otherwise = release(vec![component("cart", 3, 4)], canary(), vec![]);
        assert!(!world.deployment().brings(&otherwise));
    }
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
