//! A host may die at every stage of a tenant's move: the next one carries it to the same end.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(60);

struct Host {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Host {
    fn start(folder: &std::path::Path, tenant: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_move-host"))
            .arg(folder)
            .arg(tenant)
            .arg(env!("CARGO_BIN_EXE_crash-workload"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the host starts");
        let input = child.stdin.take().expect("its input");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, input, lines }
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        let line = line.expect("readable").expect("the host ended by itself");
        serde_json::from_str(&line).expect("JSON")
    }
}

/// Processes that work for the tenant, whoever started them.
fn workloads_of(tenant: &str) -> usize {
    let marker = format!("FACTORY_TENANT={tenant}");
    let of = |entry: std::fs::DirEntry| {
        let variables = std::fs::read(entry.path().join("environ")).ok()?;
        variables.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes()).then_some(())
    };
    std::fs::read_dir("/proc").expect("processes").flatten().filter_map(of).count()
}

/// Shows X-7.
#[tokio::test]
async fn a_host_that_is_killed_at_every_stage_of_a_move_is_followed_by_one_that_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let tenant = format!("ten_{:032x}", std::process::id());
    let mut killed_at = BTreeSet::new();
    let mut host = Host::start(folder.path(), &tenant);
    let end = loop {
        let line = host.line().await;
        let Some(stage) = line["stage"].as_str() else { break line };
        if killed_at.insert(stage.to_owned()) {
            host.child.kill().await.expect("it is killed");
            host = Host::start(folder.path(), &tenant);
        }
    };
    assert!(killed_at.len() >= 3, "{killed_at:?}");
    assert!(killed_at.contains("Observing"), "{killed_at:?}");
    assert_eq!(end["moved"], true, "{end}");
    assert_eq!((&end["left"], &end["come"]), (&Value::from(0), &Value::from(2)), "{end}");
    assert!(end["endpoint"].is_string(), "the address stays: {end}");
    assert_eq!(workloads_of(&tenant), 2, "nothing is doubled and nothing leaks");
    let Host { mut child, input, .. } = host;
    drop(input);
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("ended");
    assert!(status.success(), "{status}");
    assert_eq!(workloads_of(&tenant), 0);
}
