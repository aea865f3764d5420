//! Commits and leases per second, as ratios to a raw limit measured in the same rounds: `cargo bench -p runtime-postgres`.
//!
//! The server flushes every commit, as installed. Rounds alternate, and the median of five counts, because machines are shared and noisy.
//! `BENCH_SECONDS` says how long a round is (2), `BENCH_SCENES` which scenes are run (all that contain the text).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::time::Duration;

use postgres_server::Server;
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};

use crate::rate::{Rate, median};

mod rate;
mod raw;
mod store;

const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start_with(&["fsync=on", "max_connections=200"]);
        let database = server.database(None);
        let address = server.address("owner", &database);
        migrate(&PostgresOptions::new(&address).unwrap(), "host").await.unwrap();
        let options = PostgresOptions::new(&server.address("host", &database)).unwrap();
        let bench = Bench {
            store: PostgresStore::open(options).await.unwrap(),
            rate: Rate { round: seconds() },
            address,
        };
        raw::prepare(&bench.address).await;
        store::make_due(&bench.store).await;
        bench.run().await;
    });
}

fn seconds() -> Duration {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

struct Bench {
    store: PostgresStore,
    rate: Rate,
    address: String,
}

impl Bench {
    async fn run(&self) {
        let chosen = std::env::var("BENCH_SCENES").unwrap_or_default();
        println!("{:<36} {:>12} {:>12} {:>8}", "", "limit/s", "store/s", "ratio");
        let mut fresh = 0;
        for (callers, shares_one) in [(1, false), (16, false), (64, false), (16, true)] {
            let aggregates = if shares_one { "one aggregate" } else { "an aggregate each" };
            let scene = format!("{callers} callers, {aggregates}");
            if !scene.contains(&chosen) {
                continue;
            }
            let (mut limits, mut stored) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                fresh += 1_000;
                let (limit, commits) = if shares_one {
                    (
                        raw::contended(&self.address, callers, fresh, self.rate).await,
                        store::contended(&self.store, callers, fresh, self.rate).await,
                    )
                } else {
                    (
                        raw::distinct(&self.address, callers, fresh, self.rate).await,
                        store::distinct(&self.store, callers, fresh, self.rate).await,
                    )
                };
                limits.push(limit);
                stored.push(commits);
            }
            print(&scene, &mut limits, &mut stored);
        }
        for at_once in [1_u32, 100] {
            let scene = format!("leases taken and given back by {at_once}");
            if !scene.contains(&chosen) {
                continue;
            }
            let (mut limits, mut taken) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                limits.push(raw::claims(&self.address, at_once.into(), self.rate).await);
                taken.push(store::leases(&self.store, at_once, self.rate).await);
            }
            print(&scene, &mut limits, &mut taken);
        }
    }
}

fn print(scene: &str, limits: &mut [f64], store: &mut [f64]) {
    let (limit, store) = (median(limits), median(store));
    println!("{scene:<36} {limit:>12.0} {store:>12.0} {:>8.2}", store / limit);
}
