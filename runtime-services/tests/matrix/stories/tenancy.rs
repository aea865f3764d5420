//! A tenant that moves into a silo of its own.

use async_trait::async_trait;
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::AggregateKind;
use runtime_domain::surface::EffectOwner;
use runtime_domain::tenancy::{BindingStatus, PartitionAssignment, ResourceQuota, RuntimeTenantBinding};
use runtime_domain::time::Span;
use runtime_ports::store::{Query, Repository, Store as _};
use runtime_services::tenancy::NewBinding;
use runtime_testkit::faults::Call;

use super::{FENCED, Story, first, is_commit_of, owner};
use crate::stage::Stage;

/// From a pool.
pub(crate) struct Moved;

pub(crate) async fn bindings(stage: &Stage) -> Vec<RuntimeTenantBinding> {
    let store = stage.world.store.for_tenant(&stage.scope);
    let all = Query::all(AggregateKind::RuntimeTenantBinding);
    let page = Repository::<RuntimeTenantBinding>::new(&*store).query(all).await.unwrap();
    page.items.into_iter().map(|loaded| loaded.aggregate).collect()
}

/// Gives the tenant its place in an environment.
pub(crate) async fn bind(stage: &Stage, environment: &'static str, isolation_model: IsolationModel) {
    let environment = stage.environment(environment);
    let quota = ResourceQuota::new(10_000, 1 << 40, 1 << 40, 1_000).unwrap();
    let partitions = PartitionAssignment::derived(stage.scope.tenant(), environment, isolation_model);
    let wanted = NewBinding { environment, isolation_model, quota, partitions };
    stage.caller().tenancy().bind(&stage.scope, wanted).await.unwrap();
}

#[async_trait(?Send)]
impl Story for Moved {
    fn name(&self) -> &'static str {
        "tenancy: moved"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "tenancy") || matches!(owner(call), Some(EffectOwner::RuntimeTenantBinding(_)))
    }
    async fn prepare(&self, stage: &Stage) {
        stage.provision("shop", IsolationModel::Pool).await;
        stage.provision("silo", IsolationModel::Silo).await;
        bind(stage, "shop", IsolationModel::Pool).await;
        stage.rolled_out(first()).await;
    }
    async fn begin(&self, stage: &Stage) {
        let pool = stage.environment("shop");
        let binding = bindings(stage).await.into_iter().find(|it| it.environment_id() == pool).unwrap();
        let (tenancy, silo) = (stage.caller().tenancy(), stage.environment("silo"));
        tenancy.move_to_silo(&stage.scope, binding.id(), silo, Span::from_secs(5)).await.unwrap();
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let pool = stage.environment("shop");
        bindings(stage).await.iter().all(|binding| {
            let is_left = binding.environment_id() == pool;
            let wanted = if is_left { BindingStatus::Released } else { BindingStatus::Bound };
            binding.state().status() == wanted && binding.is_settled()
        })
    }
}
