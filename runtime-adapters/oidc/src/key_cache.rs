//! An issuer's keys, as long as they may be used, and their fetching: one at a time, and not often.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock;
use tokio::sync::watch;

use crate::fetch::Silence;
use crate::key_set::KeySet;

/// Where keys come from.
#[async_trait]
pub(crate) trait KeySource: Send + Sync + 'static {
    async fn fetch(&self) -> Result<KeySet, Silence>;
}

/// For how long keys are what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyTimes {
    /// Used without asking.
    pub(crate) fresh_for: Span,
    /// Used while the issuer cannot be asked.
    pub(crate) usable_for: Span,
    /// Between the beginnings of two fetches, whatever they came to.
    pub(crate) between_fetches: Span,
    /// One fetch.
    pub(crate) longest_fetch: Span,
}

/// Whether a signature can be judged at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

pub(crate) struct KeyCache {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    source: Box<dyn KeySource>,
    clock: Arc<dyn Clock>,
    times: KeyTimes,
    state: Mutex<State>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    last_began: Option<Timestamp>,
    /// What the last fetch came to; `None` before the first.
    last_failure: Option<Silence>,
    is_fetching: bool,
}

struct Held {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
}

/// Whether a fetch may begin soon after another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Limited,
    AtOnce,
}

impl KeyCache {
    pub(crate) fn new(
        issuer: &str,
        source: Box<dyn KeySource>,
        clock: Arc<dyn Clock>,
        times: KeyTimes,
    ) -> Self {
        let shared = Shared {
            issuer: issuer.to_owned(),
            source,
            clock,
            times,
            state: Mutex::default(),
            ended: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The keys. Nobody waits for a fetch but those for whom there are none.
    pub(crate) async fn keys(&self) -> Result<Arc<KeySet>, Unavailable> {
        if let Some((keys, is_fresh)) = self.shared.usable() {
            if !is_fresh {
                drop(self.shared.begin(Pace::Limited));
            }
            return Ok(keys);
        }
        if let Some(ended) = self.shared.begin(Pace::Limited) {
            self.shared.wait(ended).await;
        }
        self.shared.usable().map(|(keys, _)| keys).ok_or(Unavailable)
    }

    /// The keys after those in which one was not found: newer ones, where the issuer may be asked for them now. `None` where there are none
    /// newer, and so the key is nobody's.
    pub(crate) async fn newer_than(&self, seen: &Arc<KeySet>) -> Result<Option<Arc<KeySet>>, Unavailable> {
        let newer = || self.shared.usable().map(|(keys, _)| keys).filter(|keys| !Arc::ptr_eq(keys, seen));
        if let Some(keys) = newer() {
            return Ok(Some(keys));
        }
        if let Some(ended) = self.shared.begin(Pace::Limited) {
            self.shared.wait(ended).await;
        }
        match newer() {
            Some(keys) => Ok(Some(keys)),
            None if self.shared.state().last_failure.is_none() => Ok(None),
            None => Err(Unavailable),
        }
    }

    /// Fetches now, and says what that came to.
    pub(crate) async fn refresh(&self) -> Result<(), Silence> {
        if let Some(ended) = self.shared.begin(Pace::AtOnce) {
            self.shared.wait(ended).await;
        }
        match self.shared.state().last_failure {
            None => Ok(()),
            Some(silence) => Err(silence),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, while they may be used, and whether they are fresh.
    fn usable(&self) -> Option<(Arc<KeySet>, bool)> {
        let now = self.clock.now();
        let mut state = self.state();
        let held = state.held.as_mut()?;
        let is_of_the_future = held.fetched_at > now;
        // A clock that was set back makes keys no younger than they are now.
        held.fetched_at = held.fetched_at.min(now);
        let age = Span::between(held.fetched_at, now);
        let is_fresh = age < self.times.fresh_for && !is_of_the_future;
        (age < self.times.usable_for).then(|| (held.keys.clone(), is_fresh))
    }

    /// Begins a fetch, or finds the one that is under way; `None` where it is too early for another.
    fn begin(self: &Arc<Self>, pace: Pace) -> Option<watch::Receiver<u64>> {
        let now = self.clock.now();
        let mut state = self.state();
        let ended = self.ended.subscribe();
        if state.is_fetching {
            return Some(ended);
        }
        let is_early = state
            .last_began
            .is_some_and(|began| began <= now && Span::between(began, now) < self.times.between_fetches);
        if is_early && pace == Pace::Limited {
            return None;
        }
        state.is_fetching = true;
        state.last_began = Some(now);
        // A task of its own: a caller who goes away takes nobody else's fetch along.
        tokio::spawn(Fetching { shared: self.clone(), outcome: Err("the fetch was broken off") }.run());
        Some(ended)
    }

    async fn wait(&self, mut ended: watch::Receiver<u64>) {
        let longest = self.times.longest_fetch.to_std() + Duration::from_secs(1);
        drop(tokio::time::timeout(longest, ended.changed()).await);
    }
}

/// A fetch under way, which ends in any case: also where its task is dropped.
struct Fetching {
    shared: Arc<Shared>,
    outcome: Result<KeySet, Silence>,
}

impl Fetching {
    async fn run(mut self) {
        let longest = self.shared.times.longest_fetch.to_std();
        let fetched = tokio::time::timeout(longest, self.shared.source.fetch()).await;
        self.outcome = fetched.unwrap_or(Err("no complete answer in time"));
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let issuer = self.shared.issuer.as_str();
        let now = self.shared.clock.now();
        let outcome = std::mem::replace(&mut self.outcome, Err(""));
        let mut state = self.shared.state();
        state.is_fetching = false;
        match outcome {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::warn!(issuer, "the issuer publishes no key that could verify a token");
                }
                state.held = Some(Held { keys: Arc::new(keys), fetched_at: now });
                state.last_failure = None;
            }
            Err(reason) => {
                tracing::warn!(issuer, reason, "the issuer's keys could not be fetched");
                state.last_failure = Some(reason);
            }
        }
        drop(state);
        self.shared.ended.send_modify(|ended| *ended += 1);
    }
}
