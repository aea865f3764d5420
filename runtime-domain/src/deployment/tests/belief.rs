//! What a rollout goes by: what was seen in full, judged for itself, and came last.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;

use super::world::*;
use crate::component::RevisionId;
use crate::deployment::*;
use crate::rollout::{Action, Look, Next};
use crate::surface::InstanceState;
use crate::time::Span;

fn revision(number: u128) -> RevisionId {
    RevisionId::new(module("cart"), deployment_id(number))
}

// argo-rollouts#4612: the weight was set before there was the capacity for it.
#[test]
fn nothing_gets_a_weight_before_every_one_of_its_replicas_is_ready() {
    let (mut world, first) = World::serving(release(vec![component("cart", 1, 3)], rolling(), vec![]));
    world.request(2, release(vec![component("cart", 2, 3)], canary(), vec![]), &[&first]).unwrap();
    for _ in 0..60 {
        let Next::Act(actions) = world.deployment().next(world.now) else { panic!("it has ended") };
        for action in &actions {
            let Action::Look(Look::Component { module }) = action else {
                world.act(action);
                continue;
            };
            let mut observation = world.observe(module);
            let instances = observation.revisions.get_mut(&revision(2)).map(|seen| &mut seen.instances);
            for instance in instances.into_iter().flatten().skip(1) {
                instance.state = InstanceState::NotReady;
            }
            world.command(&DeploymentCommand::RecordObservation { observation }).unwrap();
        }
        world.pass_time(Span::from_secs(1));
        assert_eq!(world.traffic[&module("cart")].revisions(), [&revision(1)], "{:?}", world.changes);
    }
    assert!(world.revisions.contains_key(&revision(2)), "it is waited for");
}

// flagger#30: a new revision inherited the verdict of what was judged before.
#[test]
fn a_verdict_at_one_step_says_nothing_about_the_next() {
    let (mut world, first) = World::serving(release(vec![component("cart", 1, 3)], rolling(), vec![]));
    let second = release(vec![component("cart", 2, 3)], canary(), vec![metric_gate("errors")]);
    world.request(2, second, &[&first]).unwrap();
    let has_passed = |world: &World| {
        let mut gates = world.deployment().gates().iter();
        gates.any(|gate| gate.name.to_string() == "errors" && gate.has_passed())
    };
    while !has_passed(&world) {
        match world.deployment().next(world.now) {
            Next::Act(actions) => drop(actions.first().map(|action| world.act(action))),
            next => panic!("it does not get as far: {next:?}"),
        }
        world.pass_time(Span::from_millis(500));
    }
    world.metric = Some("0.5".parse().unwrap());
    world.settle();
    assert_eq!(world.status(), DeploymentStatus::RolledBack);
    world.assert_serves_alone(&revision(1), 3);
}

// kubernetes#51315: the target of a rollback was lost when revisions were numbered anew.
#[test]
fn what_is_gone_back_to_is_what_came_last_whatever_its_identifier() {
    let mut world = World::new();
    let bring = |world: &mut World, id, number, previous: &[&RuntimeDeployment]| {
        let release = release(vec![component("cart", number, 1)], rolling(), vec![]);
        let mut asked = request(id, release, previous);
        asked.numbers = BTreeMap::from([(module("cart"), u32::try_from(number).unwrap())]);
        world.begin(RuntimeDeployment::request(asked, world.now).unwrap());
    };
    bring(&mut world, 5, 1, &[]);
    world.settle();
    let earlier = world.deployment().clone();
    world.pass_time(Span::from_secs(60));
    bring(&mut world, 3, 2, &[&earlier]);
    world.settle();
    let later = world.deployment().clone();
    assert_eq!(later.status(), DeploymentStatus::Completed);
    for points in [[&earlier, &later], [&later, &earlier]] {
        bring(&mut world, 7, 3, &points);
        assert_eq!(world.deployment().restore_points()[&module("cart")].revision, revision(3));
    }
}

#[test]
fn what_is_gone_back_to_is_what_came_last_whatever_the_clocks_said() {
    let asked = |number, version, previous: &[&RuntimeDeployment]| {
        request(number, release(vec![component("cart", version, 1)], rolling(), vec![]), previous)
    };
    let mut world = World::new();
    world.pass_time(Span::from_secs(3_600));
    world.begin(RuntimeDeployment::request(asked(1, 1, &[]), world.now).unwrap());
    world.settle();
    let earlier = world.deployment().clone();
    // The host that brings the next has a clock that is an hour behind.
    world.now = start();
    world.begin(RuntimeDeployment::request(asked(2, 2, &[&earlier]), world.now).unwrap());
    world.settle();
    let later = world.deployment().clone();
    assert_eq!(later.status(), DeploymentStatus::Completed);
    assert!(later.completed_at() < earlier.completed_at());
    assert!(later.came_after(&earlier) && !earlier.came_after(&later));
    for points in [[&earlier, &later], [&later, &earlier]] {
        world.begin(RuntimeDeployment::request(asked(3, 3, &points), world.now).unwrap());
        assert_eq!(world.deployment().restore_points()[&module("cart")].revision, revision(2));
    }
}
