//! Metric sources that break one promise each.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_domain::metric::{MetricName, MetricQuery, MetricReading};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Measure;
use runtime_ports::metric::MetricSource;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::metrics::Requests;
use runtime_testkit::conformance::{
    AdapterFactory, MetricCapabilities, MetricFactory, Persistence, Report, metrics,
};
use runtime_testkit::sample;
use tokio::task::yield_now;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    KnowsNone,
    ZeroIsNothing,
    NothingIsAnError,
    MeasuresAnything,
    KnowsByName,
    CountsInPercent,
    TellsNoErrorAsNothing,
    CountsByTheMinute,
    TimesInSeconds,
    TimesTheMean,
    TellsNoSamples,
    MeasuresEveryRevision,
    ForgetsTheTenant,
    ForgetsTheEnvironment,
    RemembersForEver,
    LooksAhead,
    IsAlwaysFresh,
    NewestOfAll,
    DividesByNoTime,
    PanicsWhenTurnedRound,
    CountsWhoAsks,
    AnswersTheOneBefore,
    KeepsItsPlace,
}

/// One request that was answered.
#[derive(Debug, Clone)]
struct Answered {
    of: Requests,
    at: Timestamp,
    failed: bool,
    takes: Span,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    answered: Vec<Answered>,
    asking: u32,
    asked: u64,
    before: Option<MetricReading>,
}

struct Source {
    bug: Bug,
    state: Mutex<State>,
}

const NOTHING: MetricReading = MetricReading { value: None, samples: 0, newest: None };

fn refused(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "metrics.read", "it is not told")
}

impl Source {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn measured(&self, state: &State, query: &MetricQuery) -> Vec<Answered> {
        let (since, until) = (query.since, query.until);
        let is_asked = |answered: &&Answered| {
            let key = &answered.of.key;
            let within = (since <= answered.at || self.is(Bug::RemembersForEver))
                && (answered.at <= until || self.is(Bug::LooksAhead));
            within
                && (key.tenant == query.key.tenant || self.is(Bug::ForgetsTheTenant))
                && (key.environment == query.key.environment || self.is(Bug::ForgetsTheEnvironment))
                && key.module == query.key.module
                && (answered.of.revision == query.revision || self.is(Bug::MeasuresEveryRevision))
        };
        state.answered.iter().filter(is_asked).cloned().collect()
    }

    fn value(&self, query: &MetricQuery, measured: &[Answered]) -> Option<Measure> {
        let count = u64::try_from(measured.len()).unwrap();
        let span = Span::between(query.since, query.until).as_millis();
        let mut latencies: Vec<u64> =
            measured.iter().map(|answered| answered.takes.as_millis().max(1)).collect();
        latencies.sort_unstable();
        let unit = if self.is(Bug::TimesInSeconds) { 1_000 } else { 1 };
        let percentile = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100).max(1) - 1;
            Measure::ratio(*latencies.get(rank)?, unit)
        };
        match query.metric {
            MetricName::ErrorRate => {
                let failed =
                    u64::try_from(measured.iter().filter(|answered| answered.failed).count()).unwrap();
                let whole = if self.is(Bug::CountsInPercent) { 100 } else { 1 };
                let is_told = failed > 0 || !self.is(Bug::TellsNoErrorAsNothing);
                Measure::ratio(failed * whole, count).filter(|_| is_told)
            }
            MetricName::RequestRate if span == 0 && self.is(Bug::DividesByNoTime) => {
                Some(Measure::from_micros(i64::MAX))
            }
            MetricName::RequestRate => {
                let unit = if self.is(Bug::CountsByTheMinute) { 60_000 } else { 1_000 };
                Measure::ratio(count * unit, span)
            }
            MetricName::LatencyP50 if self.is(Bug::TimesTheMean) => {
                // Of what is the same everywhere, the mean is the median.
                Measure::ratio(latencies.iter().map(|takes| takes * takes).sum(), latencies.iter().sum())
            }
            MetricName::LatencyP50 => percentile(50),
            _ => percentile(99),
        }
    }

    fn reading(&self, state: &mut State, query: &MetricQuery) -> PortResult<MetricReading> {
        assert!(query.since <= query.until || !self.is(Bug::PanicsWhenTurnedRound), "time goes on");
        let measured = self.measured(state, query);
        if measured.is_empty() {
            return match self.bug {
                Bug::ZeroIsNothing => Ok(MetricReading { value: Some(Measure::from_units(0)), ..NOTHING }),
                Bug::NothingIsAnError => Err(refused(PortErrorKind::NotFound)),
                _ => Ok(NOTHING),
            };
        }
        let Some(value) = self.value(query, &measured) else { return Ok(NOTHING) };
        let newest = match self.bug {
            Bug::IsAlwaysFresh => Some(state.now),
            Bug::NewestOfAll => state.answered.iter().map(|answered| answered.at).max(),
            _ => measured.iter().map(|answered| answered.at).max(),
        };
        state.asked += 1;
        let samples = match self.bug {
            Bug::TellsNoSamples => 0,
            Bug::CountsWhoAsks => state.asked,
            _ => u64::try_from(measured.len()).unwrap(),
        };
        Ok(MetricReading { value: Some(value), samples, newest })
    }
}

#[async_trait]
impl MetricSource for Source {
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading> {
        let known = match &query.metric {
            MetricName::Custom(name) => self.is(Bug::KnowsByName) && name.as_str() == "error-rate",
            _ => !self.is(Bug::KnowsNone),
        };
        if !known && !self.is(Bug::MeasuresAnything) {
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
        let reading = self.reading(&mut state, query)?;
        let before = state.before.replace(reading.clone());
        Ok(before.filter(|_| others && self.is(Bug::AnswersTheOneBefore)).unwrap_or(reading))
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
        let state = State { now: sample::at(1_000), answered: Vec::new(), asking: 0, asked: 0, before: None };
        Ok(Source { bug: self.0, state: Mutex::new(state) })
    }

    async fn reopen(&self, source: Source) -> PortResult<Source> {
        Ok(source)
    }
}

#[async_trait]
impl MetricFactory for Factory {
    async fn answer(&self, source: &Source, requests: &Requests) -> PortResult<()> {
        let mut state = source.state.lock().unwrap();
        for number in 0..requests.well + requests.failed {
            state.now = requests.takes.after(state.now);
            let answered = Answered {
                of: requests.clone(),
                at: state.now,
                failed: number >= requests.well,
                takes: requests.takes,
            };
            state.answered.push(answered);
        }
        Ok(())
    }

    fn now(&self, source: &Source) -> Timestamp {
        source.state.lock().unwrap().now
    }

    async fn pass(&self, source: &Source, span: Span) {
        let mut state = source.state.lock().unwrap();
        state.now = span.after(state.now);
    }
}

async fn of(bug: Bug) -> Report {
    let known =
        [MetricName::ErrorRate, MetricName::LatencyP50, MetricName::LatencyP99, MetricName::RequestRate];
    let known = if bug == Bug::KnowsNone { BTreeSet::new() } else { BTreeSet::from(known) };
    metrics(Factory(bug), MetricCapabilities { metrics: known }).await
}

#[tokio::test]
async fn every_trial_is_failed_by_a_metric_source_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await, of(Bug::KnowsNone).await];
    let (no_data, unknown) =
        ("no data is no value and no samples", "a metric that it does not know is unsupported");
    let errors = "the error rate is the share that failed";
    let rate = "the request rate is by the second";
    let latencies = "latencies are in milliseconds and the median is not the worst";
    let range = "every reading is in its range";
    let revision = "a reading is of its own revision only";
    let apart = "components environments and tenants do not meet";
    let stretch = "a reading is of its own stretch of time only";
    let newest = "the newest data is that of the stretch";
    let odd = "a stretch that is empty or turned round is no data";
    let (changes, at_once) = ("asking changes nothing", "questions at once are not taken for one another");
    let dropped = "a question that is dropped leaves the source usable";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::ZeroIsNothing, &[no_data, revision, apart, stretch, odd]),
        (Bug::NothingIsAnError, &[no_data, revision, apart, stretch, odd, at_once]),
        (Bug::MeasuresAnything, &[unknown]),
        (Bug::KnowsByName, &[unknown]),
        (Bug::CountsInPercent, &[errors, range, revision, apart, stretch]),
        (Bug::TellsNoErrorAsNothing, &[errors, range, revision, apart, stretch]),
        (Bug::CountsByTheMinute, &[rate]),
        (Bug::TimesInSeconds, &[latencies]),
        (Bug::TimesTheMean, &[latencies]),
        (Bug::TellsNoSamples, &[no_data, range, revision, apart, stretch, odd]),
        (Bug::MeasuresEveryRevision, &[revision]),
        (Bug::ForgetsTheTenant, &[apart]),
        (Bug::ForgetsTheEnvironment, &[apart]),
        (Bug::RemembersForEver, &[no_data, stretch]),
        (Bug::LooksAhead, &[no_data, stretch, newest]),
        (Bug::IsAlwaysFresh, &[range, newest]),
        (Bug::NewestOfAll, &[newest]),
        (Bug::DividesByNoTime, &[odd]),
        (Bug::PanicsWhenTurnedRound, &[odd]),
        (Bug::CountsWhoAsks, &[changes, at_once, dropped]),
        (Bug::AnswersTheOneBefore, &[at_once, dropped]),
        (Bug::KeepsItsPlace, &[at_once, dropped]),
    ];
    crate::tried(sound, bugs, of).await;
}
