//! What it costs to keep looking: microseconds of processor time for each look, evaluation and step, and how they grow:
//! `cargo bench -p runtime-services --bench rates`.
//!
//! | variable | | default |
//! |---|---|---|
//! | `RATES_SCENES` | of `look`, `seen`, `idle`, `health`, `steps` | all |
//! | `RATES_STORES` | of `memory`, `sqlite`, `postgres` | `memory sqlite` |
//! | `RATES_SIZES` | numbers of tracked components | `100 1000` |
//!
//! A `look` is all that a host does for a component that is as it was: take the lease, load the record, ask the surface, compare, keep what was
//! seen, give the lease back. Once a minute it is `seen` to be so, which is a commit. `idle` is a host that has nothing due, for each second;
//! `health` is one evaluation of a service; `steps` are the effects and observations of rollouts, each of one component, from the request
//! to the end. The processor time is that of this process with all its threads, and of the PostgreSQL server's processes, added. The
//! surface is in memory and takes none. Shares are of two processors, by 50,000 components each looked at every 15 seconds, of which
//! every fourth look is a commit.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

mod stage;
mod surface;
mod template;

use std::sync::Arc;
use std::time::Duration;

use runtime_domain::time::Span;
use runtime_services::{HostOptions, Services};
use stage::{Stage, Tenants};
use template::Template;
use tokio_util::sync::CancellationToken;

/// How many looks a second 50,000 components are, each looked at every 15 seconds.
const LOOKS: f64 = 50_000.0 / 15.0;
/// How many evaluations are made for a rate.
const EVALUATIONS: u64 = 1_000;
const IDLE: Duration = Duration::from_secs(3);

fn chosen(variable: &str, default: &str) -> Vec<String> {
    let chosen = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    chosen.split_whitespace().map(str::to_owned).collect()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let scenes = chosen("RATES_SCENES", "look seen idle health steps");
    let sizes: Vec<u64> =
        chosen("RATES_SIZES", "100 1000").iter().map(|size| size.parse().unwrap()).collect();
    println!("store      components  scene    host us   server us   us each     per second on two");
    runtime.block_on(async {
        let template = Template::grown().await;
        for store in chosen("RATES_STORES", "memory sqlite") {
            for size in &sizes {
                let mut costs = Vec::new();
                for scene in &scenes {
                    let stage = Stage::open(&store).await;
                    let cost = play(&stage, &template, scene, *size).await;
                    tell(&store, *size, scene, cost);
                    costs.push((scene.as_str(), cost.host + cost.server));
                }
                let of = |name| costs.iter().find(|(scene, _)| *scene == name).map(|(_, cost)| *cost);
                if let (Some(look), Some(seen)) = (of("look"), of("seen")) {
                    let share = LOOKS * (look * 0.75 + seen * 0.25) / 2e6;
                    println!(
                        "{store:<10} {size:>10}  50,000 every 15 s: {:.1} % of two processors",
                        share * 100.0
                    );
                }
            }
        }
    });
}

/// Microseconds of processor time for each.
#[derive(Debug, Clone, Copy)]
struct Cost {
    host: f64,
    server: f64,
}

fn tell(store: &str, size: u64, scene: &str, Cost { host, server }: Cost) {
    let each = host + server;
    println!(
        "{store:<10} {size:>10}  {scene:<7} {host:>8.1} {server:>11.1} {each:>9.1} {:>21.0}",
        2e6 / each
    );
}

async fn play(stage: &Stage, template: &Template, scene: &str, size: u64) -> Cost {
    let mut options = HostOptions::default();
    options.inventory_poll = Span::from_secs(3_600);
    let (seconds, is_due) = match scene {
        "seen" => (90, true),
        "look" => (5, true),
        _ => (0, false),
    };
    if scene == "steps" {
        return steps(stage, template, size).await;
    }
    template.plant(stage, size, Span::from_secs(seconds), is_due).await;
    let services = stage.services(Arc::clone(&template.surface), options);
    template.surface.reset();
    let measured = stage.measure();
    match scene {
        "look" | "seen" => {
            run(&services, || template.surface.observed() >= size).await;
            measured.each(size)
        }
        "idle" => {
            let stop = CancellationToken::new();
            let _ = tokio::join!(services.run(stop.clone()), async {
                tokio::time::sleep(IDLE).await;
                stop.cancel();
            });
            measured.each(IDLE.as_secs())
        }
        "health" => {
            let number = EVALUATIONS.min(size);
            for number in 0..number {
                let (scope, service) = template.service(number);
                let result = services.health().evaluate(&scope, service).await.unwrap();
                assert!(result.is_some(), "something is seen of every service");
            }
            measured.each(number)
        }
        other => panic!("`{other}` is no scene: choose look, seen, idle, health or steps"),
    }
}

async fn steps(stage: &Stage, template: &Template, size: u64) -> Cost {
    let mut options = HostOptions::default();
    options.inventory_poll = Span::from_secs(3_600);
    options.poll = Span::from_millis(20);
    let services = stage.services(Arc::clone(&template.surface), options);
    let tenants = Tenants::admitted(&services).await;
    template.surface.reset();
    let measured = stage.measure();
    for number in 0..size {
        tenants.request(&services, number).await;
    }
    let stop = CancellationToken::new();
    let _ = tokio::join!(services.run(stop.clone()), async {
        for number in 0..size {
            tenants.until_completed(&services, number).await;
        }
        stop.cancel();
    });
    measured.each(template.surface.observed() + template.surface.performed())
}

/// Runs a host until it is so.
async fn run(services: &Services, is_so: impl Fn() -> bool) {
    let stop = CancellationToken::new();
    let _ = tokio::join!(services.run(stop.clone()), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    });
}
