//! Adapters of strangers, each with one subtle bug that its author would not have noticed: a few seeds do.

use runtime_simulation::{Law, Mode, Simulation, Size};

use crate::stranger_stores::{StoreBug, StrangerStore};
use crate::stranger_surfaces::{StrangerSurface, SurfaceBug};

/// How many seeds are tried.
const SEEDS: u64 = 20;

fn simulation() -> Simulation {
    let size = Size { steps: 120, tenants: 2, environments: 1, components: 2, ..Size::default() };
    Simulation::new(1).mode(Mode::Safety).size(size)
}

/// The first seed that breaks the law, and no other law before.
#[track_caller]
fn caught(simulation: &Simulation, law: Law) -> u64 {
    for seed in 1..=SEEDS {
        let simulation = simulation.clone().seed(seed);
        if let Err(broken) = simulation.tell(&simulation.story()) {
            assert_eq!(broken.law(), law, "seed {seed}: {broken}");
            println!("seed {seed}: {broken}");
            return seed;
        }
    }
    panic!("no seed up to {SEEDS} breaks it: {law}");
}

fn surface(bug: SurfaceBug) -> Simulation {
    simulation().surface(move |world| std::sync::Arc::new(StrangerSurface::new(world, bug)))
}

fn store(bug: StoreBug) -> Simulation {
    simulation().store(move |world| std::sync::Arc::new(StrangerStore::new(world, bug)))
}

#[test]
fn a_surface_that_takes_the_old_route_away_before_it_makes_the_new_one_is_caught() {
    caught(&surface(SurfaceBug::RoutesInTwoSteps), Law::ServedOnceServed);
}

#[test]
fn a_surface_that_calls_an_instance_ready_when_it_is_started_is_caught() {
    caught(&surface(SurfaceBug::ReadyWhenStarted), Law::ServedOnceServed);
}

#[test]
fn a_surface_that_lists_another_tenants_components_is_caught() {
    caught(&surface(SurfaceBug::ListsEverybodys), Law::EverythingHasItsPlace);
}

#[test]
fn a_surface_that_tries_without_end_is_caught_and_does_not_hold_up_the_story() {
    caught(&surface(SurfaceBug::TriesWithoutEnd), Law::TimePasses);
}

#[test]
fn a_store_that_renews_a_lost_lease_is_caught() {
    caught(&store(StoreBug::RenewsWhatIsLost), Law::OneHolder);
}

#[test]
fn a_store_that_always_has_work_is_caught_and_does_not_hold_up_the_story() {
    caught(&store(StoreBug::AlwaysHasWork), Law::TimePasses);
}

#[test]
fn a_store_that_acknowledges_before_it_has_written_is_caught() {
    caught(&store(StoreBug::AcknowledgesEarly), Law::AcknowledgedIsKept);
}

#[test]
fn a_story_that_breaks_a_law_is_made_short_and_tells_how_to_tell_it_again() {
    let simulation = surface(SurfaceBug::RoutesInTwoSteps);
    let seed = caught(&simulation, Law::ServedOnceServed);
    let failure = simulation.clone().seed(seed).run().unwrap_err();
    println!("{failure}");
    assert_eq!(failure.broken.law(), Law::ServedOnceServed);
    assert!(failure.story.steps.len() <= 8, "{failure}");
    let command = format!("SIMULATION_SEED={seed} SIMULATION_STEPS=120 SIMULATION_ONLY=");
    assert!(failure.replay().starts_with(&command), "{}", failure.replay());
    assert_eq!(simulation.tell(&failure.story).unwrap_err(), failure.broken);
}
