//! Rollouts that people end, and rollouts that nobody visits, on real processes.

use factory_runtime::prelude::*;

use crate::bench::{Bench, WEB, release_of, until};

const REPLICAS: u16 = 2;

/// A release of two replicas, by a strategy, with gates.
fn release(version: &str, strategy: &str, gates: &str) -> String {
    let text = release_of(version)
        .replace("rolling-health-gated: {}", strategy)
        .replace("  web:\n", &format!("  web:\n    replicas: {REPLICAS}\n"))
        .replace("progress_deadline: 3s", "progress_deadline: 20s");
    format!("{text}{gates}")
}

/// Version 2.0.0 serves with all replicas.
async fn serving() -> Bench {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "").await;
    bench.pack("3.0.0", "").await;
    let served = bench.resolve(&release("2.0.0", "rolling-health-gated: {}", "")).await.expect("resolved");
    let ended = bench.deploy(served).await;
    assert_eq!(ended.status(), DeploymentStatus::Completed, "{:#?}", bench.history(ended.id()).await);
    bench
}

/// How many replicas of whatever gets all the traffic are ready.
async fn capacity(bench: &Bench) -> u16 {
    let seen = bench.observe(WEB).await;
    let routed = seen.traffic.as_ref().map(|traffic| traffic.revisions()).unwrap_or_default();
    let [one] = routed[..] else { return 0 };
    seen.ready(one)
}

async fn begun(bench: &Bench, strategy: &str, gates: &str) -> DeploymentId {
    let release = bench.resolve(&release("3.0.0", strategy, gates)).await.expect("resolved");
    let deployments = bench.runtime().deployments();
    let asked = deployments.request(bench.scope(), bench.environment(), release).await;
    asked.expect("accepted").aggregate.id()
}

async fn abort(bench: &Bench, id: DeploymentId) -> RuntimeDeployment {
    let deployments = bench.runtime().deployments();
    deployments.abort(bench.scope(), id, "stop".to_owned()).await.expect("aborted");
    bench.ended(id).await
}

/// Buried: argo-rollouts#1292. Theirs: an abort before anything had moved scaled the stable revision to 0. Ours: what serves goes on at full
/// capacity.
#[tokio::test(flavor = "multi_thread")]
async fn argo_rollouts_1292_an_abort_with_nothing_in_flight_leaves_what_serves_at_full_capacity() {
    let bench = serving().await;
    let agreed = "gates:\n  agreed:\n    at: before-rollout\n    check:\n      approval: { required: 1 }\n";
    let id = begun(&bench, "canary: { steps: [{ weight: 10, hold: { for: 1s } }] }", agreed).await;
    let ended = abort(&bench, id).await;
    assert_eq!(ended.status(), DeploymentStatus::Rejected, "{:#?}", bench.history(id).await);
    assert_eq!((capacity(&bench).await, bench.answer().await.as_str()), (REPLICAS, "2.0.0"));
    // Again, and on one that is over: nothing changes.
    let again = bench.runtime().deployments().abort(bench.scope(), id, "stop".to_owned()).await;
    assert!(again.is_ok_and(|again| !again.changed));
    assert_eq!((capacity(&bench).await, bench.answer().await.as_str()), (REPLICAS, "2.0.0"));
}

/// Buried: argo-rollouts#4461. Theirs: an abort after all traffic had been promoted was ignored. Ours: it goes back, at full capacity.
#[tokio::test(flavor = "multi_thread")]
async fn argo_rollouts_4461_an_abort_after_all_traffic_was_promoted_goes_back_at_full_capacity() {
    let bench = serving().await;
    // A promotion skips the bake, but nobody's agreement: there is time to abort, however slow the machine.
    let agreed = "gates:\n  agreed:\n    at: after-rollout\n    check:\n      approval: { required: 1 }\n";
    let id =
        begun(&bench, "canary: { steps: [{ weight: 10, hold: until-resumed }], bake: 60s }", agreed).await;
    let deployments = bench.runtime().deployments();
    until("a part of the traffic goes to the new version", async || {
        let seen = bench.observe(WEB).await;
        let routed = seen.traffic.as_ref().map(|traffic| traffic.revisions()).unwrap_or_default();
        routed.iter().any(|revision| revision.deployment == id).then_some(())
    })
    .await;
    deployments.promote_now(bench.scope(), id).await.expect("promoted");
    until("all of the traffic goes to the new version", async || {
        let seen = bench.observe(WEB).await;
        let routed = seen.traffic.as_ref().map(|traffic| traffic.revisions()).unwrap_or_default();
        routed.iter().all(|revision| revision.deployment == id).then_some(())
    })
    .await;
    assert_eq!(bench.answer().await, "3.0.0");
    let ended = abort(&bench, id).await;
    assert_eq!(ended.status(), DeploymentStatus::RolledBack, "{:#?}", bench.history(id).await);
    assert_eq!((capacity(&bench).await, bench.answer().await.as_str()), (REPLICAS, "2.0.0"));
}

/// Buried: flagger#1011. Theirs: without traffic a canary was advanced in silence, or failed for nothing. Ours: it waits for a person, and serves
/// what it served.
#[tokio::test(flavor = "multi_thread")]
async fn flagger_1011_a_canary_without_traffic_is_neither_promoted_nor_failed() {
    let bench = serving().await;
    let errors = "gates:
  errors:
    at: during-traffic
    check:
      metric:
        metric: error-rate
        bound: { at-most: \"0.05\" }
        min_samples: 5
        interval: 100ms
        successes: 1
        failure_limit: 1
";
    let id = begun(&bench, "canary: { steps: [{ weight: 50, hold: { for: 200ms } }] }", errors).await;
    let deployments = bench.runtime().deployments();
    let waits = async || {
        let found = deployments.deployment(bench.scope(), id).await.expect("there");
        (found.status() == DeploymentStatus::Paused).then_some(found)
    };
    let found = until("it waits for a person", waits).await;
    assert!(found.gates().iter().all(|gate| gate.name.as_str() != "errors" || !gate.has_passed()));
    let ended = abort(&bench, id).await;
    assert_eq!(ended.status(), DeploymentStatus::RolledBack, "{:#?}", bench.history(id).await);
    assert_eq!((capacity(&bench).await, bench.answer().await.as_str()), (REPLICAS, "2.0.0"));
}
