//! Commits per second, as ratios to a raw limit and to a peer measured in the same rounds: `cargo bench -p runtime-sqlite --bench commit`.
//!
//! - **The limit** is what a good hand-written service would do for the same durable content, with the same SQLite and durability (every
//!   transaction is flushed): one thread that owns the connection, three prepared statements for a command (the state's row, judged by its
//!   revision, the history's row and the outbox's), one transaction for all commands that wait, and callers who keep the state. One caller alone
//!   has the connection on its own thread, with one transaction for a command and nobody to tell. It keeps no claims, no leases, no lists, no
//!   inbox.
//! - **The store** does all that besides, and its callers keep the state too. Where it says *loaded*, they load the aggregate before every
//!   command, as a service does that shares the store with others.
//! - **The peer** is cqrs-es with sqlite-es (`benches/peers`), which loads, decides and commits; flushed as well.
//!
//! Rounds alternate, and the median of five counts, because machines are shared and noisy. `RUNTIME_BENCH_ROUNDS` and `RUNTIME_BENCH_MILLIS`
//! change how many, and how long each is; `RUNTIME_BENCH_CALLERS` chooses scenes. Arguments after `--` choose columns (`limit`, `store`, `loaded`, `peer`).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

mod limit;
#[path = "../../../../benches/peers/child.rs"]
mod peer;
mod stored;

use std::path::Path;
use std::time::Duration;

use runtime_domain::id::AggregateKind;
use runtime_sqlite::SqliteStore;
use runtime_testkit::sample::{self, Draft, exclusive};

/// About what a deployment's record is, in bytes.
const BODY: usize = 2_000;

/// So many callers, each on an aggregate of its own or all on one, for so long.
#[derive(Debug, Clone, Copy)]
struct Scene {
    callers: u64,
    on_one: bool,
    lasts: Duration,
    /// Where the numbers of its aggregates begin.
    fresh: u64,
}

impl Scene {
    /// The first write of a caller's aggregate.
    fn draft(self, caller: u64) -> Draft {
        let number = self.fresh + if self.on_one { 0 } else { caller };
        let key = sample::key(AggregateKind::RuntimeDeployment, number);
        Draft::create(1, key).body(&body()).claiming([exclusive(&format!("{key}"))]).publishing()
    }
}

/// The write after `draft`.
fn following(draft: &Draft) -> Draft {
    draft.next().body(&body()).publishing()
}

fn body() -> String {
    "x".repeat(BODY)
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn main() {
    let rounds = setting("RUNTIME_BENCH_ROUNDS", 5);
    let lasts = Duration::from_millis(setting("RUNTIME_BENCH_MILLIS", 2_000));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wants = |column: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == column);
    let peer = peer::program().filter(|_| wants("peer"));
    println!(
        "{:<24} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
        "aggregates", "limit/s", "store/s", "ratio", "loaded/s", "peer/s", "ratio"
    );
    let mut fresh = 0;
    let only = setting("RUNTIME_BENCH_CALLERS", 0);
    for (callers, on_one) in [(1, false), (16, false), (64, false), (16, true)] {
        if only != 0 && only != callers {
            continue;
        }
        let [mut limits, mut stored, mut loaded, mut peers] = [const { Vec::new() }; 4];
        for _ in 0..rounds {
            let mut scene = || {
                fresh += 1_000;
                Scene { callers, on_one, lasts, fresh }
            };
            if wants("limit") {
                limits.push(limit::commits(&runtime, folder.path(), scene()));
            }
            if wants("store") {
                stored.push(runtime.block_on(stored::commits(&store, scene(), false)));
            }
            if wants("loaded") {
                loaded.push(runtime.block_on(stored::commits(&store, scene(), true)));
            }
            let file = folder.path().join("peer.db");
            peers.extend(peer.as_deref().map(|peer| {
                peer::commits(peer, ("sqlite", file.as_os_str()), (callers, on_one), lasts, "FULL")
            }));
        }
        let [limit, stored, loaded, peer] = [limits, stored, loaded, peers].map(median);
        println!(
            "{:<24} {limit:>9.0} {stored:>9.0} {:>7.2} {loaded:>9.0} {peer:>9.0} {:>7.1}",
            format!("{callers} callers, {}", if on_one { "one" } else { "distinct" }),
            stored / limit,
            loaded / peer
        );
    }
    if peer.is_none() && wants("peer") {
        println!("{}", peer::HOW_TO_BUILD);
    }
}

/// Not a number where nothing was measured.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A new file for each run of the limit, so that none pays for what an earlier one left.
fn new_file(folder: &Path, scene: Scene) -> std::path::PathBuf {
    folder.join(format!("limit-{}.db", scene.fresh))
}
