//! Workloads that do not do what they should.

use crate::bench::{Bench, WEB, get, release_of, says, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_never_becomes_ready_rolls_back_with_what_its_probe_was_told() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "never-ready").await;
    let release = bench.resolve(&release_of("2.0.0")).await.expect("resolved");
    let why = bench.rolls_back(release).await;
    says(&why, &[WEB, "too long", "3s", "/ready answered with status 503"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_exits_at_once_rolls_back_with_its_code_and_last_words() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "exits").await;
    let release = bench.resolve(&release_of("2.0.0")).await.expect("resolved");
    let why = bench.rolls_back(release).await;
    says(&why, &[WEB, "exited with code 3", "no licence was found"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_ignores_sigterm_is_killed_when_its_release_goes_back() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "never-ready,stubborn").await;
    let release = bench.resolve(&release_of("2.0.0")).await.expect("resolved");
    let deployments = bench.runtime().deployments();
    let requested = deployments.request(bench.scope(), bench.environment(), release).await.expect("accepted");
    let id = requested.aggregate.id();
    let pid = until("the new process answers", async || process_of(&bench, id).await).await;

    let ended = bench.ended(id).await;
    assert_eq!(ended.status().name(), "RolledBack", "{:#?}", bench.history(id).await);
    until("the process is gone", async || (!is_alive(pid)).then_some(())).await;
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_ignores_sigterm_is_killed_when_the_next_release_takes_over() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "stubborn").await;
    let release = bench.resolve(&release_of("2.0.0")).await.expect("resolved");
    let id = bench.deploy(release).await.id();
    let pid = process_of(&bench, id).await.expect("it serves");
    assert_eq!(bench.answer().await, "2.0.0");

    bench.pack("3.0.0", "").await;
    bench.deploy_well("3.0.0").await;
    until("the process is gone", async || (!is_alive(pid)).then_some(())).await;
}

/// The process of a deployment's first instance, where it answers already.
async fn process_of(bench: &Bench, deployment: factory_runtime::prelude::DeploymentId) -> Option<i32> {
    let seen = bench.observe(WEB).await;
    let revision = seen.revisions.iter().find(|(revision, _)| revision.deployment == deployment)?.1;
    let address = revision.instances.first()?.address.clone()?;
    get(&address, "/pid").await.ok()?.parse().ok()
}

fn is_alive(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::test_kill_process(pid).is_ok()
}
