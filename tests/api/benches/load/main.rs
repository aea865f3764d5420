//! What the adapters cost: requests per second and their 99th percentile over loopback, from a process of their own, as ratios to a bare handler on
//! the same store: `cargo bench -p factory-runtime-api-tests --bench load`.
//!
//! - **Bare** is axum's own server with a handler of a few lines (`src/bin/api-host/bare.rs`): it knows its caller, loads the same aggregates with
//!   their rules checked, decides by the domain, commits what the host commits, and writes a record as JSON.
//! - **Ours** is the hardened server with everything that it keeps: who calls, places, the tenant's rate, the request's schema, conditions, the
//!   command's lane, spans and measurements, documents.
//!
//! `get` loads one environment, `list` a page of twenty, `change` loads, decides and commits, each connection on an environment of its own.
//! `cpu` is how much of the host's processor time a request takes, as a ratio too: it does not follow what else the machine does.
//!
//! Rounds alternate, and the median of five counts, because machines are shared and noisy. `RUNTIME_BENCH_ROUNDS` and `RUNTIME_BENCH_MILLIS`
//! change how many, and how long each is. Arguments after `--` choose scenes by what their line begins with: `sqlite change`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

mod calls;
mod client;
mod host;

use std::net::SocketAddr;
use std::time::Duration;

use client::{Measured, Scene};
use host::Host;

const CONNECTIONS: [usize; 3] = [1, 16, 64];

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn median(measured: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = measured.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line: the medians of rounds that alternate.
fn compared(name: &str, rounds: u64, mut measure: impl FnMut(bool) -> Measured) {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(measure(false));
        ours.push(measure(true));
    }
    let rate = |all: &[Measured]| median(all, |one| one.rate);
    let late = |all: &[Measured]| median(all, |one| one.p99.as_secs_f64() * 1e3);
    let cpu = |all: &[Measured]| median(all, |one| one.cpu.as_secs_f64() * 1e6);
    println!(
        "{name:<26} {:>8.0} {:>8.0} {:>6.2} {:>8.2} {:>8.2} {:>6.2} {:>7.0} {:>7.0} {:>6.2}",
        rate(&bare),
        rate(&ours),
        rate(&ours) / rate(&bare),
        late(&bare),
        late(&ours),
        late(&ours) / late(&bare),
        cpu(&bare),
        cpu(&ours),
        cpu(&ours) / cpu(&bare),
    );
}

fn main() {
    let rounds = setting("RUNTIME_BENCH_ROUNDS", 5);
    let lasts = Duration::from_millis(setting("RUNTIME_BENCH_MILLIS", 1_000));
    let chosen: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with("--")).collect();
    let chosen = chosen.join(" ");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "{:<26} {:>8} {:>8} {:>6} {:>8} {:>8} {:>6} {:>7} {:>7} {:>6}",
        "scene, connections",
        "bare/s",
        "ours/s",
        "ratio",
        "p99 ms",
        "p99 ms",
        "ratio",
        "cpu µs",
        "cpu µs",
        "ratio"
    );
    let scenes = [Scene::Get, Scene::List, Scene::Change];
    for store in ["memory", "sqlite"] {
        let lines = scenes.iter().flat_map(|scene| CONNECTIONS.map(|connections| (*scene, connections)));
        let lines = lines.map(|(scene, connections)| {
            (format!("{store} {} {connections}", scene.name()), scene, connections)
        });
        let lines: Vec<_> = lines.filter(|(name, ..)| name.starts_with(&chosen)).collect();
        let calls: Vec<_> = calls::Call::ALL
            .into_iter()
            .map(|call| (format!("{store} grpc {} 16", call.name()), call))
            .filter(|(name, _)| name.starts_with(&chosen))
            .collect();
        if lines.is_empty() && calls.is_empty() {
            continue;
        }
        let host = Host::start(store);
        for (name, scene, connections) in lines {
            compared(&name, rounds, |is_ours| {
                let address: SocketAddr = if is_ours { host.ours } else { host.bare };
                runtime.block_on(client::measured(&host, address, scene, connections, lasts))
            });
        }
        for (name, call) in calls {
            compared(&name, rounds, |is_ours| {
                let address: SocketAddr = if is_ours { host.grpc } else { host.bare };
                runtime.block_on(calls::measured(&host, address, call, 16, lasts))
            });
        }
    }
}
