//! An environment, made and taken down.

use async_trait::async_trait;
use runtime_domain::environment::{IsolationModel, ProvisioningStatus};
use runtime_testkit::faults::Call;

use super::{FENCED, Story, first, is_commit_of};
use crate::stage::Stage;

/// It is provisioned.
pub(crate) struct Provisioned;
/// It is taken down, with what runs in it.
pub(crate) struct Decommissioned;

async fn status(stage: &Stage) -> ProvisioningStatus {
    let environment = stage.environment("shop");
    let found = stage.caller().environments().environment(&stage.scope, environment).await.unwrap();
    found.provisioning_status()
}

#[async_trait(?Send)]
impl Story for Provisioned {
    fn name(&self) -> &'static str {
        "environment: provisioned"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "environment") || call.method.starts_with("infrastructure.")
    }
    async fn prepare(&self, _stage: &Stage) {}
    async fn begin(&self, stage: &Stage) {
        stage.ask_for_environment("shop", IsolationModel::Silo).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        status(stage).await == ProvisioningStatus::Provisioned
    }
}

#[async_trait(?Send)]
impl Story for Decommissioned {
    fn name(&self) -> &'static str {
        "environment: decommissioned"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        let is_effect = call.method.starts_with("infrastructure.") || call.method == "surface.retire";
        is_commit_of(call, "environment") || is_effect
    }
    async fn prepare(&self, stage: &Stage) {
        stage.serving(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        let environments = stage.caller().environments();
        let reason = "it is over".to_owned();
        environments.decommission(&stage.scope, stage.environment("shop"), reason).await.unwrap();
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        status(stage).await == ProvisioningStatus::Decommissioned
    }
}
