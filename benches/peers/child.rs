//! The peers as the benches run them: a program of its own, since two SQLites cannot be linked into one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const HOW_TO_BUILD: &str = "the peer was not built: `cargo build --release --manifest-path benches/peers/Cargo.toml`, then again; \
    or name the program in RUNTIME_BENCH_PEERS";

/// Where it was built.
pub fn program() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/target/release/peers");
    let program = std::env::var_os("RUNTIME_BENCH_PEERS").map_or(built, PathBuf::from);
    program.exists().then_some(program)
}

/// Its commits per second, of so many callers with an aggregate each or all on one, while every commit is flushed: it says so in its answer,
/// by `flushed`.
pub fn commits(
    program: &Path,
    (store, address): (&str, &OsStr),
    (callers, on_one): (u64, bool),
    lasts: Duration,
    flushed: &str,
) -> f64 {
    let aggregates = if on_one { "one" } else { "distinct" };
    let (callers, millis) = (callers.to_string(), lasts.as_millis().to_string());
    let output = Command::new(program)
        .arg(store)
        .arg(address)
        .args([&*callers, aggregates, &*millis])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let durability = format!(r#""durability":"{flushed}""#);
    assert!(output.status.success() && told.contains(&durability), "the peer failed: {told}");
    let rate = told.split(r#""commits_per_second":"#).nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    rate.parse().unwrap()
}
