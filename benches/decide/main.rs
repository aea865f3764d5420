//! What a typical command of each aggregate costs: `cargo bench --bench decide`.
//!
//! *decide* and *apply* are the domain alone: a command against a state, and its events onto that state. *json* is writing the same state's
//! record as JSON, which every store does once per commit: the yardstick beside which the others are told, since machines differ and are
//! shared. Allocations are counted, not sampled: *needed* is how many the answer itself holds (its events and its explanation), so that the
//! difference is what deciding took beyond its answer.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

mod scenes;

use std::hint::black_box;
use std::time::Instant;

use factory_runtime::domain::aggregate::{Aggregate, Decision};
use factory_runtime::domain::time::Timestamp;

const ROUNDS: usize = 15;
const BATCH: usize = 2_000;

fn main() {
    println!(
        "{:<52} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>7}",
        "command", "decide", "÷ json", "allocs", "needed", "apply", "÷ json", "allocs"
    );
    scenes::run();
}

/// Measures one command against one state, or against none where it makes the aggregate.
pub fn measure<A: Aggregate>(
    command: &str,
    state: Option<&A>,
    now: Timestamp,
    decide: impl Fn() -> Decision<A::Event>,
) {
    let decision = decide();
    assert!(!decision.is_unchanged(), "{command} changes nothing: it is not typical");
    let after = applied(state.cloned(), &decision, now);
    let json = median(|| timed(|| serde_json::to_string(&black_box(&after).to_record()).unwrap()));
    let deciding = median(|| timed(&decide));
    let applying = median(|| {
        let mut states: Vec<Option<A>> = std::iter::repeat_n(state.cloned(), BATCH).collect();
        let begun = Instant::now();
        while let Some(state) = states.pop() {
            black_box(applied(state, &decision, now));
        }
        nanoseconds(begun)
    });
    let needed = allocations(|| decision.clone());
    let taken = allocations(decide);
    let own = state.cloned();
    let spent = allocations(|| applied(own, &decision, now));
    println!(
        "{:<52} {:>6.0} ns {:>9.2} {:>7} {:>9} {:>6.0} ns {:>9.2} {:>7}",
        format!("{} {command}", A::KIND),
        deciding,
        deciding / json,
        taken,
        needed,
        applying,
        applying / json,
        spent,
    );
}

fn applied<A: Aggregate>(state: Option<A>, decision: &Decision<A::Event>, now: Timestamp) -> A {
    let events = decision.events.iter().map(|event| (event, now));
    A::evolve_all(state, events).unwrap().unwrap()
}

/// Nanoseconds for one call, over a batch.
fn timed<T>(call: impl Fn() -> T) -> f64 {
    let begun = Instant::now();
    for _ in 0..BATCH {
        black_box(call());
    }
    nanoseconds(begun)
}

fn nanoseconds(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / BATCH as f64
}

fn median(mut round: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn allocations<T>(call: impl FnOnce() -> T) -> u64 {
    let mut kept = None;
    allocation_counter::measure(|| kept = Some(call())).count_total
}
