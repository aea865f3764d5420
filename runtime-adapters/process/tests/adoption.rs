//! Hosts come and go; workloads stay.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::process::{Command, Stdio};

use runtime_domain::surface::{EffectId, Traffic};
use runtime_ports::PortErrorKind;
use runtime_ports::job::{JobRunner as _, JobState};
use runtime_process::ProcessSurface;
use serde_json::{Value, json};

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Stage, WORKLOAD, ask, kill, poll_pause};
use world::{effect, key, revision};

const HOST: &str = env!("CARGO_BIN_EXE_runtime-process-test-host");

fn edit(path: &std::path::Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value =
        serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("a state file");
    change(&mut value);
    std::fs::write(path, value.to_string()).expect("written");
}

fn numbers(pids: &[String]) -> Vec<u32> {
    pids.iter().map(|pid| pid.parse().expect("a number")).collect()
}

#[tokio::test]
async fn workloads_outlive_their_host_and_serve_on_the_same_endpoint_under_the_next() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    let (address, pids) = (stage.address().await, stage.pids(&revision(1)).await);
    let before = stage.observe().await;
    stage.shutdown().await;
    assert_eq!(ask(&address, "/").await.0, 0);
    assert_eq!(stage.processes().len(), 2);
    stage.open().await;
    assert_eq!(ask(&address, "/").await, (200, revision(1).to_string()));
    let after = stage.ready(1, 2).await;
    assert_eq!(stage.pids(&revision(1)).await, pids);
    assert_eq!((after.traffic, after.endpoint), (before.traffic, before.endpoint));
    assert_eq!(stage.surface().routed_by(&key()), Some(effect(99, 2).effect));
}

#[tokio::test]
async fn an_adopted_instance_is_supervised_like_any_other() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    stage.drop_surface();
    stage.open().await;
    stage.ready(1, 2).await;
    let pids = numbers(&stage.pids(&revision(1)).await);
    kill(pids[1]);
    stage.restarted(1, 2).await;
    stage.retire(1).await;
    stage.gone(1).await;
    assert_eq!(stage.processes(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_killed_host_leaves_nothing_that_the_next_does_not_know() {
    let mut stage = Stage::empty(|_| {});
    let mut host = Command::new(HOST)
        .args([stage.root().as_os_str(), WORKLOAD.as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut line = String::new();
    let output = host.stdout.take().expect("its output");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("it says something");
    assert_eq!(line, "running\n");
    host.kill().expect("killed");
    host.wait().expect("gone");
    stage.open().await;
    stage.ready(1, 2).await;
    assert_eq!(stage.ask("/").await, (200, revision(1).to_string()));
    let job = EffectId::of(world::deployment(1), 3);
    let ended = tokio::time::timeout(world::PATIENCE, async {
        loop {
            match stage.surface().state(key().tenant, job).await.expect("known") {
                JobState::Running => poll_pause().await,
                ended => return ended,
            }
        }
    });
    assert_eq!(ended.await.expect("it ends"), JobState::Succeeded);
    assert_eq!(stage.processes().len(), 2);
}

/// Buried: pulumi#11599.
#[tokio::test]
async fn a_host_that_is_killed_anywhere_while_it_starts_instances_leaves_exactly_what_is_wanted() {
    for delay in [0, 3, 6, 10, 15, 25, 40, 80] {
        let mut stage = Stage::empty(|_| {});
        let mut host = Command::new(HOST)
            .args([stage.root().as_os_str(), WORKLOAD.as_ref()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the host starts");
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        host.kill().expect("killed");
        host.wait().expect("gone");
        stage.open().await;
        let wanted = stage.observe().await.revisions.get(&revision(1)).map_or(0, |it| it.wanted);
        if wanted > 0 {
            stage.ready(1, wanted).await;
        }
        stage.surface().destroy_all().await.expect("destroyed");
        assert_eq!(stage.processes(), Vec::<u32>::new(), "after {delay} ms");
    }
}

#[tokio::test]
async fn a_process_that_was_spawned_and_not_recorded_is_found_by_its_marker() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let pids = stage.pids(&revision(1)).await;
    stage.shutdown().await;
    edit(&stage.instance_files()[0], |record| record["process"] = Value::Null);
    stage.open().await;
    let seen = stage.ready(1, 1).await;
    assert_eq!(stage.pids(&revision(1)).await, pids);
    assert_eq!(seen.revisions[&revision(1)].restarts(), 0);
}

#[tokio::test]
async fn a_process_that_nobody_wants_any_more_is_ended() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let pids = numbers(&stage.pids(&revision(1)).await);
    stage.shutdown().await;
    std::fs::remove_file(&stage.instance_files()[0]).expect("removed");
    stage.open().await;
    stage.ready(1, 1).await;
    let fresh = numbers(&stage.pids(&revision(1)).await);
    assert_ne!(fresh, pids);
    assert_eq!(stage.processes(), fresh);
}

#[tokio::test]
async fn a_process_that_was_given_an_old_identifier_is_left_alone() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    stage.shutdown().await;
    stage.processes().into_iter().for_each(kill);
    let mut innocent = Command::new("/bin/sleep").arg("600").spawn().expect("started");
    edit(&stage.instance_files()[0], |record| record["process"]["pid"] = json!(innocent.id()));
    stage.open().await;
    stage.ready(1, 1).await;
    stage.retire(1).await;
    stage.gone(1).await;
    let alive = innocent.try_wait().expect("its state").is_none();
    innocent.kill().expect("killed");
    innocent.wait().expect("gone");
    assert!(alive, "it was signalled");
}

#[tokio::test]
async fn an_instance_that_ended_while_no_host_watched_is_started_again() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    let pids = numbers(&stage.pids(&revision(1)).await);
    stage.shutdown().await;
    kill(pids[0]);
    stage.open().await;
    stage.restarted(1, 2).await;
    assert_eq!(numbers(&stage.pids(&revision(1)).await)[1], pids[1]);
}

#[tokio::test]
async fn a_revision_that_was_retired_when_the_host_died_is_finished_by_the_next() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    stage.retire(1).await;
    stage.drop_surface();
    stage.open().await;
    stage.gone(1).await;
    assert_eq!(stage.processes(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_retired_revision_whose_instances_were_gone_already_is_forgotten() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    stage.shutdown().await;
    stage.processes().into_iter().for_each(kill);
    std::fs::remove_file(&stage.instance_files()[0]).expect("removed");
    edit(&stage.component_folder().join("component.json"), |record| {
        let retired = &mut record["revisions"][revision(1).to_string()];
        retired["retiring"] = json!(true);
        retired["replicas"] = json!(0);
        retired["instances"] = json!([]);
    });
    stage.open().await;
    assert!(stage.observe().await.revisions.is_empty());
}

#[tokio::test]
async fn a_fence_holds_across_hosts() {
    use runtime_ports::surface::ComputeSurface as _;

    let mut stage = Stage::new().await;
    let mut newer = effect(1, 1);
    newer.fence.0 = 7;
    stage.surface().apply(newer, &world::spec(1, ""), 1).await.expect("applied");
    stage.shutdown().await;
    stage.open().await;
    let refused = stage.surface().retire(effect(1, 2), &key(), &revision(1)).await;
    assert_eq!(refused.expect_err("it is old").kind(), PortErrorKind::Fenced);
}

#[tokio::test]
async fn a_damaged_state_file_is_named_and_nothing_is_ended() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let options = stage.options();
    stage.shutdown().await;
    let before = stage.processes();
    std::fs::write(stage.component_folder().join("component.json"), "{").expect("written");
    let refused = ProcessSurface::open(options).await.expect_err("it is damaged");
    assert_eq!(refused.kind(), PortErrorKind::Corrupt);
    assert!(refused.message().contains("component.json"), "{refused}");
    assert_eq!(stage.processes(), before);
}

#[tokio::test]
async fn an_endpoint_whose_port_was_taken_meanwhile_opens_once_it_is_free() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let address = stage.address().await;
    stage.shutdown().await;
    let thief = std::net::TcpListener::bind(&address).expect("bound");
    stage.open().await;
    let seen = stage.observe().await;
    assert_eq!((seen.endpoint, seen.traffic), (None, None));
    drop(thief);
    stage.until("the endpoint", |seen| seen.endpoint == Some(format!("http://{address}"))).await;
    stage.ready(1, 1).await;
    assert_eq!(stage.observe().await.traffic, Some(Traffic::all_to(revision(1))));
}
