//! What instances are given of their configuration: before they start, while they run, and over the lives of hosts.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::path::PathBuf;

use runtime_domain::component::ConfigurationVersionRef;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::surface::{EffectId, FencingToken, RevisionSpec, Traffic};
use runtime_ports::PortErrorKind;
use runtime_ports::surface::{ComputeSurface as _, EffectContext};
use serde_json::{Value, json};

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Stage, ask, kill};
use world::{effect, key, revision, spec};

/// A version that says `greeting: TEXT`, and `level` by an awkward key.
fn version(number: u32, text: &str) -> DeliveredConfiguration {
    let entry = |key: &str, text: &str| json!({ "scope": "environment", "key": key, "value": { "type": "text", "value": text } });
    serde_json::from_value(json!({
        "configuration": format!("cfg_{number:032x}"),
        "version": number,
        "checksum": format!("sha256:{number:064x}"),
        "entries": [entry("greeting", text), entry("log.level-of-all", text), entry("MODE", "shadowed")],
    }))
    .expect("a version")
}

fn configured(number: u128, reload: &str, version: &DeliveredConfiguration) -> RevisionSpec {
    let mut spec = spec(number, "");
    spec.component.configuration = serde_json::from_value(match reload {
        "signal" => json!({ "reload": "signal", "report": "/configuration" }),
        _ => json!({}),
    })
    .expect("a declaration");
    spec.component.tuple.configuration = Some(version.to_version_ref());
    spec.configuration = Some(version.clone());
    spec
}

async fn serve(stage: &Stage, spec: &RevisionSpec, replicas: u16) {
    stage.surface().apply(effect(98, 1), spec, replicas).await.expect("applied");
    stage.ready(1, replicas).await;
    stage.shift(Traffic::all_to(revision(1))).await;
}

async fn deliver(stage: &Stage, version: &DeliveredConfiguration, fence: u64) -> Result<(), PortErrorKind> {
    let effect = EffectId::of(version.configuration(), 1);
    let context = EffectContext { effect, fence: FencingToken(fence) };
    let delivered = stage.surface().deliver(context, &key(), &revision(1), version).await;
    delivered.map_err(|error| error.kind())
}

/// Waits until every instance is seen to run with this version.
async fn all_run(stage: &Stage, version: &DeliveredConfiguration) {
    let wanted: Option<ConfigurationVersionRef> = Some(version.to_version_ref());
    stage
        .until("all run with the version", |seen| {
            let shown = seen.revisions.get(&revision(1));
            shown.is_some_and(|shown| shown.instances.iter().all(|it| it.configuration == wanted))
        })
        .await;
}

async fn variable(stage: &Stage, name: &str) -> Option<String> {
    let (_, environment) = stage.ask("/env").await;
    let prefix = format!("{name}=");
    environment.lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
}

async fn file(stage: &Stage) -> Value {
    let path = PathBuf::from(variable(stage, "FACTORY_CONFIGURATION").await.expect("it is told where"));
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

#[tokio::test]
async fn an_instance_starts_with_its_file_and_its_variables_below_those_of_its_component() {
    let stage = Stage::new().await;
    let one = version(1, "hello");
    serve(&stage, &configured(1, "restart", &one), 1).await;
    let file = file(&stage).await;
    assert_eq!((&file["version"], &file["entries"]["greeting"]), (&json!(1), &json!("hello")));
    assert_eq!(variable(&stage, "greeting").await.as_deref(), Some("hello"));
    assert_eq!(variable(&stage, "log__level_of_all").await.as_deref(), Some("hello"));
    assert_eq!(variable(&stage, "MODE").await.as_deref(), Some(""), "the component's own stands above it");
    assert_eq!(variable(&stage, "FACTORY_CONFIGURATION_VERSION").await.as_deref(), Some("1"));
    all_run(&stage, &one).await;
}

#[tokio::test]
async fn a_later_version_comes_in_place_to_every_instance_and_an_older_one_changes_nothing() {
    let stage = Stage::new().await;
    let (one, two) = (version(1, "one"), version(2, "two"));
    serve(&stage, &configured(1, "signal", &one), 2).await;
    all_run(&stage, &one).await;
    let pids = stage.pids(&revision(1)).await;
    deliver(&stage, &two, 5).await.expect("accepted");
    all_run(&stage, &two).await;
    deliver(&stage, &one, 5).await.expect("accepted, and nothing happens");
    deliver(&stage, &two, 5).await.expect("accepted again");
    stage.scale(1, 3).await;
    stage.ready(1, 3).await;
    all_run(&stage, &two).await;
    assert_eq!(stage.pids(&revision(1)).await[..2], pids);
    assert_eq!(deliver(&stage, &version(3, "late"), 4).await, Err(PortErrorKind::Fenced));
    // A rollout holds another lease, whose token says nothing about deliveries.
    let again = stage.surface().apply(effect(98, 2), &configured(1, "signal", &one), 3).await;
    again.expect("the same revision, which keeps what it was given");
    all_run(&stage, &two).await;
}

#[tokio::test]
async fn what_takes_nothing_in_place_or_cannot_be_delivered_is_refused_before_anything_is_wanted_of_it() {
    let stage = Stage::new().await;
    let one = version(1, "one");
    serve(&stage, &configured(1, "restart", &one), 1).await;
    assert_eq!(deliver(&stage, &version(2, "two"), 1).await, Err(PortErrorKind::Unsupported));
    let mut clash = serde_json::to_value(version(3, "three")).expect("JSON");
    clash["entries"][0]["key"] = json!("log:level-of-all");
    let clash = serde_json::from_value(clash).expect("a version");
    let refused = stage.surface().apply(effect(97, 1), &configured(2, "restart", &clash), 1).await;
    let refused = refused.expect_err("two keys make one variable");
    assert_eq!(refused.kind(), PortErrorKind::Invalid);
    assert!(
        refused.message().contains("log:level-of-all") && !refused.message().contains("three"),
        "{refused}"
    );
    assert_eq!(stage.observe().await.revisions.len(), 1);
    all_run(&stage, &one).await;
}

#[tokio::test]
async fn what_was_given_in_place_is_kept_over_a_host_and_over_a_process() {
    let mut stage = Stage::new().await;
    let (one, two) = (version(1, "one"), version(2, "two"));
    serve(&stage, &configured(1, "signal", &one), 1).await;
    deliver(&stage, &two, 1).await.expect("accepted");
    all_run(&stage, &two).await;
    let pids = stage.pids(&revision(1)).await;
    stage.drop_surface();
    stage.open().await;
    stage.ready(1, 1).await;
    all_run(&stage, &two).await;
    assert_eq!(stage.pids(&revision(1)).await, pids, "it was adopted");
    kill(pids[0].parse().expect("a number"));
    stage.restarted(1, 1).await;
    all_run(&stage, &two).await;
    assert_eq!(variable(&stage, "greeting").await.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_host_that_died_before_it_told_an_instance_leaves_that_to_the_next() {
    let mut stage = Stage::new().await;
    let (one, two) = (version(1, "one"), version(2, "two"));
    serve(&stage, &configured(1, "signal", &one), 1).await;
    all_run(&stage, &one).await;
    let pids = stage.pids(&revision(1)).await;
    stage.shutdown().await;
    // The wish is on disk, and nothing of it was done.
    let path = stage.component_folder().join("component.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
    let revisions = record["revisions"].as_object_mut().expect("revisions");
    let wanted = revisions.values_mut().next().expect("a revision");
    wanted["delivered"] = serde_json::to_value(&two).expect("JSON");
    std::fs::write(&path, record.to_string()).expect("written");
    // Nor does what nobody knows of stay.
    std::fs::create_dir_all(stage.component_folder().join("delivered/cart-gone-7/1")).expect("a leftover");
    stage.open().await;
    all_run(&stage, &two).await;
    assert_eq!(stage.pids(&revision(1)).await, pids);
    assert!(!stage.component_folder().join("delivered/cart-gone-7").exists());
    stage.retire(1).await;
    stage.gone(1).await;
    let left = std::fs::read_dir(stage.component_folder().join("delivered")).expect("a folder").count();
    assert_eq!(left, 0, "what a gone instance was given is gone");
    assert_eq!(ask(&stage.address().await, "/").await.0, 503);
}

#[tokio::test]
async fn a_reader_never_finds_half_of_a_delivery() {
    let stage = Stage::new().await;
    serve(&stage, &configured(1, "signal", &version(1, "1")), 1).await;
    let path = PathBuf::from(variable(&stage, "FACTORY_CONFIGURATION").await.expect("it is told where"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let reader = tokio::task::spawn_blocking(move || {
        let mut stopped = stopped;
        let mut reads = 0_u32;
        while stopped.try_recv().is_err() {
            let text = std::fs::read(&path).expect("there is always one");
            let file: Value = serde_json::from_slice(&text).expect("it is whole");
            assert_eq!(file["entries"]["greeting"], file["version"].to_string(), "it is of one version");
            reads += 1;
        }
        reads
    });
    for number in 2..12 {
        let next = version(number, &number.to_string());
        deliver(&stage, &next, 1).await.expect("accepted");
        all_run(&stage, &next).await;
    }
    stop.send(()).expect("it reads");
    assert!(reader.await.expect("every read was whole") > 10);
}
