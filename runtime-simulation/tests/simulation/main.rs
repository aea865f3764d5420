//! What simulations show of our own hosts, and that they would show it of others'.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so"
)]

mod page;
mod report;
mod stranger_stores;
mod stranger_surfaces;
mod strangers;
mod unreachable;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use runtime_simulation::{Mode, Simulation, Size};

fn one() -> Size {
    Size { steps: 2, hosts: 1, tenants: 1, environments: 1, components: 1 }
}

#[test]
fn one_host_rolls_one_component_out() {
    let told = Simulation::new(1).size(one()).run().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(told.steps, 2);
    assert_eq!(told.answers, [("Deploy", (1, 0)), ("Provision", (1, 0))].into());
}

/// Shows X-7. `SIMULATION_SEEDS=5000 SIMULATION_STEPS=500` is the long form, with `--profile proof`, and `SIMULATION_REPORT` names a file for
/// what was reached and what was not.
#[test]
fn whatever_fails_nothing_wrong_ever_happens_and_then_everything_ends() {
    let outcome = Simulation::new(1).steps(60).seeds(4);
    report::tell(&outcome);
    outcome.assert_passed();
}

/// Shows X-7 where there is more to do at once.
#[test]
fn of_two_dozen_components_nothing_wrong_ever_happens_either() {
    let size = Size { steps: 30, hosts: 2, tenants: 2, environments: 1, components: 24 };
    let outcome = Simulation::new(1).size(size).seeds(1);
    report::tell(&outcome);
    outcome.assert_passed();
}

#[test]
fn equal_seeds_tell_equal_stories() {
    let simulation = Simulation::new(7).steps(60).mode(Mode::Safety);
    let told = |seed| simulation.clone().seed(seed).run().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(told(7), told(7));
    assert_ne!(told(7).trace, told(8).trace);
}
