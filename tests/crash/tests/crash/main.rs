//! A host may die at any point of a rollout (X-7): the next one carries it to the same end.
//!
//! Rollouts of one component, under requests, with every strategy; every fourth release is broken and must go back. At a random
//! moment of each the host is killed with SIGKILL, sometimes twice, and started again at once. Workloads are never killed: they belong to
//! nobody meanwhile. `CRASH_SEED` repeats a run's moments, `CRASH_POINTS` says how many rollouts are to be hit.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]
#![allow(
    clippy::print_stdout,
    reason = "the seed and the points are what a failure is repeated and understood by"
)]

mod steady;
mod theatre;

use std::time::{Duration, Instant};

use crate::steady::Requests;
use crate::theatre::{Cue, Ended, Point, Random, Theatre};

/// How many replicas each release has.
const REPLICAS: usize = 2;
/// The longest time from the start of a host to its death, in milliseconds.
const LONGEST: u64 = 1_800;
/// About how many events a rollout has.
const MOST_EVENTS: u64 = 40;
/// How long a host opens its folder, packs and provisions at first, in milliseconds.
const FIRST_STEPS: u64 = 150;

/// The version that serves, and its revision.
type Serving = (u64, String);

/// One rollout.
struct Round {
    number: u64,
    is_broken: bool,
    strategy: &'static str,
}

impl Round {
    fn new(number: u64) -> Self {
        let strategy = match number % 3 {
            0 => "rolling-health-gated: {}",
            1 => {
                "canary: { steps: [{ weight: 20, hold: { for: 500ms } }, { weight: 60, hold: { for: 500ms } }], bake: 500ms }"
            }
            _ => "blue-green: { bake: 800ms, retirement_delay: 500ms }",
        };
        Self { number, is_broken: number.is_multiple_of(4) && number > 0, strategy }
    }

    fn release(&self) -> String {
        format!("round-{}", self.number)
    }

    fn manifest(&self, theatre: &Theatre) -> String {
        let (release, number, strategy) = (self.release(), self.number, self.strategy);
        let image = if self.is_broken { "demo/web:broken" } else { "demo/web:good" };
        let migrations = theatre.migrations(&release).display().to_string();
        format!(
            r#"release: {release}
strategy: {{ {strategy} }}
components:
  web:
    image: {image}
    version: {number}.0.0
    replicas: {REPLICAS}
    variables: {{ VERSION: "{number}" }}
    readiness: {{ path: /ready, period: 100ms }}
    termination_grace: 1s
gates:
  errors:
    at: during-traffic
    check:
      metric:
        metric: error-rate
        bound: {{ at-most: "0.05" }}
        min_samples: 10
        interval: 250ms
        failure_limit: 2
  migration:
    at: before-rollout
    check:
      job:
        image: demo/web:good
        arguments: [migrate]
        variables: {{ MIGRATIONS: "{migrations}" }}
        timeout: 10s
"#
        )
    }
}

#[tokio::test]
async fn a_host_that_is_killed_at_any_point_of_a_rollout_leaves_one_that_the_next_host_ends() {
    let begun = Instant::now();
    let seed = from_environment("CRASH_SEED").unwrap_or_else(Random::seed);
    let wanted = from_environment("CRASH_POINTS").unwrap_or(20);
    println!("CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let theatre = Theatre::new();

    let first = Round::new(0);
    let script = theatre.script(&first.release(), &first.manifest(&theatre));
    for _ in 0..3 {
        let cue = Cue::After(Duration::from_millis(random.below(FIRST_STEPS)));
        println!("round  0 killed after {}", theatre.host(&script).await.kill_at(cue).await);
    }
    let mut host = theatre.host(&script).await;
    let ended = host.end().await;
    let requests = Requests::begin(&ended.endpoint);
    let mut serving = check(&theatre, &first, &ended, None).await;
    host.leave().await;

    // A host that was fast enough to end its rollout before it was killed does not count.
    let (mut number, mut hit) = (0, 0);
    while hit < wanted {
        number += 1;
        assert!(number <= 2 * wanted, "only {hit} of {number} rollouts were hit: they have become too fast");
        let round = Round::new(number);
        let is_hit;
        (serving, is_hit) = play(&theatre, &round, &mut random, &serving).await;
        hit += u64::from(is_hit);
    }

    // No claim is left: one more release is accepted and completed, and then nothing is left at all.
    let last = Round { number: number + 1, is_broken: false, strategy: "rolling-health-gated: {}" };
    let mut host = theatre.host(&theatre.script(&last.release(), &last.manifest(&theatre))).await;
    let ended = host.end().await;
    check(&theatre, &last, &ended, Some(&serving)).await;
    let answered = requests.end().await;
    assert_eq!(host.ask("decommission").await, "decommissioned");
    host.leave().await;
    theatre.until_processes(0).await;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{number} rollouts, {hit} hit, {answered} requests answered, {seconds:.0}s");
}

/// One rollout whose host is killed once or twice, and ended by the last. Answers what serves then, and whether a host died within.
async fn play(theatre: &Theatre, round: &Round, random: &mut Random, before: &Serving) -> (Serving, bool) {
    let script = theatre.script(&round.release(), &round.manifest(theatre));
    let begun = Instant::now();
    let mut points = Vec::new();
    for _ in 0..=random.below(4) / 3 {
        // By time most deaths come in waits; by events, in the midst of work.
        let cue = match random.below(2) {
            0 => Cue::After(Duration::from_millis(random.below(LONGEST))),
            _ => Cue::Event(1 + random.below(MOST_EVENTS)),
        };
        points.push(theatre.host(&script).await.kill_at(cue).await);
    }
    let mut host = theatre.host(&script).await;
    let ended = host.end().await;
    let strategy = round.strategy.split(':').next().unwrap_or_default();
    let told: Vec<String> = points.iter().map(ToString::to_string).collect();
    println!(
        "round {:>2} {strategy:<20} killed after {:<50} {:<10} {:>4.1}s",
        round.number,
        told.join(", "),
        ended.status,
        begun.elapsed().as_secs_f64(),
    );
    let serving = check(theatre, round, &ended, Some(before)).await;
    if round.is_broken {
        let again = Round { number: 1_000 + round.number, is_broken: true, strategy: round.strategy };
        let script = theatre.script(&again.release(), &again.manifest(theatre));
        assert_eq!(host.ask(&format!("request {}", script.display())).await, "QUARANTINE", "{ended:?}");
        assert_eq!(host.ask("release-quarantine").await, "released");
    }
    host.leave().await;
    assert_eq!(theatre.processes().len(), REPLICAS, "workloads outlive their host");
    (serving, points.iter().any(Point::is_within))
}

fn from_environment(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Checks all that must hold once a rollout has ended, and answers the revision that serves.
async fn check(
    theatre: &Theatre,
    round: &Round,
    ended: &Ended,
    before: Option<&(u64, String)>,
) -> (u64, String) {
    let release = round.release();
    assert_eq!(
        ended.status,
        if round.is_broken { "RolledBack" } else { "Completed" },
        "{release}: {ended:?}"
    );
    assert!(ended.is_replayed, "{release}: the history tells what is stored");
    assert!(ended.is_gapless, "{release}: the history has no gaps");
    assert_eq!(ended.doubled, Vec::<String>::new(), "{release}: no effect was done twice");
    assert_eq!(theatre.migrated(&release), 1, "{release}: the migration ran once");

    let version = match before {
        Some((version, revision)) if round.is_broken => {
            assert_eq!(&ended.serving, revision, "{release}: what served before serves again");
            *version
        }
        Some((_, revision)) => {
            assert_ne!(&ended.serving, revision, "{release}: the new revision serves");
            round.number
        }
        None => round.number,
    };
    let processes = theatre.until_processes(REPLICAS).await;
    for process in &processes {
        assert_eq!(process.revision, ended.serving, "{release}: no orphan of another revision");
    }
    assert_ne!(processes[0].instance, processes[1].instance, "{release}: no instance was started twice");
    for _ in 0..10 {
        assert_eq!(steady::get(&ended.endpoint).await.as_deref(), Some(&*format!("version {version}")));
    }
    (version, ended.serving.clone())
}
