//! A service with more to do, and then with less.

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scaling::{
    Cooldown, Fallback, PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingPolicy, ScalingRule,
    Stabilisation,
};
use runtime_domain::surface::{EffectOwner, SurfaceKind};
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Name, Replicas};
use runtime_ports::store::{Loaded, Query};
use runtime_services::scaling::NewScalingPolicy;
use runtime_testkit::faults::Call;

use super::{FENCED, Story, first, is_commit_of, owner};
use crate::stage::Stage;

/// It is given more replicas.
pub(crate) struct Busier;

async fn policy(stage: &Stage) -> Loaded<ScalingPolicy> {
    let all = Query::all(AggregateKind::ScalingPolicy);
    stage.caller().scaling().policies(&stage.scope, all).await.unwrap().items.remove(0)
}

#[async_trait(?Send)]
impl Story for Busier {
    fn name(&self) -> &'static str {
        "scaling: out"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "scaling") || matches!(owner(call), Some(EffectOwner::ScalingPolicy(_)))
    }
    async fn prepare(&self, stage: &Stage) {
        stage.world.said.measures(Measure::from_units(20));
        stage.serving(first()).await;
        let bounds = ReplicaBounds::new(SurfaceKind::Process, 1, Replicas::new(9).unwrap()).unwrap();
        let rule = ScalingRule::new(ScalingMetric::QueueLength, Measure::from_units(10));
        let terms = PolicyTerms {
            stabilisation: Stabilisation { scale_out: Span::ZERO, scale_in: Span::from_secs(30) },
            cooldown_seconds: Cooldown::from_secs(30).unwrap(),
            fallback: Fallback { after: Span::from_secs(60), ..Fallback::default() },
            ..PolicyTerms::new(bounds, [rule])
        };
        let wanted = NewScalingPolicy {
            environment: stage.environment("shop"),
            module: Name::new("web").unwrap(),
            policy: PolicySpec::new(terms).unwrap(),
        };
        stage.caller().scaling().apply(&stage.scope, wanted).await.unwrap();
        stage.work_until("it is applied", async || policy(stage).await.aggregate.applied().is_empty()).await;
    }
    async fn begin(&self, stage: &Stage) {
        stage.world.said.measures(Measure::from_units(50));
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let done: Vec<u16> = policy(stage).await.aggregate.applied().iter().map(|action| action.to).collect();
        done == [5]
    }
}
