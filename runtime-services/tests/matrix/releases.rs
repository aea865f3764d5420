//! How a component's scaling policy comes and goes with its releases, on whole hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime_domain::component::ImageDigest;
use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::drift::watch::{Outlook, WatchTerms};
use runtime_domain::drift::{DriftKind, RemediationMode};
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::{AggregateKind, DeploymentId};
use runtime_domain::scaling::{PolicySpec, ScalingEvent};
use runtime_domain::value::{Measure, Name};
use runtime_ports::desired_state::DesiredReleases;
use runtime_ports::store::Query;
use runtime_services::configuration::Synchronise;
use runtime_services::scaling::NewScalingPolicy;
use runtime_testkit::faults::{Fault, Faults};
use serde_json::json;

use crate::stage::Stage;
use crate::stories::scaling::{policy_of, scaling, terms};
use crate::stories::{image, release, rolling};

/// A release with this number of `web`, which scales to so many replicas where that is said.
fn web(number: u8, most: Option<u16>) -> Release {
    let policy = most.map(|most| terms(1, most));
    release(number, rolling(), &[scaling("web", number, policy.as_ref())])
}

/// A stage with a silo `shop`, where two replicas have enough to do.
async fn stage() -> Stage {
    let stage = Stage::new();
    stage.world.said.measures(Measure::from_units(20));
    stage.provision("shop", IsolationModel::Silo).await;
    stage
}

async fn most(stage: &Stage) -> Option<u16> {
    policy_of(stage, "web").await.map(|policy| policy.max_replicas().get())
}

/// A host works until `web` scales to so many replicas; `None` where it has no policy.
async fn scales_to(stage: &Stage, wanted: Option<u16>) {
    let what = format!("it scales to {wanted:?}");
    stage.work_until(&what, async || most(stage).await == wanted).await;
}

async fn by_hand(stage: &Stage, most: u16) {
    stage.rest(Duration::from_secs(1)).await;
    let policy = policy_of(stage, "web").await.unwrap().id();
    stage.caller().scaling().change(&stage.scope, policy, terms(1, most)).await.unwrap();
}

async fn back_to(stage: &Stage, to: DeploymentId) {
    let deployments = stage.caller().deployments();
    let asked = deployments.roll_back(&stage.scope, stage.environment("shop"), to).await.unwrap();
    let asked = asked.aggregate.id();
    let is_back = async || stage.status(asked).await == DeploymentStatus::Completed;
    stage.work_until("it is back", is_back).await;
}

/// Every number of replicas that a policy of `web` was ever to scale to.
async fn ever(stage: &Stage) -> Vec<u16> {
    let scaling = stage.caller().scaling();
    let mut said = Vec::new();
    let all = scaling.policies(&stage.scope, Query::all(AggregateKind::ScalingPolicy)).await.unwrap();
    for policy in all.items {
        for entry in scaling.history(&stage.scope, policy.aggregate.id(), 0, 1_000).await.unwrap() {
            use runtime_domain::scaling::PolicyEffect::{Applied, Changed};
            if let ScalingEvent::ScalingPolicyApplied {
                effect: Applied { policy, .. } | Changed { policy, .. },
                ..
            } = serde_json::from_str(&entry.body).unwrap()
            {
                said.push(policy.bounds().most().get());
            }
        }
    }
    said
}

/// Shows X-6.
#[tokio::test(start_paused = true)]
async fn a_release_brings_its_policy_changes_it_and_leaves_it_alone_where_it_says_nothing() {
    let stage = stage().await;
    stage.rolled_out(web(1, None)).await;
    assert_eq!(most(&stage).await, None);
    stage.rolled_out(web(2, Some(5))).await;
    scales_to(&stage, Some(5)).await;
    by_hand(&stage, 7).await;
    stage.rolled_out(web(3, None)).await;
    assert_eq!(most(&stage).await, Some(7), "it says nothing of it");
    stage.rolled_out(web(4, Some(5))).await;
    scales_to(&stage, Some(5)).await;
    assert_eq!(ever(&stage).await, [5, 7, 5]);
}

/// Shows X-6.
#[tokio::test(start_paused = true)]
async fn what_a_release_says_that_goes_back_by_itself_is_never_in_force() {
    let stage = stage().await;
    stage.world.surface.breaks(ImageDigest::new(&format!("sha256:{:064x}", 2)).unwrap());
    stage.rolled_out(web(1, Some(5))).await;
    scales_to(&stage, Some(5)).await;
    let asked = stage.request("shop", web(2, Some(6))).await;
    let is_back = async || stage.status(asked).await == DeploymentStatus::RolledBack;
    stage.work_until("it goes back", is_back).await;
    assert_eq!((most(&stage).await, ever(&stage).await), (Some(5), vec![5]));
}

/// Shows X-6.
#[tokio::test(start_paused = true)]
async fn going_back_brings_back_the_terms_of_what_is_gone_back_to() {
    let stage = stage().await;
    let plain = stage.rolled_out(web(1, None)).await;
    let first = stage.rolled_out(web(2, Some(5))).await;
    scales_to(&stage, Some(5)).await;
    stage.rolled_out(web(3, Some(6))).await;
    scales_to(&stage, Some(6)).await;
    back_to(&stage, first).await;
    scales_to(&stage, Some(5)).await;
    // What scaled by no policy does so again: the one that there is came with what is gone back from.
    back_to(&stage, plain).await;
    scales_to(&stage, None).await;
    assert_eq!(ever(&stage).await, [5, 6, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_somebody_asked_for_is_not_retired_by_a_way_back_and_says_what_it_said() {
    let stage = stage().await;
    let plain = stage.rolled_out(web(1, None)).await;
    let wanted = NewScalingPolicy {
        environment: stage.environment("shop"),
        module: Name::new("web").unwrap(),
        policy: terms(1, 4),
    };
    stage.caller().scaling().apply(&stage.scope, wanted).await.unwrap();
    stage.rest(Duration::from_secs(1)).await;
    stage.rolled_out(web(2, Some(5))).await;
    scales_to(&stage, Some(5)).await;
    back_to(&stage, plain).await;
    scales_to(&stage, Some(4)).await;
}

/// A stage where a deployment that says how `web` scales is Completed, and nobody has told scaling yet.
async fn untold(stage: &Stage) {
    let asked = stage.request("shop", web(2, Some(5))).await;
    let host = stage.host(Faults::new(|call| {
        let is_told = call.actor.as_ref().is_some_and(|actor| actor.as_str() == "reconciler:scaling");
        (is_told && call.method == "store.commit").then_some(Fault::FreezeBefore)
    }));
    assert!(stage.until(Duration::from_secs(600), async || host.faults.is_frozen()).await);
    assert_eq!(stage.status(asked).await, DeploymentStatus::Completed);
    host.kill().await;
    stage.rest(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_asks_for_after_a_release_serves_stands_though_scaling_hears_of_the_release_later() {
    let stage = stage().await;
    stage.rolled_out(web(1, None)).await;
    untold(&stage).await;
    assert_eq!(most(&stage).await, None, "nobody was told");
    let wanted = NewScalingPolicy {
        environment: stage.environment("shop"),
        module: Name::new("web").unwrap(),
        policy: terms(1, 4),
    };
    stage.caller().scaling().apply(&stage.scope, wanted).await.unwrap();
    stage.work_until("everything is told", async || stage.is_quiet().await).await;
    stage.rest(Duration::from_secs(60)).await;
    assert_eq!(ever(&stage).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_stands_where_a_configuration_is_brought_to_what_serves() {
    let stage = stage().await;
    let environment = stage.environment("shop");
    let configuration = stage.caller().configuration();
    let publish = async |text: &str| {
        let value = json!({ "type": "text", "value": text });
        let entries = json!([{ "scope": "environment", "key": "greeting", "value": value }]);
        let entries = serde_json::from_value(entries).unwrap();
        configuration.publish(&stage.scope, environment, entries).await.unwrap().aggregate.id()
    };
    let mut first = web(1, Some(5));
    first.configuration_id = Some(publish("first").await);
    stage.rolled_out(first).await;
    scales_to(&stage, Some(5)).await;
    by_hand(&stage, 7).await;
    let second = publish("second").await;
    let begun = configuration.synchronise(&stage.scope, environment, Synchronise::to(second)).await.unwrap();
    let brought = begun.deployments[0].aggregate.clone();
    let declared = |release: &Release| release.components.values().next().unwrap().tuple.scaling.clone();
    assert_eq!(declared(brought.release()), Some(terms(1, 7)), "it comes with what is in force");
    let is_there = async || stage.status(brought.id()).await == DeploymentStatus::Completed;
    stage.work_until("it is brought", is_there).await;
    assert_eq!(ever(&stage).await, [5, 7]);
}

/// Shows DRF-3.
#[tokio::test(start_paused = true)]
async fn a_policy_that_does_not_say_what_the_manifest_says_is_drift_and_is_repaired() {
    let stage = stage().await;
    let environment = stage.environment("shop");
    let policy: PolicySpec = terms(1, 5);
    let manifest = serde_json::from_value(json!({
        "release": "shop-1",
        "strategy": rolling(),
        "components": {
            "web": { "image": image("web", 1), "version": "1", "replicas": 2, "scaling": policy },
        },
    }))
    .unwrap();
    let desired = DesiredReleases::new(BTreeMap::from([("shop.yaml".to_owned(), manifest)])).unwrap();
    stage.world.said.desires(format!("git:{:040x}", 1).parse().unwrap(), desired);
    let mut watch = WatchTerms::new("shop".parse().unwrap());
    watch.remediation.modes = DriftKind::ALL.map(|kind| (kind, RemediationMode::Remediate)).into();
    stage.caller().drift().watch(&stage.scope, environment, watch).await.unwrap();
    let is_in_sync = async || {
        let watched = stage.caller().drift().watched(&stage.scope, environment).await.unwrap();
        matches!(watched.outlook(), Some(Outlook::InSync { .. }))
    };
    let says = async |wanted| most(&stage).await == Some(wanted) && is_in_sync().await;
    stage.work_until("it is as desired", async || says(5).await).await;
    by_hand(&stage, 7).await;
    let host = stage.host(Faults::none());
    let found = async || {
        let open = stage.caller().drift().open_findings(&stage.scope, environment).await.unwrap();
        open.iter().any(|finding| {
            finding.kind() == DriftKind::ConfigDrift
                && finding.diff().entries()[0].path == "/scaling/bounds/max_replicas"
        })
    };
    assert!(stage.until(Duration::from_secs(600), found).await, "it is found");
    host.stop().await;
    stage.work_until("it is repaired", async || says(5).await).await;
    assert_eq!(ever(&stage).await, [5, 7, 5]);
}
