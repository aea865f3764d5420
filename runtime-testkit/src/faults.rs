//! Ports that fail on purpose, to put before a service, a host or a suite.
//!
//! [`Faults`] wraps every port of one host. Each call of a wrapped port is shown to a choice of yours, which may let it meet a [`Fault`]; a
//! host may freeze at any call, as a process does that is stopped or dead, and come back late.
//!
//! ```
//! # async fn example(store: std::sync::Arc<dyn runtime_ports::store::Store>) {
//! use runtime_testkit::faults::{Fault, Faults};
//!
//! // The second commit is done, and nobody learns that.
//! let faults = Faults::new(|call| (call.method == "store.commit" && call.number == 2).then_some(Fault::AnswerLost));
//! let store = faults.store(store);
//! # drop(store);
//! # }
//! ```
//!
//! | fault | what the caller sees | what is done |
//! |---|---|---|
//! | [`Fault::Before`] | an error | nothing |
//! | [`Fault::After`] | an error | all |
//! | [`Fault::RequestLost`] | that the outcome is unknown | nothing |
//! | [`Fault::AnswerLost`] | that the outcome is unknown | all |
//! | [`Fault::Twice`] | the second answer | all, twice |
//! | [`Fault::Slow`] | the answer, later | all, later |
//! | [`Fault::Late`] | nothing, until [`Faults::release`] | all, then |
//! | [`Fault::FreezeBefore`] | nothing, nor anything else, until [`Faults::thaw`] | all, then |
//! | [`Fault::FreezeAfter`] | the same | all, before |
//! | [`Fault::Stale`] | what was answered to the same question before | nothing |
//! | [`Fault::Partial`] | a part of the answer | it is read |
//! | [`Fault::Garbage`] | what no right adapter answers | it is read |
//!
//! A fault that makes no sense for a call leaves it as it is: half of nothing is nothing.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use runtime_domain::scope::Actor;
use runtime_domain::surface::EffectId;
use runtime_domain::time::Span;
use runtime_ports::store::{Commit, TenantStore};
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use tokio::sync::Notify;

mod authenticator;
mod clock;
mod environment;
mod events;
mod looks;
mod methods;
mod records;
mod secret_store;
mod store;
mod surface;

use methods::Shape;
pub use methods::{AT_THE_DOOR, FaultKind, METHODS, Method};

/// One call of a port, before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The port and its method: one of [`METHODS`], or [`AT_THE_DOOR`].
    pub method: &'static str,
    /// Which call of this method it is, from 1, on all handles of one [`Faults`] together.
    pub number: u64,
    /// Whether it is to change something outside of the host.
    pub is_change: bool,
    /// Who calls, where the port is told.
    pub actor: Option<Actor>,
    /// The effect that it carries out, where it is one.
    pub effect: Option<EffectId>,
    /// What it is about, for people, and to tell one question from another. Never a secret.
    pub about: String,
}

impl Call {
    fn of(method: &'static str, about: impl ToString) -> Self {
        let is_change = methods::is_change(method);
        Self { method, number: 0, is_change, actor: None, effect: None, about: about.to_string() }
    }

    fn by(self, actor: &Actor) -> Self {
        Self { actor: Some(actor.clone()), ..self }
    }

    fn effect(self, effect: EffectId) -> Self {
        Self { effect: Some(effect), ..self }
    }
}

/// What happens to a call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It never arrives, and the caller is told so, by an error of this kind.
    Before(PortErrorKind),
    /// It is done, and the caller is told an error of this kind, with the advice that such an error has.
    After(PortErrorKind),
    /// It never arrives, and nobody learns that: [`Retry::OutcomeUnknown`].
    RequestLost,
    /// It is done or refused, and nobody learns which: [`Retry::OutcomeUnknown`].
    AnswerLost,
    /// It is done, and done again. What cannot be asked twice, such as to hand a secret over, is done once.
    Twice,
    /// It takes its time, as tokio has it: on its way there, and on the answer's way back. The host goes on meanwhile.
    Slow {
        /// How long until it is done.
        there: Span,
        /// How long from then until the caller learns that.
        back: Span,
    },
    /// It is done when [`Faults::release`] is called, long after the caller's lease may have ended. The host goes on meanwhile.
    Late,
    /// The whole host stops before it, as if its process were stopped. What it was about to do is the first that it does when it thaws.
    FreezeBefore,
    /// The whole host stops after it was done, and before that is known.
    FreezeAfter,
    /// The answer to the same question before is given again. The first of its kind is answered as it is.
    Stale,
    /// A part of the answer is missing: half of a list, half of the instances.
    Partial,
    /// An answer that no right adapter gives: of another component, from the future, no number.
    Garbage,
}

type Choice = Arc<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;
type Guard = Arc<dyn Fn(&'static str) -> bool + Send + Sync>;
type Running<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// What was answered last, by method and question.
type Answers = BTreeMap<(&'static str, String), Box<dyn Any + Send>>;

/// How many questions are remembered, for [`Fault::Stale`].
const REMEMBERED: usize = 4_096;

/// The faults that one host meets. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Faults {
    inner: Arc<Inner>,
}

struct Inner {
    choice: Mutex<Choice>,
    guard: Mutex<Option<Guard>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    answers: Mutex<Answers>,
    is_frozen: Awaited<bool>,
    was_frozen: Awaited<bool>,
    releases: Awaited<u64>,
    jumped_by: Mutex<i64>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Faults").field("calls", &self.inner.counts).finish_non_exhaustive()
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl Faults {
    /// Asks `choice` of every call what happens to it, in the order in which calls are made.
    pub fn new(choice: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let inner = Inner {
            choice: Mutex::new(Arc::new(choice)),
            guard: Mutex::default(),
            counts: Mutex::default(),
            answers: Mutex::default(),
            is_frozen: Awaited::default(),
            was_frozen: Awaited::default(),
            releases: Awaited::default(),
            jumped_by: Mutex::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Nothing fails, until [`Faults::choose`].
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    /// From now on this choice is asked.
    pub fn choose(&self, choice: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.inner.choice) = Arc::new(choice);
    }

    /// From now on it is asked with a call's method whenever the call is taken up: when it is made, and each time that it wakes. Where it
    /// says no, the call goes no further, and its caller waits for ever.
    ///
    /// So a harness sees, and stops, an adapter that is at work without end, or a host that calls without end.
    pub fn guard(&self, may_go_on: impl Fn(&'static str) -> bool + Send + Sync + 'static) {
        *lock(&self.inner.guard) = Some(Arc::new(may_go_on));
    }

    /// How often a method was called.
    pub fn count(&self, method: &str) -> u64 {
        lock(&self.inner.counts).get(method).copied().unwrap_or_default()
    }

    /// Stops the host at its next call, whichever that is, and keeps every answer from it that is under way.
    pub fn freeze(&self) {
        self.inner.is_frozen.set(true);
        self.inner.was_frozen.set(true);
    }

    /// Waits until the host was frozen, by a fault or by [`Faults::freeze`].
    pub async fn frozen(&self) {
        self.inner.was_frozen.until(|was_frozen| was_frozen).await;
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.inner.is_frozen.now()
    }

    /// The host goes on as if nothing had happened. It first does what it was about to do; timers that have run out meanwhile fire after
    /// that, so that nothing tells it that it is late before it has tried.
    pub fn thaw(&self) {
        self.inner.is_frozen.set(false);
    }

    /// Lets every call go on that is [late](Fault::Late).
    pub fn release(&self) {
        self.inner.releases.set(self.inner.releases.now() + 1);
    }

    /// The host's clock goes wrong by so many milliseconds, from now on. Timers run as before.
    pub fn jump_clock(&self, milliseconds: i64) {
        *lock(&self.inner.jumped_by) = milliseconds;
    }

    async fn awake(&self) {
        self.inner.is_frozen.until(|is_frozen| !is_frozen).await;
    }

    async fn released(&self) {
        let now = self.inner.releases.now();
        self.inner.releases.until(|releases| releases > now).await;
    }

    /// Counts a call, and asks what happens to it.
    fn choice(&self, call: &mut Call) -> Option<Fault> {
        call.number = {
            let mut counts = lock(&self.inner.counts);
            let count = counts.entry(call.method).or_default();
            *count += 1;
            *count
        };
        let choice = Arc::clone(&*lock(&self.inner.choice));
        choice(call)
    }

    /// A call that can be made more than once.
    async fn change<'f, T, E>(
        &self,
        call: Call,
        run: impl Fn() -> Running<'f, Result<T, E>> + Send + Sync,
    ) -> Result<T, E>
    where
        E: From<PortError>,
    {
        debug_assert!(methods::is_listed(call.method, Shape::Again), "{} is listed otherwise", call.method);
        self.meet(call, async |fault| {
            if fault == Some(Fault::Twice) {
                // It is the second answer that arrives.
                drop(run().await);
            }
            run().await
        })
        .await
    }

    /// A call that can be made once.
    async fn change_once<'f, T, E>(&self, call: Call, run: Running<'f, Result<T, E>>) -> Result<T, E>
    where
        E: From<PortError>,
    {
        debug_assert!(methods::is_listed(call.method, Shape::Once), "{} is listed otherwise", call.method);
        self.meet(call, async |_| run.await).await
    }

    /// A question.
    async fn read<'f, T, E>(
        &self,
        call: Call,
        spoil: Spoil<T>,
        run: Running<'f, Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Clone + Send + 'static,
        E: From<PortError>,
    {
        let shape = Shape::Question { part: spoil.has_part, garbage: spoil.has_garbage };
        debug_assert!(methods::is_listed(call.method, shape), "{} is listed otherwise", call.method);
        let question = (call.method, call.about.clone());
        let answers = &self.inner.answers;
        self.meet(call, async |fault| {
            if fault == Some(Fault::Stale) {
                let known = lock(answers).get(&question).and_then(|known| known.downcast_ref::<T>()).cloned();
                if let Some(known) = known {
                    return Ok(known);
                }
            }
            let answer = run.await?;
            {
                let mut answers = lock(answers);
                if answers.len() >= REMEMBERED {
                    answers.clear();
                }
                answers.insert(question, Box::new(answer.clone()));
            }
            Ok(match fault {
                Some(Fault::Partial) => (spoil.part)(answer),
                Some(Fault::Garbage) => (spoil.garbage)(answer),
                _ => answer,
            })
        })
        .await
    }

    /// Nothing but a frozen host keeps it from being answered.
    async fn wait<T>(&self, method: &'static str, run: Running<'_, T>) -> T {
        debug_assert!(methods::is_listed(method, Shape::Wait), "{method} is listed otherwise");
        let waiting = async {
            self.awake().await;
            self.choice(&mut Call::of(method, ""));
            let answer = run.await;
            self.awake().await;
            answer
        };
        self.guarded(method, waiting).await
    }

    /// Goes on as long as the guard lets it.
    async fn guarded<T>(&self, method: &'static str, work: impl Future<Output = T>) -> T {
        let Some(guard) = lock(&self.inner.guard).clone() else { return work.await };
        let mut work = pin!(work);
        poll_fn(|context| if guard(method) { work.as_mut().poll(context) } else { Poll::Pending }).await
    }

    async fn meet<T, E>(
        &self,
        call: Call,
        run: impl AsyncFnOnce(Option<Fault>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<PortError>,
    {
        self.guarded(call.method, self.met(call, run)).await
    }

    async fn met<T, E>(
        &self,
        mut call: Call,
        run: impl AsyncFnOnce(Option<Fault>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<PortError>,
    {
        self.awake().await;
        let fault = self.choice(&mut call);
        match fault {
            Some(Fault::Before(kind)) => return Err(refused(call.method, kind).into()),
            Some(Fault::RequestLost) => return Err(lost(call.method).into()),
            Some(Fault::Late) => self.released().await,
            Some(Fault::Slow { there, .. }) => pass(there).await,
            Some(Fault::FreezeBefore) => {
                self.freeze();
                self.awake().await;
            }
            _ => {}
        }
        let answer = run(fault).await;
        if let Some(Fault::Slow { back, .. }) = fault {
            pass(back).await;
        }
        if fault == Some(Fault::FreezeAfter) {
            self.freeze();
        }
        self.awake().await;
        match fault {
            Some(Fault::After(kind)) => Err(refused(call.method, kind).into()),
            Some(Fault::AnswerLost) => Err(lost(call.method).into()),
            _ => answer,
        }
    }
}

/// A value that is waited for. Who has waited longest goes on first: `tokio::sync::watch` chooses by chance, and then equal seeds would not
/// tell equal stories.
#[derive(Debug, Default)]
struct Awaited<T> {
    value: Mutex<T>,
    is_set: Notify,
}

impl<T: Copy> Awaited<T> {
    fn now(&self) -> T {
        *lock(&self.value)
    }

    fn set(&self, value: T) {
        *lock(&self.value) = value;
        self.is_set.notify_waiters();
    }

    async fn until(&self, is_so: impl Fn(T) -> bool) {
        loop {
            // What is set from here on is noticed.
            let is_set = self.is_set.notified();
            if is_so(self.now()) {
                return;
            }
            is_set.await;
        }
    }
}

fn lock<T: ?Sized>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(span: Span) {
    tokio::time::sleep_until(tokio::time::Instant::now() + span.to_std()).await;
}

fn refused(method: &'static str, kind: PortErrorKind) -> PortError {
    PortError::new(kind, method, "a fault on purpose: take it as the adapter's own")
}

fn lost(method: &'static str) -> PortError {
    let message = "a fault on purpose: look whether it was done, and try again where it was not";
    PortError::new(PortErrorKind::TimedOut, method, message).with_retry(Retry::OutcomeUnknown)
}

/// How an answer is spoilt.
struct Spoil<T> {
    part: fn(T) -> T,
    has_part: bool,
    garbage: fn(T) -> T,
    has_garbage: bool,
}

impl<T> Spoil<T> {
    const NOTHING: Self =
        Self { part: |answer| answer, has_part: false, garbage: |answer| answer, has_garbage: false };

    const fn part(part: fn(T) -> T) -> Self {
        Self { part, has_part: true, ..Self::NOTHING }
    }

    const fn garbage(self, garbage: fn(T) -> T) -> Self {
        Self { garbage, has_garbage: true, ..self }
    }
}

/// The first half of a list.
fn half<T>(mut list: Vec<T>) -> Vec<T> {
    list.truncate(list.len() / 2);
    list
}

/// Whether a commit whose outcome is unknown was performed: whether the first event of its first write is in the history. A commit
/// without writes cannot be found, and counts as not performed: repeating it does no harm.
///
/// Exact once the commit can no longer be under way. Where it can be (a future that was dropped, a server that was out of reach), `false`
/// may turn into `true` until a later commit on the same aggregate has been accepted.
///
/// # Errors
/// The store failed.
pub async fn was_performed(store: &dyn TenantStore, commit: &Commit) -> PortResult<bool> {
    let Some((write, first)) = commit.writes.first().and_then(|write| Some((write, write.history.first()?)))
    else {
        return Ok(false);
    };
    let there = store.history(&write.key, first.sequence.saturating_sub(1), 1).await?;
    Ok(there.first().is_some_and(|entry| entry.id == first.id))
}
