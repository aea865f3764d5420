//! A service with more to do; and releases that say how their components scale.

use async_trait::async_trait;
use runtime_domain::deployment::Release;
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
use serde_json::Value;

use super::{FENCED, Story, component, first, is_commit_of, owner, release, rolling};
use crate::stage::Stage;

/// It is given more replicas.
pub(crate) struct Busier;
/// A release changes the policy of one component, and brings that of another.
pub(crate) struct Released;
/// It is gone back to what said otherwise of the one, and nothing of the other.
pub(crate) struct GoneBack;

/// From so many to so many replicas, one for ten that wait.
pub(crate) fn terms(least: u16, most: u16) -> PolicySpec {
    let bounds = ReplicaBounds::new(SurfaceKind::Process, least, Replicas::new(most).unwrap()).unwrap();
    let rule = ScalingRule::new(ScalingMetric::QueueLength, Measure::from_units(10));
    PolicySpec::new(PolicyTerms::new(bounds, [rule])).unwrap()
}

/// Two replicas of `web`, which scales so.
pub(crate) fn scaling(module: &str, number: u8, policy: Option<&PolicySpec>) -> Value {
    let mut component = component(module, number, 2);
    if let Some(policy) = policy {
        component["tuple"]["scaling"] = serde_json::to_value(policy).unwrap();
    }
    component
}

/// The policy that a component has.
pub(crate) async fn policy_of(stage: &Stage, module: &str) -> Option<ScalingPolicy> {
    let (environment, module) = (stage.environment("shop"), Name::new(module).unwrap());
    stage.caller().scaling().policy_of(&stage.scope, environment, &module).await.unwrap()
}

fn without_and_with() -> [Release; 2] {
    let [before, after] = [terms(1, 9), terms(2, 8)];
    [
        release(1, rolling(), &[scaling("web", 1, Some(&before)), scaling("catalog", 1, None)]),
        release(2, rolling(), &[scaling("web", 2, Some(&after)), scaling("catalog", 2, Some(&after))]),
    ]
}

async fn says(stage: &Stage, module: &str, policy: &PolicySpec, number: u32) -> bool {
    policy_of(stage, module).await.is_some_and(|found| {
        found.spec() == policy && found.released().is_some_and(|released| released.release.number == number)
    })
}

#[async_trait(?Send)]
impl Story for Released {
    fn name(&self) -> &'static str {
        "scaling: with a release"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "scaling")
    }
    async fn prepare(&self, stage: &Stage) {
        stage.world.said.measures(Measure::from_units(20));
        let [before, _] = without_and_with();
        stage.serving(before).await;
        stage.work_until("it scales", async || says(stage, "web", &terms(1, 9), 1).await).await;
    }
    async fn begin(&self, stage: &Stage) {
        let [_, after] = without_and_with();
        stage.request("shop", after).await;
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let after = terms(2, 8);
        says(stage, "web", &after, 2).await && says(stage, "catalog", &after, 2).await
    }
}

#[async_trait(?Send)]
impl Story for GoneBack {
    fn name(&self) -> &'static str {
        "scaling: back with a release"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "scaling")
    }
    async fn prepare(&self, stage: &Stage) {
        Released.prepare(stage).await;
        let [_, after] = without_and_with();
        stage.rolled_out(after).await;
        stage.work_until("it scales otherwise", async || Released.is_settled(stage).await).await;
    }
    async fn begin(&self, stage: &Stage) {
        let all = Query::all(AggregateKind::RuntimeDeployment);
        let page = stage.caller().deployments().deployments(&stage.scope, all).await.unwrap();
        let first = page.items.last().unwrap().aggregate.id();
        stage.caller().deployments().roll_back(&stage.scope, stage.environment("shop"), first).await.unwrap();
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        says(stage, "web", &terms(1, 9), 3).await && policy_of(stage, "catalog").await.is_none()
    }
}

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
