//! What waits for a component that runs no replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use runtime_domain::surface::ComponentKey;
use runtime_ports::scaling_signals::ScalingSignals;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::{SignalFactory, Stage, cart, revision};
use crate::conformance::adapter::polled_once;
use crate::conformance::{Failure, Outcome, ensure, equal};

/// How long is listened where nothing is to be heard.
const QUIET: Duration = Duration::from_millis(60);

impl<F> Stage<F>
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    async fn asleep(&self, environment: u64) -> Result<ComponentKey, Failure> {
        let key = cart(1, environment)?;
        self.factory.idle(&self.source, &key, &revision(&key, 1)).await?;
        Ok(key)
    }

    /// What waits, each once.
    async fn told(&self) -> Result<BTreeSet<ComponentKey>, Failure> {
        let told = timeout(self.factory.patience(), self.source.waiting()).await;
        let told = told.map_err(|_| Failure::new("something waits, and nobody says so"))?;
        let each: BTreeSet<ComponentKey> = told.iter().cloned().collect();
        ensure(each.len() == told.len(), format!("one component is told twice: {told:?}"))?;
        Ok(each)
    }

    /// Asks until exactly these are told; what has begun to wait may take a moment to arrive.
    async fn waits_for(&self, wanted: &[&ComponentKey]) -> Outcome {
        let wanted: BTreeSet<ComponentKey> = wanted.iter().map(|key| (*key).clone()).collect();
        let deadline = tokio::time::Instant::now() + self.factory.patience();
        loop {
            let told = self.told().await?;
            if told == wanted {
                return Ok(());
            }
            let now = tokio::time::Instant::now();
            ensure(now < deadline, format!("{wanted:?} wait, and {told:?} is told"))?;
            tokio::time::sleep_until(now + Duration::from_millis(10)).await;
        }
    }

    async fn is_quiet(&self, when: &str) -> Outcome {
        match timeout(QUIET, self.source.waiting()).await {
            Err(_) => Ok(()),
            Ok(told) => Err(Failure::new(format!("{when} nothing waits, and {told:?} is told"))),
        }
    }

    /// That what was given up is told no more, after a moment.
    async fn quietens(&self) -> Outcome {
        let deadline = tokio::time::Instant::now() + self.factory.patience();
        while let Err(failure) = self.is_quiet("where it was given up").await {
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return Err(failure);
            }
            tokio::time::sleep_until(now + Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

pub(super) async fn what_waits_is_told_with_all_others_and_again<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let (one, other, _third) = (stage.asleep(1).await?, stage.asleep(2).await?, stage.asleep(3).await?);
    stage.factory.wait(&stage.source, &one, true).await?;
    stage.waits_for(&[&one]).await?;
    stage.factory.wait(&stage.source, &other, true).await?;
    for _ in 0..2 {
        stage.waits_for(&[&one, &other]).await?;
        equal("what is told at the next call", stage.told().await?.len(), 2)?;
    }
    stage.factory.wait(&stage.source, &one, false).await?;
    stage.waits_for(&[&other]).await
}

pub(super) async fn who_waits_for_what_does_not_wait_is_not_answered<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    stage.is_quiet("before anything runs").await?;
    let key = stage.asleep(1).await?;
    stage.is_quiet("where something sleeps").await?;
    if stage.waits().is_ok() {
        stage.factory.wait(&stage.source, &key, true).await?;
        stage.waits_for(&[&key]).await?;
        stage.factory.wait(&stage.source, &key, false).await?;
        stage.quietens().await?;
    }
    Ok(())
}

pub(super) async fn what_begins_to_wait_is_told_though_others_gave_up<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = stage.asleep(1).await?;
    for polls in 0..5 {
        // One who listens already, and one who has given up.
        let source = Arc::clone(&stage.source);
        let listening = tokio::spawn(async move { source.waiting().await });
        let mut given_up = Box::pin(stage.source.waiting());
        for _ in 0..polls {
            if polled_once(given_up.as_mut()).await.is_some() {
                return Err(Failure::new("nothing waits, and something is told"));
            }
            yield_now().await;
        }
        stage.factory.wait(&stage.source, &key, true).await?;
        drop(given_up);
        let told = timeout(stage.factory.patience(), listening).await;
        let told = told.map_err(|_| Failure::new("something waits, and who listens is not told"))?;
        let told = told.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))?;
        equal("what is told to who listens", told, vec![key.clone()])?;
        stage.waits_for(&[&key]).await?;
        stage.factory.wait(&stage.source, &key, false).await?;
        stage.quietens().await?;
    }
    Ok(())
}
