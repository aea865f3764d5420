//! Versions that are taken in place where a consumer, or the surface, fails: every consumer ends with the newest version, is given it once, and a
//! version is called synchronised only when all were seen to run it. Hosts that die at it are in `tests/matrix`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

mod stage;
mod world;

use std::time::Duration;

use runtime_domain::configuration::ConfigurationState;
use runtime_domain::id::ConfigurationId;
use stage::Stage;

const CONSUMERS: usize = 2;

async fn state(stage: &Stage, id: ConfigurationId) -> ConfigurationState {
    let configuration = stage.services().configuration();
    configuration.configuration(stage.scope(), id).await.unwrap().state().clone()
}

async fn synced(stage: &Stage, id: ConfigurationId) {
    stage
        .until("it is synchronised", async || matches!(state(stage, id).await, ConfigurationState::Synced(_)))
        .await;
}

/// The version is in force alone, was announced once, and every consumer was given it once and nothing after it.
async fn is_settled(stage: &Stage, old: ConfigurationId, new: ConfigurationId) {
    let superseded = async || matches!(state(stage, old).await, ConfigurationState::Superseded(_));
    stage.until("the old version has given way", superseded).await;
    let history = stage.services().configuration().history(stage.scope(), new, 0, 100).await.unwrap();
    let announced = history.iter().filter(|entry| entry.event == "ConfigurationSynced").count();
    assert_eq!(announced, 1, "{:?}", history.iter().map(|entry| &entry.event).collect::<Vec<_>>());
    let given = stage.surface().given();
    assert_eq!(given.len(), CONSUMERS, "{given:?}");
    assert!(given.values().all(|versions| *versions == [2]), "an effect is doubled: {given:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_consumer_that_cannot_be_told_keeps_no_other_from_it_and_nothing_is_called_synchronised() {
    let stage = Stage::with_a_version_that_runs().await;
    stage.surface().fail_deliveries_of("pay", true);
    let host = stage.host();
    let new = stage.publish_and_tell("second").await;
    stage.until("the other one has it", async || stage.surface().given().len() == 1).await;
    stage.until("it was tried again and again", async || stage.surface().failures() > 3).await;
    let ConfigurationState::Published(published) = state(&stage, new).await else { panic!("not in sync") };
    assert_eq!((published.consumption.expected.len(), published.consumption.was_consumed), (CONSUMERS, true));
    assert!(
        matches!(state(&stage, stage.first()).await, ConfigurationState::Published(_)),
        "it runs in part"
    );

    stage.surface().fail_deliveries_of("pay", false);
    synced(&stage, new).await;
    is_settled(&stage, stage.first(), new).await;
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_says_nothing_for_a_version_and_nothing_against_it() {
    let stage = Stage::with_a_version_that_runs().await;
    let host = stage.host();
    stage.surface().blind(true);
    stage.until("it was looked for", async || stage.surface().blind_looks() > 3).await;
    assert!(matches!(state(&stage, stage.first()).await, ConfigurationState::Synced(_)), "still");
    stage.surface().blind(false);
    let new = stage.publish_and_tell("second").await;
    synced(&stage, new).await;
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_overtaken_is_given_to_nobody_any_more() {
    let stage = Stage::with_a_version_that_runs().await;
    let second = stage.publish_and_tell("second").await;
    let third = stage.publish_and_tell("third").await;
    let host = stage.host();
    synced(&stage, third).await;
    let gone = async || matches!(state(&stage, second).await, ConfigurationState::Superseded(_));
    stage.until("the overtaken one has given way", gone).await;
    let given = stage.surface().given();
    assert!(given.values().all(|versions| versions.last() == Some(&3)), "{given:?}");
    host.end().await;
}

const PATIENCE: Duration = Duration::from_secs(30);
