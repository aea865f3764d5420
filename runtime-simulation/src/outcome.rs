//! What came of simulations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use runtime_domain::time::Span;

use crate::coverage::Coverage;
use crate::laws::Broken;
use crate::simulation::Simulation;
use crate::story::Story;
use crate::trace::Calls;
use crate::world::lock;

/// A story that was told to its end, with nothing wrong in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// Its seed.
    pub seed: u64,
    /// How many steps it had.
    pub steps: u64,
    /// What hosts asked of their ports.
    pub calls: Calls,
    /// Everything that was called and answered, in order and with its time, as one number: equal where equal things happened.
    pub trace: u64,
    /// What was reached.
    pub coverage: Coverage,
    /// How often operations were accepted, and how often not.
    pub answers: BTreeMap<&'static str, (u64, u64)>,
    /// How much time passed in it.
    pub virtual_time: Span,
    /// How long after the last fault all had ended, and what ended last; `None` where that was not waited for.
    pub ending: Option<(Span, String)>,
}

/// A story in which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The law that is broken, and how.
    pub broken: Broken,
    /// The shortest story found that breaks it.
    pub story: Story,
    /// How many steps the whole one has.
    pub whole: usize,
    /// How much there was in it, as a replay must have it.
    pub steps: u32,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broken, story, whole, .. } = self;
        writeln!(formatter, "seed {} breaks a law: {broken}", story.seed)?;
        writeln!(formatter, "{} of its {whole} steps are enough:\n{story}", story.steps.len())?;
        write!(formatter, "again: {}", self.replay())
    }
}

impl Failure {
    /// The command that tells it again.
    pub fn replay(&self) -> String {
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "YOUR-CRATE".to_owned());
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main").unwrap_or("YOUR_TEST").to_owned();
        let numbers: Vec<u32> = self.story.steps.iter().map(|step| step.number).collect();
        format!(
            "SIMULATION_SEED={} SIMULATION_STEPS={} SIMULATION_ONLY={} cargo test -p {package} -- --exact {test}",
            self.story.seed,
            self.steps,
            ranges(&numbers)
        )
    }
}

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// How many were told.
    pub seeds: u64,
    /// How many steps these had.
    pub steps: u64,
    /// What hosts asked of their ports.
    pub calls: Calls,
    /// What was reached.
    pub coverage: Coverage,
    /// How often operations were accepted, and how often not.
    pub answers: BTreeMap<&'static str, (u64, u64)>,
    /// How much time passed in them all.
    pub virtual_time: Span,
    /// The seed that took longest to end after its last fault, how long, and what ended last.
    pub longest_ending: Option<(Span, u64, String)>,
    /// How long it took.
    pub took: std::time::Duration,
    /// The first seed in which something was wrong.
    pub failure: Option<Box<Failure>>,
}

impl Outcome {
    /// Stops the test where something was wrong.
    ///
    /// # Panics
    /// Something was wrong, or no seed was told.
    #[expect(clippy::panic, reason = "a test's own door")]
    #[track_caller]
    pub fn assert_passed(&self) {
        if let Some(failure) = &self.failure {
            panic!("{failure}");
        }
        assert!(self.seeds > 0, "no seed was told: SIMULATION_SEEDS is 0, or the test asks for none");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64().max(0.001);
        let calls = self.calls.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let per_second = |count: u64| count as f64 / seconds;
        write!(
            formatter,
            "{} seeds, {} steps ({:.0}/s), {} calls ({:.0}/s), {} cells of faults, {} simulated, in {seconds:.1} s",
            self.seeds,
            self.steps,
            per_second(self.steps),
            calls,
            per_second(calls),
            self.coverage.cells.len(),
            self.virtual_time,
        )
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells many seeds, on all processors.
pub(crate) fn of_seeds(simulation: &Simulation, many: u64) -> Outcome {
    let mut simulation = simulation.clone();
    if let Some(steps) = number("SIMULATION_STEPS").and_then(|steps| u32::try_from(steps).ok()) {
        simulation.size.steps = steps;
    }
    if let Some(seed) = number("SIMULATION_SEED") {
        return of_one(Simulation { seed, ..simulation });
    }
    let many = number("SIMULATION_SEEDS").unwrap_or(many);
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let outcome = Mutex::new(Outcome::default());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= many || lock(&outcome).failure.is_some() {
                return;
            }
            let seed = simulation.seed.wrapping_add(number);
            let told = Simulation { seed, ..simulation.clone() }.run();
            lock(&outcome).take(told);
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..processors).for_each(|_| drop(scope.spawn(work))));
    let outcome = outcome.into_inner().unwrap_or_default();
    Outcome { took: began.elapsed(), ..outcome }
}

/// Tells one seed, or some of its steps.
fn of_one(simulation: Simulation) -> Outcome {
    let (began, mut outcome) = (Instant::now(), Outcome::default());
    let told = match std::env::var("SIMULATION_ONLY") {
        Err(_) => simulation.run(),
        Ok(only) => {
            let (whole, steps) = (simulation.story(), simulation.size.steps);
            let story = whole.only(&numbers(&only));
            let failed =
                |broken| Box::new(Failure { broken, story: story.clone(), whole: whole.steps.len(), steps });
            simulation.tell(&story).map_err(failed)
        }
    };
    outcome.take(told);
    Outcome { took: began.elapsed(), ..outcome }
}

impl Outcome {
    fn take(&mut self, told: Result<Told, Box<Failure>>) {
        self.seeds += 1;
        match told {
            Err(failure) => drop(self.failure.get_or_insert(failure)),
            Ok(told) => {
                self.steps += told.steps;
                self.virtual_time =
                    Span::from_millis(self.virtual_time.as_millis() + told.virtual_time.as_millis());
                let ending = told.ending.map(|(span, last)| (span, told.seed, last));
                self.longest_ending = self.longest_ending.take().max(ending);
                for (method, count) in told.calls {
                    *self.calls.entry(method).or_default() += count;
                }
                self.coverage.add(told.coverage);
                for (operation, (accepted, others)) in told.answers {
                    let all = self.answers.entry(operation).or_default();
                    *all = (all.0 + accepted, all.1 + others);
                }
            }
        }
    }
}

/// Numbers, such as `3,17,40-44`.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let told = ranges.iter().map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    told.collect::<Vec<_>>().join(",")
}

fn numbers(ranges: &str) -> Vec<u32> {
    let of = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    ranges.split(',').filter_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ranges_and_read_back() {
        assert_eq!(ranges(&[3, 17, 40, 41, 42]), "3,17,40-42");
        assert_eq!(numbers("3,17,40-42"), [3, 17, 40, 41, 42]);
        assert!(numbers(&ranges(&[])).is_empty());
    }
}
