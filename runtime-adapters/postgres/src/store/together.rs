//! What is asked at about the same time goes in one call: giving leases back, loading.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use runtime_ports::{PortError, PortResult};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};
use tokio_postgres::Row;

use crate::error::{corrupt, gave_way};
use crate::link::{CallError, Link, Parameters};

/// How often a call is made that the server gave up in favour of another's.
const TRIES: usize = 3;

/// What one call takes: several of a kind, which do not depend on one another, and may be done twice.
#[async_trait]
pub(super) trait Batch: Default + Send + Sync {
    /// One of them.
    type Item: Send;
    /// What is answered to one.
    type Answer: Send + std::fmt::Debug;
    /// How soon after a call the next one may come: those that are done meanwhile go with it. Whoever comes after a while waits for nothing.
    const PACE: Duration;
    /// Adds one.
    fn push(&mut self, item: Self::Item);
    /// Calls. The answers are in the order in which the items were added.
    async fn call(&self, link: &Link) -> PortResult<Vec<Self::Answer>>;
}

/// Those that wait to go together.
#[derive(Debug)]
pub(super) struct Together<B: Batch> {
    waiting: Mutex<Waiting<B>>,
    /// When the last call was made.
    turn: futures::lock::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Waiting<B: Batch> {
    batch: B,
    answers: Vec<oneshot::Sender<PortResult<B::Answer>>>,
}

impl<B: Batch> Default for Waiting<B> {
    fn default() -> Self {
        Self { batch: B::default(), answers: Vec::new() }
    }
}

impl<B: Batch> Default for Together<B> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: futures::lock::Mutex::default() }
    }
}

impl<B: Batch> Together<B> {
    /// Does one, with all that have come to wait meanwhile. Dropping the future leaves it done or not.
    pub(super) async fn perform(&self, link: &Link, item: impl Fn() -> B::Item) -> PortResult<B::Answer> {
        let (sender, mut answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.batch.push(item());
            waiting.answers.push(sender);
        }
        let mut turn = tokio::select! {
            biased;
            answered = &mut answer => return answered_or_alone::<B>(answered.ok(), link, item).await,
            turn = self.turn.lock() => turn,
        };
        match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {}
            answered => return answered_or_alone::<B>(answered.ok(), link, item).await,
        }
        // Whoever asks for several at once has then asked for all of them.
        tokio::task::yield_now().await;
        let next = turn.map(|last| last + B::PACE);
        // Even for a time that is past a timer waits until its next tick, a millisecond away.
        if let Some(next) = next
            && Instant::now() < next
        {
            // Nothing is ever ready here: it is the time that is waited for.
            let _elapsed = tokio::time::timeout_at(next, std::future::pending::<()>()).await;
        }
        let taken_up = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        *turn = Some(Instant::now());
        let answers: Vec<_> = match taken_up.batch.call(link).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => taken_up.answers.iter().map(|_| Err(error.clone())).collect(),
        };
        for (sender, answered) in taken_up.answers.into_iter().zip(answers) {
            // Nobody waits any more where the future was dropped.
            let _ = sender.send(answered);
        }
        drop(turn);
        answer.try_recv().unwrap_or_else(|_| Err(unanswered()))
    }
}

/// What another was answered who had taken it up; where that one was dropped, it is done alone.
async fn answered_or_alone<B: Batch>(
    answered: Option<PortResult<B::Answer>>,
    link: &Link,
    item: impl Fn() -> B::Item,
) -> PortResult<B::Answer> {
    match answered {
        Some(answered) => answered,
        None => {
            let mut alone = B::default();
            alone.push(item());
            alone.call(link).await?.pop().ok_or_else(unanswered)
        }
    }
}

fn unanswered() -> PortError {
    corrupt("store", "fewer answers than were asked for")
}

/// Calls what may be done twice: again where the server gave it up in favour of another.
pub(super) async fn insistently(
    link: &Link,
    operation: &'static str,
    sql: &'static str,
    parameters: Parameters<'_>,
) -> PortResult<Vec<Row>> {
    let mut tries = 1..=TRIES;
    loop {
        tries.next();
        match link.call(operation, sql, parameters).await {
            Err(CallError::Refused(error)) if gave_way(&error) && !tries.is_empty() => {}
            called => return called.map_err(|error| error.into_port(operation)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
mod tests {
    use runtime_domain::time::Span;

    use super::*;
    use crate::connection::{Dialler, Role};
    use crate::options::PostgresOptions;

    /// Calls nobody.
    #[derive(Debug, Default)]
    struct Nothing<const PACE_IN_MILLIS: u64>(usize);

    #[async_trait]
    impl<const PACE_IN_MILLIS: u64> Batch for Nothing<PACE_IN_MILLIS> {
        type Item = ();
        type Answer = ();
        const PACE: Duration = Duration::from_millis(PACE_IN_MILLIS);

        fn push(&mut self, (): ()) {
            self.0 += 1;
        }

        async fn call(&self, _link: &Link) -> PortResult<Vec<()>> {
            Ok(vec![(); self.0])
        }
    }

    /// How long the second of two takes that are done one after the other, between two ticks of a timer.
    async fn second<B: Batch<Item = (), Answer = ()>>() -> Duration {
        let options = PostgresOptions::new("host=localhost").unwrap();
        let link = Link::new(Dialler::primary(&options).unwrap(), Role::Operator, Span::from_secs(1));
        tokio::time::advance(Duration::from_micros(300)).await;
        let together = Together::<B>::default();
        together.perform(&link, || ()).await.unwrap();
        let begun = Instant::now();
        together.perform(&link, || ()).await.unwrap();
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_pace_waits_for_no_timer() {
        assert_eq!(second::<Nothing<0>>().await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_early_waits_for_the_next_call() {
        let took = second::<Nothing<10>>().await;
        assert!(took >= Duration::from_millis(10), "{took:?}");
    }
}
