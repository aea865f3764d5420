//! What it costs to keep looking: microseconds of processor time for each look, evaluation and step, and how they grow:
//! `cargo bench -p runtime-services --bench rates`.
//!
//! | variable | | default |
//! |---|---|---|
//! | `RATES_SCENES` | of `look`, `bare`, `idle`, `steady`, `asked`, `steps` | all but `steady` |
//! | `RATES_STORES` | of `memory`, `sqlite`, `postgres` | all |
//! | `RATES_SIZES` | numbers of tracked components | `100 1000` |
//! | `RATES_POLL` | in how many seconds each is looked at | `15` |
//!
//! A `look` is all that a host does for a component in 15 seconds while it stays as it is: take the lease, load the record, ask the surface,
//! compare, keep what was seen, evaluate its health, record the result, give the lease back; and once in 60 seconds commit that it was seen.
//! Several are made of every component, a quarter of them with the commit, by a clock that is moved on. A `bare` look is one without the
//! evaluation: the difference is what an evaluation costs. `steady` is a look where each component is due at a time of its own, evenly over
//! 15 seconds, by the clock on the wall: it takes half a minute, and is true only where there is time for all. That holds for a `look` too: what was
//! looked at 15 seconds ago is due again. `idle` is a host that has nothing
//! due, for each second; `asked` is an evaluation that a caller asks for; `steps` are the effects and observations of rollouts, each of one component, from the request to the end.
//!
//! The processor time is that of this process with all its threads, and of the PostgreSQL server's processes, added. The surface is in memory
//! and takes hardly any. The aim: 50,000 components, each looked at every 15 seconds, take no more than two processors, which is 600
//! microseconds for a look.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

mod clock;
mod stage;
mod surface;
mod template;

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime_domain::id::AggregateKind;
use runtime_domain::time::Span;
use runtime_ports::clock::Clock as _;
use runtime_services::{HostOptions, Services};
use runtime_testkit::sample;
use stage::{Cost, Stage, Tenants};
use surface::Surface;
use template::{POLL, Template};
use tokio_util::sync::CancellationToken;

/// Microseconds of two processors for each of 50,000 components in 15 seconds.
const AIM: f64 = 600.0;
/// How many looks are made for a rate, at least.
const LOOKS: u64 = 4_000;
/// How many evaluations are asked for.
const EVALUATIONS: u64 = 1_000;
const IDLE: Duration = Duration::from_secs(3);

fn chosen(variable: &str, default: &str) -> Vec<String> {
    let chosen = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    chosen.split_whitespace().map(str::to_owned).collect()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let scenes = chosen("RATES_SCENES", "look bare idle asked steps");
    let sizes: Vec<u64> =
        chosen("RATES_SIZES", "100 1000").iter().map(|size| size.parse().unwrap()).collect();
    println!(
        "store      components  scene   host us  server us   us each  a second on two  of the aim  host MiB  wall s"
    );
    runtime.block_on(async {
        let template = Template::grown().await;
        for store in chosen("RATES_STORES", "memory sqlite postgres") {
            for size in &sizes {
                let mut looked = None;
                for scene in &scenes {
                    let begun = Instant::now();
                    let stage = Stage::open(&store).await;
                    let cost = play(&stage, &template, scene, *size).await;
                    tell(&store, *size, scene, cost, begun.elapsed());
                    match (scene.as_str(), looked) {
                        ("look", _) => looked = Some(cost),
                        ("bare", Some(look)) => {
                            let cost =
                                Cost { host: look.host - cost.host, server: look.server - cost.server };
                            tell(&store, *size, "health", cost, Duration::ZERO);
                        }
                        _ => {}
                    }
                }
            }
        }
    });
}

fn tell(store: &str, size: u64, scene: &str, cost: Cost, wall: Duration) {
    let Cost { host, server } = cost;
    let each = host + server;
    let share = match scene {
        "look" => format!("{:.2}", each / AIM),
        _ => String::new(),
    };
    println!(
        "{store:<10} {size:>10}  {scene:<6} {host:>8.1} {server:>10.1} {each:>9.1} {:>16.0} {share:>11} {:>9} {:>7.0}",
        2e6 / each,
        stage::resident_mebibytes(),
        wall.as_secs_f64(),
    );
}

async fn play(stage: &Stage, template: &Template, scene: &str, size: u64) -> Cost {
    match scene {
        "look" => looks(stage, template, size, *POLL).await,
        "bare" => looks(stage, template, size, Span::from_secs(86_400)).await,
        "idle" => {
            let surface = template.plant(stage, size, |_| Span::from_secs(3_600)).await;
            let services = stage.services(surface, options());
            let measured = stage.measure();
            run(&services, async || tokio::time::sleep(IDLE).await).await;
            measured.each(IDLE.as_secs())
        }
        "asked" => {
            let surface = template.plant(stage, size, |_| Span::from_secs(3_600)).await;
            let services = stage.services(surface, options());
            let number = EVALUATIONS.min(size);
            let mut cost = Cost::default();
            run(&services, async || {
                let measured = stage.measure();
                for number in 0..number {
                    let (scope, service) = template.service(number);
                    let result = services.health().evaluate(&scope, service).await.unwrap();
                    assert!(result.is_some(), "something is seen of every service");
                }
                recorded(&services, number).await;
                cost = measured.each(number);
            })
            .await;
            cost
        }
        "steady" => steady(stage, template, size).await,
        "steps" => steps(stage, size).await,
        other => panic!("`{other}` is no scene: choose look, bare, idle, steady, asked or steps"),
    }
}

/// A host that looks at everything once in that time.
fn options() -> HostOptions {
    let mut options = HostOptions::default();
    options.inventory_poll = *POLL;
    options.settled_poll = *POLL;
    options.health_poll = *POLL;
    options
}

/// Looks again and again, each time 15 seconds later, after one round in which the host gets to know what there is.
async fn looks(stage: &Stage, template: &Template, size: u64, health_poll: Span) -> Cost {
    let surface = template.plant(stage, size, |_| Span::ZERO).await;
    let mut options = options();
    options.health_poll = health_poll;
    // The clock is moved on while it sleeps.
    options.idle = Span::from_millis(100);
    options.poll = options.idle;
    let services = stage.services(Arc::clone(&surface), options);
    let rounds = 4 * LOOKS.div_ceil(4 * size);
    let is_evaluated = health_poll == *POLL;
    let mut cost = Cost::default();
    run(&services, async || {
        looked(&surface, size).await;
        given_back(stage).await;
        if is_evaluated {
            recorded(&services, size).await;
        }
        // What follows from the first round.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let measured = stage.measure();
        for round in 1..=rounds {
            stage.clock.move_on(*POLL);
            looked(&surface, size * (round + 1)).await;
            given_back(stage).await;
        }
        if is_evaluated {
            recorded(&services, size * (rounds + 1)).await;
        }
        cost = measured.each(size * rounds);
    })
    .await;
    cost
}

/// Each component at a time of its own, as it is after a while.
async fn steady(stage: &Stage, template: &Template, size: u64) -> Cost {
    let due = |number: u64| Span::from_millis(POLL.as_millis() * number / size);
    let surface = template.plant(stage, size, due).await;
    let services = stage.services(Arc::clone(&surface), options());
    let mut cost = Cost::default();
    run(&services, async || {
        looked(&surface, size).await;
        let (measured, before) = (stage.measure(), surface.observed());
        tokio::time::sleep(POLL.to_std()).await;
        let looks = surface.observed() - before;
        let fair = size * 9 / 10;
        assert!(looks >= fair, "only {looks} of {size} were looked at in time: the machine is too slow");
        cost = measured.each(looks);
    })
    .await;
    cost
}

async fn looked(surface: &Surface, many: u64) {
    while surface.observed() < many {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Until every look has ended: leases would end in the middle of it when the clock is moved on, and the looks be made again.
async fn given_back(stage: &Stage) {
    let store = stage.store.for_operator(&sample::operator());
    let kinds = [AggregateKind::RuntimeService];
    while store.next_due(&kinds).await.unwrap().is_none_or(|due| due <= stage.clock.now()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn recorded(services: &Services, many: u64) {
    let recorder = services.health().recorder().unwrap();
    while recorder.recorded() < many {
        assert_eq!(recorder.lost(), 0, "results were lost");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn steps(stage: &Stage, size: u64) -> Cost {
    let mut options = HostOptions::default();
    options.inventory_poll = Span::from_secs(3_600);
    options.settled_poll = options.inventory_poll;
    options.poll = Span::from_millis(20);
    let surface = Surface::of(Arc::clone(&stage.clock));
    let services = stage.services(Arc::clone(&surface), options);
    let tenants = Tenants::admitted(&services).await;
    surface.reset();
    let measured = stage.measure();
    for number in 0..size {
        tenants.request(&services, number).await;
    }
    run(&services, async || {
        for number in 0..size {
            tenants.until_completed(&services, number).await;
        }
    })
    .await;
    measured.each(surface.observed() + surface.performed())
}

/// Runs a host meanwhile.
async fn run(services: &Services, meanwhile: impl AsyncFnOnce()) {
    let stop = CancellationToken::new();
    let _ = tokio::join!(services.run(stop.clone()), async {
        meanwhile().await;
        stop.cancel();
    });
}
