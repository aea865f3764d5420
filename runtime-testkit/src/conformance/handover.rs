//! The suite of the [handover's port](runtime_ports::handover).
//!
//! It asks who answers, and sends no request: that none is lost while an endpoint changes hands is for tests which know how it is reached.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::DeploymentId;
use runtime_domain::surface::{ComponentKey, EffectId, FencingToken};
use runtime_ports::handover::EndpointHandover;
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortErrorKind, PortResult, Retry};
use tokio::task::yield_now;
use uuid::Uuid;

use super::adapter::{AdapterFactory, Staged, is_refused, polled_once, staged, try_reopening, try_staged};
use super::{Failure, Outcome, Report, ensure, equal};
use crate::sample;

/// Makes the surfaces that the suite tries, and brings about what runs on them.
#[async_trait]
pub trait HandoverFactory: AdapterFactory {
    /// Brings a component about whose endpoint answers, and returns once it does. Its effects carry the fencing token 1.
    async fn begin(&self, surface: &Self::Adapter, key: &ComponentKey) -> PortResult<()>;
    /// Ends all that runs of a component, and returns once nothing does. Its effects carry the fencing token 1.
    async fn end(&self, surface: &Self::Adapter, key: &ComponentKey) -> PortResult<()>;
}

/// Tries every promise of the port that shows in who is told to answer, each on a fresh surface.
pub async fn handover<F>(factory: F) -> Report
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let factory = Arc::new(factory);
    let stage =
        async || Ok(Stage { factory: Arc::clone(&factory), surface: Arc::new(factory.fresh().await?) });
    let mut trials = try_staged(stage, all::<F>()).await;
    let before = async |surface: &F::Adapter| {
        let (old, new) = (component(1, 1, "old")?, component(1, 1, "new")?);
        factory.begin(surface, &old).await?;
        factory.begin(surface, &new).await?;
        Ok(surface.hand_over(by(1, 1), &old, &new).await?)
    };
    let after = async |surface: &F::Adapter| {
        let (old, new) = (component(1, 1, "old")?, component(1, 1, "new")?);
        answers(surface, &old, Some(&new)).await?;
        answers(surface, &new, Some(&new)).await?;
        surface.hand_over(by(1, 2), &old, &old).await?;
        answers(surface, &old, Some(&old)).await
    };
    let name = "an endpoint that was handed over is so after reopening";
    trials.push(try_reopening(&*factory, name, before, after).await);
    Report { suite: "handover", trials }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    vec![
        staged(what_was_never_there_has_no_endpoint_to_hand_over),
        staged(
            an_endpoint_is_answered_by_its_own_component_until_it_is_handed_over_and_when_it_is_taken_back,
        ),
        staged(repeating_a_handover_changes_nothing),
        staged(an_endpoint_that_was_handed_on_moves_at_once),
        staged(no_endpoint_is_handed_to_another_tenant),
        staged(who_has_handed_its_own_endpoint_over_answers_no_other),
        staged(components_of_the_same_name_do_not_meet),
        staged(an_older_token_hands_nothing_over),
        staged(an_endpoint_that_was_handed_over_outlives_its_own_component),
        staged(a_handover_that_is_dropped_may_be_repeated),
    ]
}

/// How many times a call is polled at most before it is dropped.
const MOST_POLLS: u32 = 6;

/// A fresh surface, and who brings about what runs on it.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    surface: Arc<F::Adapter>,
}

fn component(tenant: u64, environment: u64, name: &str) -> Result<ComponentKey, Failure> {
    let module = name.parse().map_err(|error| Failure::new(format!("{error}")))?;
    Ok(ComponentKey { tenant: sample::tenant(tenant), environment: sample::environment(environment), module })
}

/// An effect of one deployment, by the holder of this token.
fn by(token: u64, ordinal: u32) -> EffectContext {
    // Behind the effects by which components are brought about.
    let effect = EffectId::of(DeploymentId::from_uuid(Uuid::from_u128(12 << 96)), 1_000 + ordinal);
    EffectContext { effect, fence: FencingToken(token) }
}

/// That this component answers at an endpoint; none, where it has no endpoint.
async fn answers<H: EndpointHandover + ?Sized>(
    surface: &H,
    at: &ComponentKey,
    wanted: Option<&ComponentKey>,
) -> Outcome {
    equal(&format!("who answers for {at}"), surface.answered_by(at).await?.as_ref(), wanted)
}

fn is_told(answer: PortResult<()>, kind: PortErrorKind, what: &str) -> Outcome {
    let error = is_refused(answer, kind, what)?;
    let says = !error.message().is_empty() && error.retry() == Retry::Never;
    ensure(says, format!("the refusal says {:?}: {error}", error.retry()))
}

impl<F> Stage<F>
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    async fn begun(&self, tenant: u64, environment: u64, name: &str) -> Result<ComponentKey, Failure> {
        let key = component(tenant, environment, name)?;
        self.factory.begin(&self.surface, &key).await?;
        Ok(key)
    }

    async fn answers(&self, at: &ComponentKey, wanted: &ComponentKey) -> Outcome {
        answers(&*self.surface, at, Some(wanted)).await
    }

    async fn hand_over(&self, ordinal: u32, from: &ComponentKey, to: &ComponentKey) -> Outcome {
        Ok(self.surface.hand_over(by(1, ordinal), from, to).await?)
    }
}

async fn what_was_never_there_has_no_endpoint_to_hand_over<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (there, absent) = (stage.begun(1, 1, "old").await?, component(1, 1, "new")?);
    answers(&*stage.surface, &absent, None).await?;
    for (ordinal, from, to) in [(1, &there, &absent), (2, &absent, &there)] {
        let answer = stage.surface.hand_over(by(1, ordinal), from, to).await;
        is_told(answer, PortErrorKind::NotFound, &format!("a handover of {from} to {to}"))?;
    }
    stage.answers(&there, &there).await?;
    answers(&*stage.surface, &absent, None).await
}

async fn an_endpoint_is_answered_by_its_own_component_until_it_is_handed_over_and_when_it_is_taken_back<F>(
    stage: Stage<F>,
) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    stage.answers(&old, &old).await?;
    stage.hand_over(1, &old, &new).await?;
    stage.answers(&old, &new).await?;
    stage.answers(&new, &new).await?;
    stage.hand_over(2, &old, &old).await?;
    stage.answers(&old, &old).await?;
    stage.answers(&new, &new).await
}

async fn repeating_a_handover_changes_nothing<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    for ordinal in [1, 1, 2] {
        stage.hand_over(ordinal, &old, &new).await?;
        stage.answers(&old, &new).await?;
    }
    for ordinal in [3, 3, 4] {
        stage.hand_over(ordinal, &old, &old).await?;
        stage.answers(&old, &old).await?;
    }
    Ok(())
}

async fn an_endpoint_that_was_handed_on_moves_at_once<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    let third = stage.begun(1, 2, "third").await?;
    stage.hand_over(1, &old, &new).await?;
    stage.hand_over(2, &old, &third).await?;
    stage.answers(&old, &third).await?;
    stage.answers(&new, &new).await
}

async fn no_endpoint_is_handed_to_another_tenant<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (own, strange) = (stage.begun(1, 1, "old").await?, stage.begun(2, 1, "new").await?);
    for (ordinal, from, to) in [(1, &own, &strange), (2, &strange, &own)] {
        let answer = stage.surface.hand_over(by(1, ordinal), from, to).await;
        is_told(answer, PortErrorKind::Invalid, "a handover to another tenant")?;
        stage.answers(from, from).await?;
    }
    Ok(())
}

async fn who_has_handed_its_own_endpoint_over_answers_no_other<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (one, two) = (stage.begun(1, 1, "one").await?, stage.begun(1, 1, "two").await?);
    let three = stage.begun(1, 1, "three").await?;
    stage.hand_over(1, &one, &two).await?;
    for (ordinal, from) in [(2, &two), (3, &three)] {
        let answer = stage.surface.hand_over(by(1, ordinal), from, &one).await;
        is_told(answer, PortErrorKind::Invalid, "a handover to who has handed its own over")?;
        stage.answers(from, from).await?;
    }
    stage.answers(&one, &two).await
}

async fn components_of_the_same_name_do_not_meet<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    let elsewhere = [stage.begun(1, 2, "old").await?, stage.begun(2, 1, "old").await?];
    stage.hand_over(1, &old, &new).await?;
    for same in &elsewhere {
        stage.answers(same, same).await?;
    }
    answers(&*stage.surface, &component(2, 1, "new")?, None).await
}

async fn an_older_token_hands_nothing_over<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    stage.surface.hand_over(by(7, 1), &old, &new).await?;
    for (ordinal, to) in [(2, &old), (3, &new)] {
        let answer = stage.surface.hand_over(by(6, ordinal), &old, to).await;
        is_told(answer, PortErrorKind::Fenced, "an older token")?;
        stage.answers(&old, &new).await?;
    }
    // The token was seen of the component whose endpoint it is, and not of the one that answers.
    stage.surface.hand_over(by(5, 4), &new, &new).await?;
    stage.surface.hand_over(by(7, 5), &old, &old).await?;
    stage.answers(&old, &old).await
}

async fn an_endpoint_that_was_handed_over_outlives_its_own_component<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    stage.hand_over(1, &old, &new).await?;
    stage.factory.end(&stage.surface, &old).await?;
    stage.answers(&old, &new).await
}

async fn a_handover_that_is_dropped_may_be_repeated<F>(stage: Stage<F>) -> Outcome
where
    F: HandoverFactory,
    F::Adapter: EndpointHandover,
{
    let (old, new) = (stage.begun(1, 1, "old").await?, stage.begun(1, 1, "new").await?);
    for polls in 0..MOST_POLLS {
        for (ordinal, to) in [(2 * polls + 1, &new), (2 * polls + 2, &old)] {
            let mut handing = Box::pin(stage.surface.hand_over(by(1, ordinal), &old, to));
            for _ in 0..polls {
                if polled_once(handing.as_mut()).await.is_some() {
                    break;
                }
                yield_now().await;
            }
            drop(handing);
            let seen = stage.surface.answered_by(&old).await?;
            ensure(seen.is_some(), "nobody answers any more after a call that was dropped")?;
            stage.hand_over(ordinal, &old, to).await?;
            stage.answers(&old, to).await?;
        }
    }
    Ok(())
}
