//! Commits and leases per second, as ratios to a raw limit and to a peer measured in the same rounds: `cargo bench -p runtime-postgres`.
//!
//! - **The limit** (`raw.rs`) is what a good hand-written service would do, with the state kept by the caller. On one aggregate there are two:
//!   *unjudged*, whose commands do not depend on the state and wait for one another at the row; and *judged*, as the store's are.
//! - **The store** does that, and judges revision, history, claims and tenant besides; its callers keep the state too. Where it says
//!   *loaded*, they load the aggregate before every command. Who shares one aggregate builds upon what the one before has submitted.
//! - **The peer** is cqrs-es with postgres-es (`benches/peers`), which loads, decides and commits, on the same server.
//!
//! What a commit takes of a core, in the store's own rounds without loading, is told beside: in this process (the callers and the store's
//! client side) and in the server's.
//!
//! The server flushes every commit, as installed. `RUNTIME_BENCH_FLUSH_MICROS` makes each of its flushes take so much longer, for everybody in
//! the run, up to 100,000, and lets in who commits meanwhile: where a flush takes a tenth of a millisecond, processors decide; on most disks
//! that reach into a network, the flush does. Rounds alternate, and the median of five counts, because machines are shared and noisy.
//! `RUNTIME_BENCH_ROUNDS` and `RUNTIME_BENCH_MILLIS` change how many, and how long each is; `RUNTIME_BENCH_SCENES` chooses those that contain
//! the text.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use postgres_server::Server;
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};

use crate::cpu::Ticks;
use crate::rate::{Rate, median};

mod cpu;
#[path = "../../../../benches/peers/child.rs"]
mod peer;
mod rate;
mod raw;
mod store;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let flush = format!("commit_delay={}", setting("RUNTIME_BENCH_FLUSH_MICROS", 0));
    let server = Server::start_with(&["fsync=on", "max_connections=200", "commit_siblings=0", &flush]);
    let database = server.database(None);
    let address = server.address("owner", &database);
    let bench = runtime.block_on(async {
        migrate(&PostgresOptions::new(&address).unwrap(), "host").await.unwrap();
        let options = PostgresOptions::new(&server.address("host", &database)).unwrap();
        raw::prepare(&address).await;
        let store = PostgresStore::open(options).await.unwrap();
        store::make_due(&store).await;
        Bench {
            store,
            rate: Rate { round: Duration::from_millis(setting("RUNTIME_BENCH_MILLIS", 2_000)) },
            rounds: setting("RUNTIME_BENCH_ROUNDS", 5),
            scenes: std::env::var("RUNTIME_BENCH_SCENES").unwrap_or_default(),
            address,
            peer: peer::program(),
            peers_database: server.url("owner", &server.database(None)),
        }
    });
    bench.commits(&runtime);
    bench.leases(&runtime);
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

struct Bench {
    store: PostgresStore,
    rate: Rate,
    rounds: u64,
    scenes: String,
    address: String,
    peer: Option<PathBuf>,
    peers_database: String,
}

impl Bench {
    fn commits(&self, runtime: &tokio::runtime::Runtime) {
        println!(
            "{:<36} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7} {:>8} {:>8}",
            "commits", "limit/s", "store/s", "ratio", "loaded/s", "peer/s", "ratio", "µs here", "µs there"
        );
        let mut fresh = 0;
        for (callers, on_one) in [(1, false), (16, false), (64, false), (16, true)] {
            let scene = format!("{callers} callers, {}", if on_one { "one, unjudged" } else { "distinct" });
            if !scene.contains(&self.scenes) {
                continue;
            }
            let [mut limits, mut raced, mut stored, mut loaded, mut peers, mut here, mut there] =
                [const { Vec::new() }; 7];
            for _ in 0..self.rounds {
                fresh += 1_000;
                let (address, rate) = (&self.address, self.rate);
                runtime.block_on(async {
                    limits.push(match on_one {
                        true => raw::contended(address, callers, fresh, rate).await,
                        false => raw::distinct(address, callers, fresh, rate).await,
                    });
                    if on_one {
                        raced.push(raw::raced(address, callers, fresh + 500, rate).await);
                    }
                    let (ticks, begun) = (Ticks::now(), Instant::now());
                    let commits = match on_one {
                        true => store::contended(&self.store, callers, fresh, rate).await,
                        false => store::distinct(&self.store, callers, fresh, false, rate).await,
                    };
                    let cost = ticks.each(commits * begun.elapsed().as_secs_f64());
                    stored.push(commits);
                    here.push(cost.client);
                    there.push(cost.server);
                    if on_one {
                        return;
                    }
                    loaded.push(store::distinct(&self.store, callers, fresh + 500, true, rate).await);
                });
                peers.extend(self.peer.as_deref().map(|program| {
                    let database = ("postgres", self.peers_database.as_ref());
                    peer::commits(program, database, (callers, on_one), rate.round, "on, fsync on")
                }));
            }
            let [limit, raced, stored, loaded, peer, here, there] =
                [limits, raced, stored, loaded, peers, here, there].map(median);
            // On one aggregate nobody loads: each builds upon what the one before has submitted.
            let beside_peer = if on_one { stored } else { loaded };
            println!(
                "{scene:<36} {limit:>9.0} {stored:>9.0} {:>7.2} {loaded:>9.0} {peer:>9.0} {:>7.1} {here:>8.0} {there:>8.0}",
                stored / limit,
                beside_peer / peer
            );
            if on_one {
                let scene = format!("{callers} callers, one, judged");
                println!("{scene:<36} {raced:>9.0} {stored:>9.0} {:>7.2}", stored / raced);
            }
        }
        if self.peer.is_none() {
            println!("{}", peer::HOW_TO_BUILD);
        }
    }

    fn leases(&self, runtime: &tokio::runtime::Runtime) {
        for at_once in [1_u32, 100] {
            let scene = format!("leases taken and given back by {at_once}");
            if !scene.contains(&self.scenes) {
                continue;
            }
            let [mut limits, mut taken] = [const { Vec::new() }; 2];
            for _ in 0..self.rounds {
                runtime.block_on(async {
                    limits.push(raw::claims(&self.address, at_once.into(), self.rate).await);
                    taken.push(store::leases(&self.store, at_once, self.rate).await);
                });
            }
            let [limit, taken] = [limits, taken].map(median);
            println!("{scene:<36} {limit:>9.0} {taken:>9.0} {:>7.2}", taken / limit);
        }
    }
}
