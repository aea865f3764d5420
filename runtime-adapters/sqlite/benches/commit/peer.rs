//! The peer: a program of its own, since two SQLites cannot be linked into one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Scene;

pub const HOW_TO_BUILD: &str = "the peer was not built: `cargo build --release --manifest-path benches/peers/Cargo.toml`, then again; \
    or name the program in RUNTIME_BENCH_PEERS";

/// Where it was built.
pub fn program() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/target/release/peers");
    let program = std::env::var_os("RUNTIME_BENCH_PEERS").map_or(built, PathBuf::from);
    program.exists().then_some(program)
}

/// Its commits per second.
pub fn commits(program: &Path, file: &Path, scene: Scene) -> f64 {
    let aggregates = if scene.on_one { "one" } else { "distinct" };
    let (callers, millis) = (scene.callers.to_string(), scene.lasts.as_millis().to_string());
    let output = Command::new(program)
        .arg("sqlite")
        .arg(file)
        .args([&*callers, aggregates, &*millis])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains(r#""durability":"FULL""#), "the peer failed: {told}");
    let rate = told.split(r#""commits_per_second":"#).nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    rate.parse().unwrap()
}
