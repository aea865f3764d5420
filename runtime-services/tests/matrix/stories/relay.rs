//! Events that leave, and what follows from them within the host.

use async_trait::async_trait;
use runtime_domain::deployment::DeploymentStatus;
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::AggregateKind;
use runtime_ports::store::Query;
use runtime_testkit::faults::Call;

use super::{DEDUPLICATED, Story, first, is_commit_of};
use crate::stage::Stage;

/// A rollout's.
pub(crate) struct Relayed;

#[async_trait(?Send)]
impl Story for Relayed {
    fn name(&self) -> &'static str {
        "relay: a rollout's events"
    }
    fn class(&self) -> &'static str {
        DEDUPLICATED
    }
    fn is_own(&self, call: &Call) -> bool {
        let is_event = matches!(
            call.method,
            "publisher.publish" | "subscriber.handle" | "store.outbox_published" | "store.outbox_park"
        );
        is_event || is_commit_of(call, "inventory")
    }
    async fn prepare(&self, stage: &Stage) {
        stage.provision("shop", IsolationModel::Silo).await;
    }
    async fn begin(&self, stage: &Stage) {
        stage.request("shop", first()).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let all = Query::all(AggregateKind::RuntimeDeployment);
        let page = stage.caller().deployments().deployments(&stage.scope, all).await.unwrap();
        page.items.iter().all(|loaded| loaded.aggregate.status() == DeploymentStatus::Completed)
    }
}
