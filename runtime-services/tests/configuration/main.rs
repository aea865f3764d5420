//! Versions that are taken in place, by hosts that fail, are killed, and come back: every consumer ends with the newest version, is given it
//! once, and a version is called synchronised only when all were seen to run it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

mod stage;
mod world;

use std::time::Duration;

use runtime_domain::configuration::ConfigurationState;
use runtime_domain::id::ConfigurationId;
use stage::{Point, Stage};

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

/// Kills a host at one point, lets another take over, and then lets the killed one go on as if nothing had happened. False where the host
/// never came to the point.
async fn survives(point: Point) -> bool {
    let stage = Stage::with_a_version_that_runs().await;
    let (old, new) = (stage.first(), stage.publish_and_tell("second").await);
    let doomed = stage.doomed_host(point);
    let came_there = doomed.is_frozen_or_done(async || {
        matches!(state(&stage, new).await, ConfigurationState::Synced(_))
            && matches!(state(&stage, old).await, ConfigurationState::Superseded(_))
    });
    if !came_there.await {
        doomed.end().await;
        return false;
    }
    let other = stage.host();
    synced(&stage, new).await;
    is_settled(&stage, old, new).await;
    // What it meant to do when it was cut off is the past.
    doomed.end().await;
    is_settled(&stage, old, new).await;
    other.end().await;
    true
}

/// Shows X-7.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_host_may_be_killed_before_and_after_every_effect_and_commit_and_come_back() {
    let of_number =
        |number| [Point::BeforeEffect(number), Point::AfterEffect(number), Point::AfterCommit(number)];
    let cases = (1..=8).flat_map(of_number).map(async |point| (point, survives(point).await));
    let ended = futures::future::join_all(cases).await;
    let reached: Vec<Point> =
        ended.into_iter().filter_map(|(point, reached)| reached.then_some(point)).collect();
    for point in [Point::BeforeEffect(CONSUMERS), Point::AfterEffect(CONSUMERS), Point::AfterCommit(4)] {
        assert!(reached.contains(&point), "{point:?} was never come to: {reached:?}");
    }
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
