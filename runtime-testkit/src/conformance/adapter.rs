//! What the smaller suites have in common.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::time::Timestamp;
use runtime_ports::retention::Pruner;
use runtime_ports::{PortErrorKind, PortResult};

use super::{Failure, Outcome, Running, Trial, Verdict, ensure, run, sentence};

/// What an adapter keeps when it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: the trial of reopening is skipped.
    Volatile,
    /// Everything.
    Durable,
}

/// Makes the adapters that a suite tries.
#[async_trait]
pub trait AdapterFactory: Send + Sync + 'static {
    /// The adapter.
    type Adapter: Send + Sync + 'static;
    /// What it keeps when it is closed.
    fn persistence(&self) -> Persistence;
    /// An adapter of its own that holds nothing. Called once for every trial.
    async fn fresh(&self) -> PortResult<Self::Adapter>;
    /// Closes an adapter and opens what it left. Called only where [`AdapterFactory::persistence`] is [`Persistence::Durable`].
    async fn reopen(&self, adapter: Self::Adapter) -> PortResult<Self::Adapter>;
}

pub(super) type Begin<A> = Box<dyn Fn(Arc<A>) -> Running + Send + Sync>;

pub(super) fn trial<A, F, R>(function: F) -> (String, Begin<A>)
where
    F: Fn(Arc<A>) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    (sentence(&function), Box::new(move |adapter| Box::pin(function(adapter))))
}

pub(super) async fn try_all<F: AdapterFactory>(
    factory: &F,
    trials: Vec<(String, Begin<F::Adapter>)>,
) -> Vec<Trial> {
    let mut tried = Vec::new();
    for (name, begin) in trials {
        let verdict = match factory.fresh().await {
            Ok(adapter) => run(begin(Arc::new(adapter))).await,
            Err(error) => Verdict::Failed(format!("no fresh adapter: {error}")),
        };
        tried.push(Trial { name, verdict });
    }
    tried
}

/// The trial of reopening, which needs the factory itself: `before` fills an adapter, `after` looks at what was reopened.
pub(super) async fn try_reopening<F, B, A>(factory: F, name: &str, before: B, after: A) -> Trial
where
    F: AdapterFactory,
    B: AsyncFn(&F::Adapter) -> Outcome,
    A: AsyncFn(&F::Adapter) -> Outcome,
{
    let name = name.to_owned();
    if factory.persistence() == Persistence::Volatile {
        return Trial { name, verdict: Verdict::Skipped("it keeps nothing when it is closed") };
    }
    let outcome: Outcome = async {
        let adapter = factory.fresh().await?;
        before(&adapter).await?;
        let adapter = factory.reopen(adapter).await?;
        after(&adapter).await
    }
    .await;
    let verdict = match outcome {
        Ok(()) => Verdict::Passed,
        Err(Failure(how)) => Verdict::Failed(how),
    };
    Trial { name, verdict }
}

/// Prunes to the end, step by step.
pub(super) async fn prune_all(pruner: &dyn Pruner, before: Timestamp, most: u32) -> Outcome {
    for _ in 0..1_000 {
        if !pruner.prune(before, most).await?.goes_on {
            return Ok(());
        }
    }
    Err(Failure::new("pruning does not end"))
}

/// A refusal that must come, as Invalid, and say something.
pub(super) fn is_invalid<T>(answer: PortResult<T>, why: &str) -> Outcome {
    match answer {
        Ok(_) => Err(Failure::new(format!("{why} was accepted"))),
        Err(error) => ensure(
            error.kind() == PortErrorKind::Invalid && !error.message().is_empty(),
            format!("{why} was not refused as Invalid: {error}"),
        ),
    }
}
