//! What the smaller suites have in common.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use runtime_domain::time::Timestamp;
use runtime_ports::retention::Pruner;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::{Attempt, Failure, Outcome, Running, Trial, Verdict, ensure, run, sentence, settle};

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

/// A trial that has a stage of its own: a fresh adapter, and whoever plays the world around it.
pub(super) struct Staged<S> {
    name: String,
    applies: fn(&S) -> Result<(), &'static str>,
    begin: Box<dyn Fn(S) -> Attempt + Send + Sync>,
}

impl<S> Staged<S> {
    /// The same trial, for those adapters only of which this holds; the others are told why not.
    pub(super) fn where_it(self, applies: fn(&S) -> Result<(), &'static str>) -> Self {
        Self { applies, ..self }
    }
}

/// A trial that applies to every adapter, unless said otherwise.
pub(super) fn staged<S, F, R>(function: F) -> Staged<S>
where
    F: Fn(S) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let name = sentence(&function);
    let begin = move |stage| {
        let running = function(stage);
        let attempt: Attempt = Box::pin(async { running.await.map(|()| Verdict::Passed) });
        attempt
    };
    Staged { name, applies: |_| Ok(()), begin: Box::new(begin) }
}

/// A trial that finds by itself whether it applies.
pub(super) fn attempted<S, F, R>(function: F) -> Staged<S>
where
    F: Fn(S) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Verdict, Failure>> + Send + 'static,
{
    let name = sentence(&function);
    Staged { name, applies: |_| Ok(()), begin: Box::new(move |stage| Box::pin(function(stage))) }
}

/// Runs each trial on a stage of its own.
pub(super) async fn try_staged<S>(
    stage: impl AsyncFn() -> PortResult<S>,
    trials: Vec<Staged<S>>,
) -> Vec<Trial> {
    let mut tried = Vec::new();
    for Staged { name, applies, begin } in trials {
        let verdict = match stage().await {
            Ok(stage) => match applies(&stage) {
                Ok(()) => settle(begin(stage)).await,
                Err(why) => Verdict::Skipped(why),
            },
            Err(error) => Verdict::Failed(format!("no fresh adapter: {error}")),
        };
        tried.push(Trial { name, verdict });
    }
    tried
}

/// A refusal of this kind that must come.
pub(super) fn is_refused<T>(
    answer: PortResult<T>,
    kind: PortErrorKind,
    what: &str,
) -> Result<PortError, Failure> {
    match answer {
        Ok(_) => Err(Failure::new(format!("{what} was accepted"))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Failure::new(format!(
            "{what} was not refused as {kind:?} but as {:?}: {error}",
            error.kind()
        ))),
    }
}

/// Polls once, as whoever is about to give up does; what it came to, where that was enough.
pub(super) async fn polled_once<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The trial of reopening, which needs the factory itself: `before` fills an adapter, `after` looks at what was reopened.
pub(super) async fn try_reopening<F, B, A>(factory: &F, name: &str, before: B, after: A) -> Trial
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
