//! Rollouts, by every strategy, and one that rolls back.

use async_trait::async_trait;
use runtime_domain::deployment::{DeploymentStatus, Release};
use runtime_domain::surface::EffectOwner;
use runtime_testkit::faults::Call;
use serde_json::{Value, json};

use super::{FENCED, Story, component, first, image, is_commit_of, owner, release};
use crate::stage::Stage;

/// By steps, with a job before it and a probe meanwhile.
pub(crate) struct Canary;
/// Batch by batch, of two components, one of which needs the other.
pub(crate) struct Rolling;
/// All at once, and then it is watched for so long.
pub(crate) struct BlueGreen {
    pub(crate) bake: &'static str,
}
/// What is never ready, and rolls back.
pub(crate) struct Broken;

fn is_own(call: &Call) -> bool {
    is_commit_of(call, "deployment") || matches!(owner(call), Some(EffectOwner::Deployment(_)))
}

async fn newest(stage: &Stage) -> Option<DeploymentStatus> {
    let all = runtime_ports::store::Query::all(runtime_domain::id::AggregateKind::RuntimeDeployment);
    let page = stage.caller().deployments().deployments(&stage.scope, all).await.unwrap();
    page.items.first().map(|newest| newest.aggregate.status())
}

fn gated(mut release: Release, gates: Value) -> Release {
    release.gates = serde_json::from_value(gates).unwrap();
    release
}

#[async_trait(?Send)]
impl Story for Canary {
    fn name(&self) -> &'static str {
        "deployment: canary"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_own(call)
    }
    async fn prepare(&self, stage: &Stage) {
        stage.serving(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        let strategy =
            json!({ "canary": { "steps": [{ "weight": 20, "hold": { "for": "2s" } }], "bake": "2s" } });
        let gates = json!([
            { "name": "migrated", "at": "before-rollout", "check": { "job": {
                "name": "migrate", "image": image("web", 2), "timeout": "60s",
            } } },
            { "name": "answers", "at": "during-traffic", "check": { "probe": { "path": "/" } } },
        ]);
        stage.request("shop", gated(release(2, strategy, &[component("web", 2, 3)]), gates)).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        newest(stage).await == Some(DeploymentStatus::Completed)
    }
}

#[async_trait(?Send)]
impl Story for Rolling {
    fn name(&self) -> &'static str {
        "deployment: rolling"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_own(call)
    }
    async fn prepare(&self, stage: &Stage) {
        stage.serving(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        let mut web = component("web", 2, 2);
        web["depends_on"] = json!(["catalog"]);
        let components = [web, component("catalog", 2, 1)];
        stage.request("shop", release(2, super::rolling(), &components)).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        newest(stage).await == Some(DeploymentStatus::Completed)
    }
}

#[async_trait(?Send)]
impl Story for BlueGreen {
    fn name(&self) -> &'static str {
        "deployment: blue/green"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_own(call)
    }
    async fn prepare(&self, stage: &Stage) {
        stage.serving(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        let strategy = json!({ "blue-green": { "bake": self.bake, "retirement_delay": "2s" } });
        stage.request("shop", release(2, strategy, &[component("web", 2, 2)])).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        newest(stage).await == Some(DeploymentStatus::Completed)
    }
}

#[async_trait(?Send)]
impl Story for Broken {
    fn name(&self) -> &'static str {
        "deployment: rolls back"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_own(call)
    }
    async fn prepare(&self, stage: &Stage) {
        let digest = format!("sha256:{:064x}", 2);
        stage.world.surface.breaks(runtime_domain::component::ImageDigest::new(&digest).unwrap());
        stage.serving(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        stage.request("shop", release(2, super::rolling(), &[component("web", 2, 2)])).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        newest(stage).await == Some(DeploymentStatus::RolledBack)
    }
}
