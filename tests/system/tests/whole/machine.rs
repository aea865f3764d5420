//! A machine that does not give what is needed: a port, or room on its disk.

use factory_runtime::embedded::SqliteOptions;
use factory_runtime::ports::PortErrorKind;
use factory_runtime::services::CommandError;

use crate::bench::{Bench, WEB, get, in_words, release_of, says, taken_port, until};

/// A release of another component, beside the one that serves.
fn beside(module: &str) -> String {
    release_of("1.0.0").replace("  web:", &format!("  {module}:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_port_in_use_rolls_the_release_back_with_the_port() {
    let mut bench = Bench::with_a_release().await;
    let (held, port) = taken_port();
    let key = bench.key("cart");
    bench.reopen(|options| options.endpoint_port(key, port)).await;
    let release = bench.resolve(&beside("cart")).await.expect("resolved");
    let ended = bench.deploy(release.clone()).await;
    assert_eq!(ended.status().name(), "RolledBack");
    let told = bench.history(ended.id()).await;
    let (_, why) = told.last().expect("a history");
    says(why, &["cart", &format!("port {port}"), "stop the program that has it", "another port"]);

    drop(held);
    let deployments = bench.runtime().deployments();
    let reason = "the port is free now".to_owned();
    deployments.release_quarantine(bench.scope(), ended.id(), reason).await.expect("released");
    let again = bench.deploy(release).await;
    assert_eq!(again.status().name(), "Completed", "{:#?}", bench.history(again.id()).await);
    assert_eq!(get(&format!("127.0.0.1:{port}"), "/").await.expect("an answer"), "1.0.0");
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_port_taken_while_no_host_ran_is_told_and_served_again_when_it_is_free() {
    let mut bench = Bench::with_a_release().await;
    let (held, port) = taken_port();
    let key = bench.key(WEB);
    bench.reopen(|options| options.endpoint_port(key, port)).await;
    let seen = bench.observe(WEB).await;
    assert_eq!(seen.endpoint, None);
    let trouble = seen.revisions.values().find_map(|revision| revision.trouble.clone());
    says(&trouble.expect("trouble"), &[WEB, &format!("port {port}"), "stop the program that has it"]);

    drop(held);
    until("the endpoint is open again", async || bench.observe(WEB).await.endpoint).await;
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_a_request_and_harms_nothing() {
    let mut bench = Bench::with_a_release().await;
    // Closing the store brings its file to its full size.
    bench.reopen(|options| options).await;
    let size = std::fs::metadata(bench.path("store.db")).expect("the store").len();
    let room = size + 64 * 1024;
    bench.reopen(|options| options.store(SqliteOptions::default().largest(room))).await;

    bench.pack("2.0.0", "").await;
    let large = format!("    variables: {{ LARGE: {} }}\n", "x".repeat(30_000));
    let yaml = (0..4).fold(release_of("2.0.0"), |yaml, number| {
        yaml + &format!("  other-{number}:\n    image: test/web:2.0.0\n    version: 2.0.0\n{large}")
    });
    let release = bench.resolve(&yaml).await.expect("resolved");
    let before = bench.listing().await;
    let deployments = bench.runtime().deployments();
    let error = deployments
        .request(bench.scope(), bench.environment(), release.clone())
        .await
        .expect_err("there is no room");
    let CommandError::Port(port) = &error else { panic!("another error: {}", in_words(&error)) };
    assert_eq!(port.kind(), PortErrorKind::Exhausted);
    says(&in_words(&error), &["the disk or the database's size limit is full", "free space"]);
    says(&error.remedy(), &["try again later"]);
    assert_eq!(bench.listing().await, before);
    assert_eq!(bench.answer().await, "1.0.0");

    bench.reopen(|options| options.store(SqliteOptions::default())).await;
    assert_eq!(bench.listing().await, before);
    bench.is_unharmed().await;
    let ended = bench.deploy(release).await;
    assert_eq!(ended.status().name(), "Completed", "{:#?}", bench.history(ended.id()).await);
    assert_eq!(bench.answer().await, "2.0.0", "what was refused goes through where there is room");
}
