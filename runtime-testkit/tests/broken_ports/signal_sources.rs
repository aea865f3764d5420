//! Sources of scaling signals that break one promise each.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::scaling::{BurnReading, Reading, ScalingMetric};
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Measure;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{
    AdapterFactory, BudgetCapabilities, Persistence, Report, SignalCapabilities, SignalFactory,
    scaling_signals,
};
use runtime_testkit::sample;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    KnowsNothing,
    KnowsNothingAndGuesses,
    ServesEveryTarget,
    LooksBackForEver,
    ZeroIsNothing,
    SaysNoReason,
    CountsInShares,
    TellsTooLittle,
    RestsOnNothing,
    IsFromTheFuture,
    IsFromLongAgo,
    NobodyUsesZero,
    QuietIsZero,
    QuietIsNeverZero,
    EmptyIsMissing,
    MeasuresAnyRevision,
    ForgetsTheTenant,
    ForgetsTheModule,
    TellsTheShare,
    BurnsAsOne,
    NobodyBurnsZero,
    TellsOneThatWaits,
    TellsOnce,
    TellsTwice,
    AnswersAtOnce,
    NeverForgets,
    LooksOnce,
    WakesTheLastOnly,
    AnswersTheOneBefore,
    KeepsItsPlace,
}

const WINDOW: Duration = Duration::from_secs(10);
const LONGEST: Span = Span::from_secs(900);

#[derive(Debug)]
struct Component {
    since: Instant,
    replica: Option<RevisionId>,
    /// Of each metric, in its unit.
    measured: BTreeMap<ScalingMetric, i64>,
    /// When requests were answered, and whether they failed.
    answered: Vec<(Timestamp, bool)>,
    waits: bool,
}

#[derive(Debug)]
struct State {
    passed: Span,
    components: BTreeMap<ComponentKey, Component>,
    asking: u32,
    before: Option<Reading>,
}

struct Source {
    bug: Bug,
    began: Instant,
    state: Mutex<State>,
    noticed: Notify,
    last: Mutex<Option<Waker>>,
}

fn refused(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "scaling_signals.signal", "it is not told")
}

impl Source {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn knows_nothing(&self) -> bool {
        matches!(self.bug, Bug::KnowsNothing | Bug::KnowsNothingAndGuesses)
    }

    fn now(&self, state: &State) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        Span::from_millis(passed).after(state.passed.after(sample::at(1_000_000)))
    }

    fn missing(&self, why: &str) -> Reading {
        let why = if self.is(Bug::SaysNoReason) { "" } else { why };
        Reading::Missing { why: why.to_owned() }
    }

    fn component<'s>(&self, state: &'s State, key: &ComponentKey) -> Option<&'s Component> {
        let is_it = |other: &ComponentKey| {
            (other.tenant == key.tenant || self.is(Bug::ForgetsTheTenant))
                && other.environment == key.environment
                && (other.module == key.module || self.is(Bug::ForgetsTheModule))
        };
        state.components.iter().find(|(other, _)| is_it(other)).map(|(_, component)| component)
    }

    fn measured(&self, state: &State, value: Measure, samples: u64) -> Reading {
        let now = self.now(state);
        let observed_at = match self.bug {
            Bug::IsFromTheFuture => Span::from_secs(60).after(now),
            Bug::IsFromLongAgo => Span::from_secs(3_600).before(now),
            _ => now,
        };
        let samples = if self.is(Bug::RestsOnNothing) { 0 } else { samples };
        Reading::Measured { value, observed_at, samples }
    }

    fn reading(&self, state: &State, query: &SignalQuery) -> Reading {
        let zero = Measure::from_units(0);
        let Some(component) = self.component(state, &query.key) else {
            let is_zero = self.is(Bug::ZeroIsNothing);
            return if is_zero {
                self.measured(state, zero, 1)
            } else {
                self.missing("nothing of it is here")
            };
        };
        let is_asked = component.replica.as_ref() == Some(&query.revision)
            || (component.replica.is_some() && self.is(Bug::MeasuresAnyRevision));
        if query.metric.is_utilization() && !is_asked {
            let is_zero = component.replica.is_none() && self.is(Bug::NobodyUsesZero);
            return if is_zero { self.measured(state, zero, 1) } else { self.missing("no replica is ready") };
        }
        let Some(value) = component.measured.get(&query.metric) else {
            let is_watched = component.since.elapsed() >= WINDOW && !self.is(Bug::QuietIsNeverZero);
            let is_known = match query.metric {
                ScalingMetric::QueueLength => !self.is(Bug::EmptyIsMissing),
                _ => is_watched || self.is(Bug::QuietIsZero),
            };
            return if is_known { self.measured(state, zero, 1) } else { self.missing("it was not watched") };
        };
        let unit = match self.bug {
            Bug::CountsInShares if query.metric.is_utilization() => 10_000,
            Bug::TellsTooLittle => -1_000_000,
            _ => 1_000_000,
        };
        self.measured(state, Measure::from_micros(value * unit), 3)
    }

    fn burnt(&self, state: &State, query: &BurnQuery, over: Span) -> Reading {
        let since = over.before(query.at);
        let answered: Vec<bool> = self
            .component(state, &query.key)
            .into_iter()
            .flat_map(|component| &component.answered)
            .filter(|(at, _)| since <= *at && *at <= query.at)
            .map(|(_, failed)| *failed)
            .collect();
        let count = u64::try_from(answered.len()).unwrap();
        let failed = u64::try_from(answered.iter().filter(|failed| **failed).count()).unwrap();
        // A tenth may fail.
        let tenth = if self.is(Bug::TellsTheShare) { 1 } else { 10 };
        match Measure::ratio(failed * tenth, count) {
            Some(value) => self.measured(state, value, count),
            None if self.is(Bug::NobodyBurnsZero) => self.measured(state, Measure::from_units(0), 1),
            None => self.missing("nothing was answered"),
        }
    }

    fn waits_for(&self) -> Vec<ComponentKey> {
        let mut state = self.state.lock().unwrap();
        let waits = |(key, component): (&ComponentKey, &Component)| component.waits.then(|| key.clone());
        let mut told: Vec<ComponentKey> = state.components.iter().filter_map(waits).collect();
        match self.bug {
            Bug::TellsOneThatWaits => told.truncate(1),
            Bug::TellsTwice => told.extend(told.clone()),
            Bug::TellsOnce => state.components.values_mut().for_each(|component| component.waits = false),
            _ => {}
        }
        told
    }
}

#[async_trait]
impl ScalingSignals for Source {
    async fn signal(&self, query: &SignalQuery) -> PortResult<Reading> {
        let is_here = query.target == SurfaceKind::Functions || self.is(Bug::ServesEveryTarget);
        if (self.knows_nothing() && !self.is(Bug::KnowsNothingAndGuesses)) || !is_here {
            return Err(refused(PortErrorKind::Unsupported));
        }
        {
            let mut state = self.state.lock().unwrap();
            if state.asking > 0 && self.is(Bug::KeepsItsPlace) {
                return Err(refused(PortErrorKind::Unavailable));
            }
            state.asking += 1;
        }
        yield_now().await;
        let mut state = self.state.lock().unwrap();
        let others = state.asking > 1;
        state.asking -= 1;
        let reading = self.reading(&state, query);
        let before = state.before.replace(reading.clone());
        Ok(before.filter(|_| others && self.is(Bug::AnswersTheOneBefore)).unwrap_or(reading))
    }

    async fn burn(&self, query: &BurnQuery) -> PortResult<BurnReading> {
        let is_here = query.target == SurfaceKind::Functions || self.is(Bug::ServesEveryTarget);
        let is_known = query.long <= LONGEST || self.is(Bug::LooksBackForEver);
        if self.knows_nothing() || !is_here || !is_known {
            return Err(refused(PortErrorKind::Unsupported));
        }
        let state = self.state.lock().unwrap();
        let long = self.burnt(&state, query, query.long);
        let short =
            if self.is(Bug::BurnsAsOne) { long.clone() } else { self.burnt(&state, query, query.short) };
        Ok(BurnReading { short, long })
    }

    async fn waiting(&self) -> Vec<ComponentKey> {
        loop {
            let told = self.waits_for();
            let is_told = !told.is_empty() && !self.knows_nothing();
            if is_told || self.is(Bug::AnswersAtOnce) {
                return told;
            }
            match self.bug {
                Bug::LooksOnce => std::future::pending().await,
                Bug::WakesTheLastOnly => {
                    poll_fn(|context| {
                        *self.last.lock().unwrap() = Some(context.waker().clone());
                        if self.waits_for().is_empty() { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                }
                _ => self.noticed.notified().await,
            }
        }
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Source;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<Source> {
        let state = State { passed: Span::ZERO, components: BTreeMap::new(), asking: 0, before: None };
        let (state, noticed) = (Mutex::new(state), Notify::new());
        Ok(Source { bug: self.0, began: Instant::now(), state, noticed, last: Mutex::default() })
    }

    async fn reopen(&self, source: Source) -> PortResult<Source> {
        Ok(source)
    }
}

impl Factory {
    fn with(source: &Source, key: &ComponentKey, change: impl FnOnce(&mut Component, Timestamp)) {
        let mut state = source.state.lock().unwrap();
        let now = source.now(&state);
        let new = || Component {
            since: Instant::now(),
            replica: None,
            measured: BTreeMap::new(),
            answered: Vec::new(),
            waits: false,
        };
        change(state.components.entry(key.clone()).or_insert_with(new), now);
    }
}

#[async_trait]
impl SignalFactory for Factory {
    fn target(&self) -> SurfaceKind {
        SurfaceKind::Functions
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn window(&self) -> Duration {
        WINDOW
    }

    fn now(&self, source: &Source) -> Timestamp {
        source.now(&source.state.lock().unwrap())
    }

    async fn pass(&self, source: &Source, span: Span) {
        let mut state = source.state.lock().unwrap();
        state.passed = Span::from_millis(state.passed.as_millis() + span.as_millis());
    }

    async fn idle(&self, source: &Source, key: &ComponentKey, _: &RevisionId) -> PortResult<()> {
        Self::with(source, key, |_, _| {});
        Ok(())
    }

    async fn busy(
        &self,
        source: &Source,
        key: &ComponentKey,
        revision: &RevisionId,
        metric: ScalingMetric,
    ) -> PortResult<RangeInclusive<Measure>> {
        // Each as far from the others as one that is taken for another shows.
        let value = match metric {
            ScalingMetric::CpuUtilization => 40,
            ScalingMetric::MemoryUtilization => 6_000,
            ScalingMetric::QueueLength => 700_000,
            ScalingMetric::RequestRate => 80_000_000,
        };
        Self::with(source, key, |component, _| {
            component.replica = Some(revision.clone());
            component.measured.insert(metric, value);
        });
        Ok(Measure::from_units(value)..=Measure::from_units(value))
    }

    async fn answer(
        &self,
        source: &Source,
        key: &ComponentKey,
        _: &RevisionId,
        well: u32,
        failed: u32,
    ) -> PortResult<()> {
        Self::with(source, key, |component, now| {
            component.answered.extend((0..well).map(|_| (now, false)));
            component.answered.extend((0..failed).map(|_| (now, true)));
        });
        Ok(())
    }

    async fn wait(&self, source: &Source, key: &ComponentKey, waits: bool) -> PortResult<()> {
        let is_kept = source.is(Bug::NeverForgets);
        Self::with(source, key, |component, _| component.waits = waits || (is_kept && component.waits));
        match self.0 {
            Bug::WakesTheLastOnly => source.last.lock().unwrap().take().into_iter().for_each(Waker::wake),
            _ => source.noticed.notify_waiters(),
        }
        Ok(())
    }
}

async fn of(bug: Bug) -> Report {
    let capabilities = if matches!(bug, Bug::KnowsNothing | Bug::KnowsNothingAndGuesses) {
        SignalCapabilities { metrics: BTreeSet::new(), budget: None, waits: false }
    } else {
        let budget = BudgetCapabilities { left: Measure::from_micros(100_000), longest: LONGEST };
        let metrics = BTreeSet::from(ScalingMetric::ALL);
        SignalCapabilities { metrics, budget: Some(budget), waits: true }
    };
    scaling_signals(Factory(bug), capabilities).await
}

#[tokio::test(start_paused = true)]
async fn every_trial_is_failed_by_a_source_of_signals_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await, of(Bug::KnowsNothing).await];
    let unsupported = "what it does not know is unsupported";
    let (missing, unit) = ("no data is missing and says why", "a reading is in the unit of its metric");
    let when = "a reading says when it was measured and on how much";
    let nobody = "what nobody uses is missing and not zero";
    let window = "no request is zero only where the whole window was watched";
    let queue = "an empty queue is zero";
    let revision = "what replicas use is of the revision that is asked for";
    let apart = "components environments and tenants do not meet";
    let burns = "a budget burns as fast as requests fail";
    let stretch = "each stretch burns by itself";
    let unknown = "a budget that nothing is known of is missing";
    let told = "what waits is told with all others and again";
    let quiet = "who waits for what does not wait is not answered";
    let begins = "what begins to wait is told though others gave up";
    let at_once = "questions at once are not taken for one another";
    let dropped = "a question that is dropped leaves the source usable";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::KnowsNothingAndGuesses, &[unsupported]),
        (Bug::ServesEveryTarget, &[unsupported]),
        (Bug::LooksBackForEver, &[unsupported]),
        (Bug::ZeroIsNothing, &[missing, apart, at_once]),
        (Bug::SaysNoReason, &[missing, nobody, revision, apart, unknown, at_once]),
        (Bug::CountsInShares, &[unit, when, revision, apart, at_once, dropped]),
        (Bug::TellsTooLittle, &[unit, when, revision, apart, at_once, dropped]),
        (Bug::RestsOnNothing, &[when, burns, stretch]),
        (Bug::IsFromTheFuture, &[when]),
        (Bug::IsFromLongAgo, &[when]),
        (Bug::NobodyUsesZero, &[nobody]),
        (Bug::QuietIsZero, &[window]),
        (Bug::QuietIsNeverZero, &[window]),
        (Bug::EmptyIsMissing, &[queue]),
        (Bug::MeasuresAnyRevision, &[revision]),
        (Bug::ForgetsTheTenant, &[apart, unknown, at_once]),
        (Bug::ForgetsTheModule, &[apart]),
        (Bug::TellsTheShare, &[burns, stretch]),
        (Bug::BurnsAsOne, &[stretch]),
        (Bug::NobodyBurnsZero, &[unknown]),
        (Bug::TellsOneThatWaits, &[told]),
        (Bug::TellsOnce, &[told, begins]),
        (Bug::TellsTwice, &[told, quiet, begins]),
        (Bug::AnswersAtOnce, &[quiet, begins]),
        (Bug::NeverForgets, &[told, quiet, begins]),
        (Bug::LooksOnce, &[begins]),
        (Bug::WakesTheLastOnly, &[begins]),
        (Bug::AnswersTheOneBefore, &[at_once]),
        (Bug::KeepsItsPlace, &[at_once, dropped]),
    ];
    crate::tried(sound, bugs, of).await;
}
