//! What the kernel limits of instances, with real processes.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::fs;
use std::path::{Path, PathBuf};

use runtime_domain::component::InstanceResources;
use runtime_domain::surface::Traffic;
use runtime_ports::isolation::{Enforcement, IsolationAspect, WorkloadIsolation as _};
use runtime_ports::surface::ComputeSurface as _;

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Stage, poll_pause};
use world::{PATIENCE, effect, revision, spec};

/// A control group of this test's own, with the controller of compute in the groups below it.
fn group() -> PathBuf {
    let name = format!("factory-runtime-test-{}", std::process::id());
    let hierarchies = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"].map(Path::new);
    let has_groups = |hierarchy: &&Path| hierarchy.join("cgroup.procs").exists();
    hierarchies.into_iter().find(has_groups).unwrap_or(Path::new("/nowhere")).join(name)
}

/// That group, taken away in the end.
struct Delegated;

impl Delegated {
    /// Makes it, where that is allowed: as root, outside of most containers.
    fn made() -> Option<Self> {
        fs::create_dir(group()).ok()?;
        // Where there is one hierarchy for everything. The other kind has no such file, and needs none.
        let _ = fs::write(group().join("cgroup.subtree_control"), "+cpu");
        Some(Self)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // What a test that failed has left is ended by its stage, and in its group until the kernel has let go of it.
        for left in groups().into_iter().chain([group()]) {
            (0..10_000).find(|_| fs::remove_dir(&left).is_ok());
        }
    }
}

fn groups() -> Vec<PathBuf> {
    let entries = fs::read_dir(group()).expect("it is there").filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|path| path.is_dir()).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// In how many periods it was held up.
fn throttled(group: &Path) -> u64 {
    let lines = lines(&group.join("cpu.stat"));
    lines.iter().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok()).unwrap_or(0)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            poll_pause().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never seen: {what}"));
}

async fn apply(stage: &Stage, number: u128, mode: &str) {
    let mut spec = spec(number, mode);
    spec.component.resources =
        Some(InstanceResources { cpu_millicores: 200, memory_bytes: 1 << 30, ..InstanceResources::USUAL });
    stage.surface().apply(effect(number, 1), &spec, 1).await.expect("applied");
}

#[tokio::test]
async fn an_instance_gets_no_more_compute_than_it_says_it_needs_whichever_host_attends_to_it() {
    let delegated = Delegated::made();
    let mut stage = Stage::with(|options| options.isolation.compute_group = Some(group())).await;
    let told = stage.surface().enforcement().remove(&IsolationAspect::Cpu).expect("it is told");
    if delegated.is_none() {
        let Enforcement::Observed { by } = told else { panic!("{told:?}") };
        assert!(by.contains("may not make control groups"), "{by}");
        return;
    }
    assert!(matches!(&told, Enforcement::Partial { by } if by.contains("cpu.")), "{told:?}");

    apply(&stage, 1, "busy").await;
    stage.ready(1, 1).await;
    let held = groups();
    let [busy] = &held[..] else { panic!("one instance has one group: {held:?}") };
    assert_eq!(lines(&busy.join("cgroup.procs")), stage.pids(&revision(1)).await);
    until("it is held up", || throttled(busy) > 0).await;
    // What a process has started is held with it.
    apply(&stage, 2, "forks").await;
    stage.ready(2, 1).await;
    let forks = groups().into_iter().find(|group| group != busy).expect("it has a group of its own");
    until("it and what it started", || lines(&forks.join("cgroup.procs")).len() == 2).await;

    // The next host finds what it attends to held as it was, and takes away what nothing is in.
    let known = fs::read_to_string(stage.root().join("surface.json")).expect("the surface's identifier");
    let known: serde_json::Value = serde_json::from_str(&known).expect("a document");
    let left = group().join(format!("{}.left", known["surface"].as_str().expect("a text")));
    let others = group().join("somebody-elses");
    stage.drop_surface();
    for group in [&left, &others] {
        fs::create_dir(group).expect("made");
    }
    stage.open().await;
    stage.ready(1, 1).await;
    assert!(!left.exists() && others.exists());
    assert_eq!(lines(&busy.join("cgroup.procs")), stage.pids(&revision(1)).await);

    stage.shift(Traffic::all_to(revision(2))).await;
    stage.retire(1).await;
    stage.gone(1).await;
    until("its group is gone", || !busy.exists()).await;
    assert!(forks.exists());
    stage.retire(2).await;
    stage.gone(2).await;
    until("its group is gone", || !forks.exists()).await;
    assert_eq!(groups(), [others]);
}
