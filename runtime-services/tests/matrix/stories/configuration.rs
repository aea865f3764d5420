//! A version of configuration that comes to what runs.

use async_trait::async_trait;
use runtime_domain::configuration::{ConfigurationEntries, ConfigurationState, RuntimeConfiguration};
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::{AggregateKind, ConfigurationId};
use runtime_domain::surface::EffectOwner;
use runtime_ports::store::{Loaded, Query};
use runtime_services::configuration::Synchronise;
use runtime_testkit::faults::Call;
use serde_json::json;

use super::{FENCED, Story, component, is_commit_of, owner, release, rolling};
use crate::stage::Stage;

/// Two components take it in place.
pub(crate) struct InPlace;
/// They are rolled out with it.
pub(crate) struct RolledOut;

fn greeting(text: &str) -> ConfigurationEntries {
    let value = json!({ "type": "text", "value": text });
    serde_json::from_value(json!([{ "scope": "environment", "key": "greeting", "value": value }])).unwrap()
}

async fn publish(stage: &Stage, text: &str) -> ConfigurationId {
    let configuration = stage.caller().configuration();
    let published = configuration.publish(&stage.scope, stage.environment("shop"), greeting(text)).await;
    published.unwrap().aggregate.id()
}

async fn versions(stage: &Stage) -> Vec<Loaded<RuntimeConfiguration>> {
    let all = Query::all(AggregateKind::RuntimeConfiguration);
    stage.caller().configuration().configurations(&stage.scope, all).await.unwrap().items
}

/// Both run the first version.
async fn prepared(stage: &Stage, reload: Option<&str>) {
    stage.provision("shop", IsolationModel::Silo).await;
    let first = publish(stage, "first").await;
    let components = ["cart", "pay"].map(|module| {
        let mut component = component(module, 1, 2);
        if let Some(reload) = reload {
            component["configuration"] = json!({ "reload": reload, "report": "/configuration" });
        }
        component
    });
    let mut release = release(1, rolling(), &components);
    release.configuration_id = Some(first);
    stage.rolled_out(release).await;
    stage
        .work_until("it is synchronised", async || {
            matches!(versions(stage).await[0].aggregate.state(), ConfigurationState::Synced(_))
        })
        .await;
}

async fn begun(stage: &Stage) {
    let second = publish(stage, "second").await;
    let configuration = stage.caller().configuration();
    let environment = stage.environment("shop");
    configuration.synchronise(&stage.scope, environment, Synchronise::to(second)).await.unwrap();
}

async fn is_settled(stage: &Stage) -> bool {
    let versions = versions(stage).await;
    let [second, first] = &versions[..] else { panic!("{versions:#?}") };
    matches!(second.aggregate.state(), ConfigurationState::Synced(_))
        && matches!(first.aggregate.state(), ConfigurationState::Superseded(_))
}

#[async_trait(?Send)]
impl Story for InPlace {
    fn name(&self) -> &'static str {
        "configuration: in place"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "configuration") || matches!(owner(call), Some(EffectOwner::Configuration(_)))
    }
    async fn prepare(&self, stage: &Stage) {
        prepared(stage, Some("signal")).await;
    }
    async fn begin(&self, stage: &Stage) {
        begun(stage).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        is_settled(stage).await
    }
}

#[async_trait(?Send)]
impl Story for RolledOut {
    fn name(&self) -> &'static str {
        "configuration: rolled out"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "configuration") || matches!(owner(call), Some(EffectOwner::Deployment(_)))
    }
    async fn prepare(&self, stage: &Stage) {
        prepared(stage, None).await;
    }
    async fn begin(&self, stage: &Stage) {
        begun(stage).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        is_settled(stage).await
    }
}
