//! What is known of a service that falls ill.

use async_trait::async_trait;
use runtime_domain::id::ServiceId;
use runtime_domain::inventory::RuntimeStatus;
use runtime_testkit::faults::Call;

use super::{Story, first, is_commit_of};
use crate::stage::Stage;

/// Its instances are not ready any more.
pub(crate) struct Ill;

#[async_trait(?Send)]
impl Story for Ill {
    fn name(&self) -> &'static str {
        "inventory: falls ill"
    }
    fn class(&self) -> &'static str {
        "records only: once, by their claims and leases"
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "inventory") || call.method == "health_results.append"
    }
    async fn prepare(&self, stage: &Stage) {
        stage.serving(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        stage.world.surface.is_ill(&stage.key("shop", "web"), true);
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let key = stage.key("shop", "web");
        let service = ServiceId::of(key.environment, &key.module);
        let known = stage.caller().inventory().service(&stage.scope, service).await.unwrap();
        let is_told =
            stage.world.bus.events().iter().any(|event| event.event_type.contains("HealthDegraded"));
        known.status() == RuntimeStatus::Unavailable && is_told
    }
}
