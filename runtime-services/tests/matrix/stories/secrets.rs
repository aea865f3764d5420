//! A secret that is rotated while a component uses it.

use async_trait::async_trait;
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::AggregateKind;
use runtime_domain::secrets::{RotationSchedule, SecretBinding, SecretReference, SecretStatus};
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_ports::store::{Loaded, Query};
use runtime_services::secrets::{NewSecretBinding, RotationRequest};
use runtime_testkit::faults::Call;

use super::{FENCED, Story, first, is_commit_of};
use crate::stage::Stage;

/// A new version is made, brought, and the old one retired.
pub(crate) struct Rotated;

async fn binding(stage: &Stage) -> Loaded<SecretBinding> {
    let all = Query::all(AggregateKind::SecretBinding);
    stage.caller().secrets().bindings(&stage.scope, all).await.unwrap().items.remove(0)
}

#[async_trait(?Send)]
impl Story for Rotated {
    fn name(&self) -> &'static str {
        "secrets: rotated"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "secrets") || call.method.starts_with("secrets.")
    }
    async fn prepare(&self, stage: &Stage) {
        let secret: SecretReference = "local://main/web/1".parse().unwrap();
        stage.world.vault.keep(&secret);
        stage.provision("shop", IsolationModel::Silo).await;
        let wanted = NewSecretBinding {
            environment: stage.environment("shop"),
            module: Name::new("web").unwrap(),
            secret,
            identity: "local:web".parse().unwrap(),
            delivery: "file:password".parse().unwrap(),
            rotation_schedule: RotationSchedule::new(None, Span::from_secs(10)).unwrap(),
        };
        stage.caller().secrets().bind(&stage.scope, wanted).await.unwrap();
        stage.rolled_out(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        let id = binding(stage).await.aggregate.id();
        let request = RotationRequest::because("audit");
        stage.caller().secrets().rotate(&stage.scope, id, request).await.unwrap();
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let binding = binding(stage).await.aggregate;
        binding.state().status() == SecretStatus::Bound && binding.current_version().to_string() == "2"
    }
}
