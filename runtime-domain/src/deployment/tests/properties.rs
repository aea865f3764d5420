//! What holds for every strategy, every interleaving and every fault.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::world::*;
use crate::aggregate::Aggregate;
use crate::component::{ComponentSpec, RevisionId};
use crate::deployment::*;
use crate::rollout::strategy::Rolling;
use crate::rollout::{Action, DeploymentStrategy, Next};
use crate::time::Span;

fn strategies() -> impl Strategy<Value = DeploymentStrategy> {
    prop_oneof![
        (0..3u16, 0..3u16).prop_filter_map("something must give", |(max_surge, max_unavailable)| {
            (max_surge + max_unavailable > 0)
                .then_some(DeploymentStrategy::RollingHealthGated(Rolling { max_surge, max_unavailable }))
        }),
        Just(blue_green()),
        Just(canary()),
    ]
}

/// One thing that happens to a rollout.
#[derive(Debug, Clone)]
enum Happening {
    /// One of the next actions is carried out.
    Act(usize),
    /// One of the next effects is carried out, and its answer is lost.
    LoseAnswer(usize),
    /// One of the next effects is put off.
    Defer(usize),
    /// Time passes.
    Time(u64),
    Pause,
    Resume,
    Promote,
    Abort,
    /// The new revision's instances stop being ready, or are ready again.
    Break(bool),
    /// The metric goes bad, good or missing.
    Metric(Option<i64>),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        12 => (0..4usize).prop_map(Happening::Act),
        2 => (0..4usize).prop_map(Happening::LoseAnswer),
        2 => (0..4usize).prop_map(Happening::Defer),
        3 => (0..8u64).prop_map(Happening::Time),
        1 => Just(Happening::Pause),
        2 => Just(Happening::Resume),
        1 => Just(Happening::Promote),
        1 => Just(Happening::Abort),
        1 => any::<bool>().prop_map(Happening::Break),
        1 => prop_oneof![Just(Some(0)), Just(Some(900_000)), Just(None)].prop_map(Happening::Metric),
    ];
    proptest::collection::vec(one, 0..60)
}

fn pick(world: &World, index: usize) -> Option<Action> {
    match world.deployment().next(world.now) {
        Next::Act(actions) => actions.get(index % actions.len().max(1)).cloned(),
        _ => None,
    }
}

fn happen(world: &mut World, happening: &Happening) {
    let new = RevisionId::new(module("cart"), deployment_id(2));
    match happening {
        Happening::Act(index) => {
            if let Some(action) = pick(world, *index) {
                world.act(&action);
            }
        }
        Happening::LoseAnswer(index) | Happening::Defer(index) => {
            if let Some(Action::Perform(effect)) = pick(world, *index) {
                let outcome = if matches!(happening, Happening::LoseAnswer(_)) {
                    world.perform(&effect);
                    EffectOutcome::Unknown { reason: "no answer".to_string() }
                } else {
                    EffectOutcome::Deferred { reason: "busy".to_string() }
                };
                world.command(&DeploymentCommand::RecordOutcome { effect: effect.id, outcome }).unwrap();
            }
        }
        Happening::Time(seconds) => world.pass_time(Span::from_secs(*seconds)),
        Happening::Pause => drop(world.command(&DeploymentCommand::Pause { reason: "look".to_string() })),
        Happening::Resume => drop(world.command(&DeploymentCommand::Resume)),
        Happening::Promote => drop(world.command(&DeploymentCommand::PromoteNow)),
        Happening::Abort => drop(world.command(&DeploymentCommand::Abort { reason: "stop".to_string() })),
        Happening::Break(true) => drop(world.broken.insert(new)),
        Happening::Break(false) => drop(world.broken.remove(&new)),
        Happening::Metric(micros) => world.metric = micros.map(crate::value::Measure::from_micros),
    }
}

/// Ends what people began, so that only the machine is left to act.
fn let_it_end(world: &mut World) {
    for _ in 0..200 {
        world.settle();
        match world.status() {
            DeploymentStatus::Paused => {
                world.pass_time(Span::from_secs(600));
                drop(world.command(&DeploymentCommand::Resume));
            }
            status if status.is_final() => return,
            _ => world.pass_time(Span::from_secs(60)),
        }
    }
    panic!("it does not end: {:?}", world.deployment().state());
}

fn begin(strategy: DeploymentStrategy, old: u16, new: u16) -> World {
    let v1 = release(vec![component("cart", 1, old)], rolling(), vec![]);
    let (mut world, first) = World::serving(v1);
    world
        .request(
            2,
            release(vec![component("cart", 2, new)], strategy, vec![metric_gate("errors")]),
            &[&first],
        )
        .unwrap();
    world
}

fn stable() -> RevisionId {
    RevisionId::new(module("cart"), deployment_id(1))
}

fn assert_right_end(world: &World, old: u16, new: u16) {
    match world.status() {
        DeploymentStatus::Completed => {
            world.assert_serves_alone(&RevisionId::new(module("cart"), deployment_id(2)), new);
            assert!(world.deployment().gates().iter().all(|gate| gate.has_passed()));
        }
        DeploymentStatus::RolledBack | DeploymentStatus::Rejected => {
            world.assert_serves_alone(&stable(), old);
        }
        other => panic!("{other:?}: {:?}", world.deployment().state()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Shows DEP-1.
    #[test]
    fn whatever_happens_it_ends_with_the_right_revision_at_full_capacity(
        strategy in strategies(), old in 1..5u16, new in 1..5u16, happenings in happenings(),
    ) {
        let mut world = begin(strategy, old, new);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        let_it_end(&mut world);
        assert_right_end(&world, old, new);
    }

    #[test]
    fn replaying_the_history_gives_the_state_and_a_record_round_trips(
        strategy in strategies(), happenings in happenings(),
    ) {
        let mut world = begin(strategy, 2, 2);
        for happening in &happenings {
            happen(&mut world, happening);
            let replayed = RuntimeDeployment::evolve_all(
                None,
                world.history.iter().map(|(event, at)| (event, *at)),
            ).unwrap().unwrap();
            prop_assert_eq!(&replayed, world.deployment());
            let text = serde_json::to_string(&world.deployment().to_record()).unwrap();
            let record = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&RuntimeDeployment::from_record(1, record).unwrap(), world.deployment());
        }
        for (event, _) in &world.history {
            let text = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<DeploymentEvent>(&text).unwrap(), event);
        }
    }

    /// Buried: flagger#1588.
    #[test]
    fn abort_is_total(strategy in strategies(), old in 1..4u16, new in 1..4u16, happenings in happenings()) {
        let mut world = begin(strategy, old, new);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        let abort = DeploymentCommand::Abort { reason: "stop".to_string() };
        if world.status() == DeploymentStatus::Completed {
            prop_assert!(world.command(&abort).is_err());
        } else {
            world.command(&abort).unwrap();
            prop_assert!(!world.command(&abort).unwrap(), "a second abort changes nothing");
            world.settle();
            prop_assert!(matches!(world.status(), DeploymentStatus::RolledBack | DeploymentStatus::Rejected));
            world.assert_serves_alone(&stable(), old);
        }
    }

    #[test]
    fn serving_capacity_never_falls_below_what_the_strategy_allows(
        strategy in strategies(), old in 1..6u16, new in 1..6u16, abort_after in proptest::option::of(0..60usize),
    ) {
        let allowed = match &strategy {
            DeploymentStrategy::RollingHealthGated(rolling) => rolling.max_unavailable,
            _ => 0,
        };
        let mut world = begin(strategy, old, new);
        if let Some(after) = abort_after {
            for _ in 0..after {
                happen(&mut world, &Happening::Act(0));
                world.pass_time(Span::from_millis(300));
            }
            drop(world.command(&DeploymentCommand::Abort { reason: "stop".to_string() }));
        }
        let_it_end(&mut world);
        let fewest = world.fewest_serving.get(&module("cart")).copied().unwrap_or(old);
        prop_assert!(fewest >= old.min(new).saturating_sub(allowed), "{fewest} of {old}/{new}");
    }

    /// Buried: flagger#30. Theirs: a new revision inherited the verdict on the one before. Ours: a gate names the revision that it judges, and
    /// begins from nothing with each.
    /// Shows DEP-1.
    #[test]
    fn a_verdict_never_carries_over(strategy in strategies(), happenings in happenings()) {
        let mut world = begin(strategy, 2, 2);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        let judged = RevisionId::new(module("cart"), deployment_id(2));
        for gate in world.deployment().gates() {
            prop_assert_eq!(gate.judged.as_ref(), Some(&judged));
        }
        // The same release again: every gate starts from nothing.
        let_it_end(&mut world);
        if world.status() == DeploymentStatus::Completed {
            let before = world.deployment().clone();
            world.request(3, before.release().clone(), &[&before]).unwrap();
            prop_assert!(world.deployment().gates().iter().all(|gate| !gate.has_passed() && gate.tally() == Default::default()));
            let next = RevisionId::new(module("cart"), deployment_id(3));
            prop_assert!(world.deployment().gates().iter().all(|gate| gate.judged.as_ref() == Some(&next)));
        }
    }

    /// Buried: argo-cd#4577.
    #[test]
    fn components_wait_for_what_they_depend_on(edges in proptest::collection::vec((0..5usize, 0..5usize), 0..8)) {
        let names = ["aa", "bb", "cc", "dd", "ee"];
        let mut components: Vec<ComponentSpec> = names.iter().map(|name| component(name, 1, 1)).collect();
        for (from, to) in edges {
            // Only backward edges: no cycles.
            if to < from {
                components[from].depends_on.insert(module(names[to]));
            }
        }
        let mut world = World::new();
        world.request(1, release(components.clone(), rolling(), vec![]), &[]).unwrap();
        world.settle();
        prop_assert_eq!(world.status(), DeploymentStatus::Completed);
        let routed: Vec<&str> = world.changes.iter().filter_map(|change| {
            let to = change.strip_prefix("route 100% to ")?;
            to.split('@').next()
        }).collect();
        let mut before: BTreeSet<&str> = BTreeSet::new();
        let brought: Vec<&str> = world.changes.iter().filter_map(|change| change.strip_prefix("bring up ")?.split('@').next()).collect();
        prop_assert_eq!(brought.len(), 5);
        for name in routed {
            let own = components.iter().find(|component| component.module.as_str() == name).unwrap();
            prop_assert!(own.depends_on.iter().all(|needed| before.contains(needed.as_str())));
            before.insert(name);
        }
    }
}
