//! Who owns the replicas while releases come and go.

use factory_runtime::domain::scaling::{PolicySpec, ScalingMetric::RequestRate};
use factory_runtime::domain::surface::SurfaceKind;

use crate::stage::{Load, Stage, terms, until};

/// Buried: argo-rollouts#3848. Theirs: a rollout that met a scaler stayed Progressing for ever. Ours: a release comes at the capacity that the
/// policy gave, and the policy goes back with the release.
///
/// Buried: flagger#1407.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn argo_rollouts_3848_flagger_1407_a_release_comes_and_goes_at_the_capacity_that_the_policy_gave() {
    let stage = Stage::new().await;
    let first = stage.deploy("web", "1.0.0", "").await;
    let policy = stage.apply("web", terms(SurfaceKind::Process, 1, 3, RequestRate, 10)).await;
    let load = Load::begin(&stage.endpoint("web").await, 15);
    stage.until_replicas("web", 3).await;

    let second = stage.deploy("web", "2.0.0", "").await;
    let brought = second.release().components.values().next().expect("a component");
    assert_eq!((brought.replicas.get(), brought.tuple.scaling_policy), (3, Some(policy.id())));
    stage.until_replicas("web", 3).await;

    // The policy is changed for the new release, which turns out to be bad.
    let changed = PolicySpec::new(terms(SurfaceKind::Process, 2, 3, RequestRate, 8)).expect("a policy");
    stage.runtime.scaling().change(&stage.scope, policy.id(), changed.clone()).await.expect("changed");
    let back = stage.runtime.deployments().roll_back(&stage.scope, stage.environment, first.id()).await;
    stage.ended(back.expect("accepted").aggregate.id()).await;
    until("the policy is as it was", async || {
        (*stage.policy("web").await.spec() == *policy.spec()).then_some(())
    })
    .await;
    stage.until_replicas("web", 3).await;
    let (sent, failed) = load.end().await;
    assert_eq!(failed, 0, "of {sent}");
}

/// A component that scales to so many replicas, by ten requests a second for each.
fn scaling_to(most: u16) -> String {
    format!(
        "    scaling:
      bounds: {{ target: process, min_replicas: 1, max_replicas: {most} }}
      rules: [{{ metric: request-rate, threshold: \"10\" }}]
"
    )
}

/// Shows X-6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_scale_as_the_release_says_that_serves_and_again_as_the_one_that_is_gone_back_to() {
    let stage = Stage::new().await;
    let first = stage.deploy("web", "1.0.0", &scaling_to(3)).await;
    let load = Load::begin(&stage.endpoint("web").await, 15);
    stage.until_replicas("web", 3).await;
    stage.deploy("web", "2.0.0", &scaling_to(2)).await;
    until("the policy is the new release's", async || {
        (stage.policy("web").await.max_replicas().get() == 2).then_some(())
    })
    .await;
    stage.until_replicas("web", 2).await;
    let back = stage.runtime.deployments().roll_back(&stage.scope, stage.environment, first.id()).await;
    stage.ended(back.expect("accepted").aggregate.id()).await;
    stage.until_replicas("web", 3).await;
    let (sent, failed) = load.end().await;
    assert_eq!(failed, 0, "of {sent}");
}
