//! What the proxy saw of each revision, second by second, for the last quarter of an hour.
//!
//! A request counts when its answer ends, or when its client leaves. Kept in memory: after a restart of the host there is no data until there are requests, and readings say so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runtime_domain::component::RevisionId;
use runtime_domain::metric::{MetricName, MetricQuery, MetricReading};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Measure;
use runtime_ports::{PortError, PortErrorKind, PortResult};

/// How many seconds with requests are kept of each revision.
const SECONDS: usize = 900;
/// How far back it can be looked.
pub(crate) const KEPT: Span = Span::from_secs(900);
/// How many revisions are kept of one component; more than can exist at once.
const REVISIONS: usize = 16;
/// Latency buckets: four to each doubling from 250 µs up to about 65 s, and one for what is longer.
const BUCKETS: usize = 73;
const SHORTEST_MICROS: u64 = 250;

/// The requests of one component.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    revisions: Mutex<BTreeMap<RevisionId, VecDeque<Second>>>,
}

/// The requests of one revision that were answered within one second.
#[derive(Debug)]
struct Second {
    number: i64,
    first: Timestamp,
    last: Timestamp,
    requests: u64,
    errors: u64,
    latencies: Box<[u32; BUCKETS]>,
}

impl Second {
    fn new(at: Timestamp) -> Self {
        let number = at.timestamp();
        Self { number, first: at, last: at, requests: 0, errors: 0, latencies: Box::new([0; BUCKETS]) }
    }
}

/// The upper end of a latency bucket, in microseconds: a doubling in four equal steps.
fn bucket_end(bucket: usize) -> u64 {
    let (doubling, quarter) = (bucket / 4, bucket % 4);
    let start = SHORTEST_MICROS << doubling.min(40);
    start + start * quarter as u64 / 4
}

fn bucket_of(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    (0..BUCKETS - 1).find(|bucket| micros <= bucket_end(*bucket)).unwrap_or(BUCKETS - 1)
}

impl Metrics {
    /// Counts one request.
    pub(crate) fn record(&self, revision: &RevisionId, at: Timestamp, latency: Duration, failed: bool) {
        let mut revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        if !revisions.contains_key(revision) && revisions.len() >= REVISIONS {
            let oldest = revisions
                .iter()
                .min_by_key(|(_, seconds)| seconds.back().map(|second| second.last))
                .map(|(revision, _)| revision.clone());
            if let Some(oldest) = oldest {
                revisions.remove(&oldest);
            }
        }
        let seconds = revisions.entry(revision.clone()).or_default();
        // A clock that jumps back continues in an earlier second, or begins one; each is found by its number.
        if seconds.back().is_none_or(|second| second.number != at.timestamp()) {
            seconds.push_back(Second::new(at));
            while seconds.len() > SECONDS {
                seconds.pop_front();
            }
        }
        if let Some(second) = seconds.back_mut() {
            second.first = second.first.min(at);
            second.last = second.last.max(at);
            second.requests += 1;
            second.errors += u64::from(failed);
            if let Some(count) = second.latencies.get_mut(bucket_of(latency)) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Answers a query from the seconds whose requests all lie within it.
    pub(crate) fn read(&self, query: &MetricQuery) -> PortResult<MetricReading> {
        if let MetricName::Custom(name) = &query.metric {
            return Err(PortError::new(
                PortErrorKind::Unsupported,
                "metrics.read",
                format!(
                    "the process surface knows no metric `{name}`: ask it for error-rate, request-rate, latency-p50 or \
                     latency-p99, or ask another source"
                ),
            ));
        }
        let revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds: Vec<&Second> = revisions
            .get(&query.revision)
            .into_iter()
            .flatten()
            .filter(|second| second.first >= query.since && second.last <= query.until)
            .collect();
        let samples: u64 = seconds.iter().map(|second| second.requests).sum();
        let value = match query.metric {
            MetricName::ErrorRate => {
                Measure::ratio(seconds.iter().map(|second| second.errors).sum(), samples)
            }
            MetricName::RequestRate => rate(samples, Span::between(query.since, query.until)),
            MetricName::LatencyP50 => percentile(&seconds, samples, 50),
            MetricName::LatencyP99 => percentile(&seconds, samples, 99),
            MetricName::Custom(_) => None,
        };
        // What gives no value, such as a rate over no time, rests on nothing either.
        if value.is_none() {
            return Ok(MetricReading { value, samples: 0, newest: None });
        }
        let newest = seconds.iter().map(|second| second.last).max();
        Ok(MetricReading { value, samples, newest })
    }
}

fn rate(samples: u64, over: Span) -> Option<Measure> {
    if samples == 0 {
        return None;
    }
    Measure::ratio(samples.saturating_mul(1_000), over.as_millis())
}

/// The upper end of the bucket in which the wanted share of requests is reached: at most a quarter too high, never too low.
fn percentile(seconds: &[&Second], samples: u64, percent: u64) -> Option<Measure> {
    if samples == 0 {
        return None;
    }
    let wanted = (samples * percent).div_ceil(100);
    let mut seen = 0;
    for bucket in 0..BUCKETS {
        let here =
            seconds.iter().filter_map(|second| second.latencies.get(bucket)).map(|count| u64::from(*count));
        seen += here.sum::<u64>();
        if seen >= wanted {
            // Microseconds are thousandths of the unit, measures are in millionths.
            return i64::try_from(bucket_end(bucket) * 1_000).ok().map(Measure::from_micros);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runtime_domain::id::{DeploymentId, EnvironmentId, TenantId};
    use runtime_domain::surface::ComponentKey;
    use runtime_domain::value::Name;
    use uuid::Uuid;

    use super::*;

    fn revision(number: u128) -> RevisionId {
        RevisionId::new(Name::new("cart").expect("a name"), DeploymentId::from_uuid(Uuid::from_u128(number)))
    }

    fn at(millis: u64) -> Timestamp {
        Span::from_millis(millis).after(Timestamp::UNIX_EPOCH)
    }

    fn query(number: u128, metric: MetricName, since: u64, until: u64) -> MetricQuery {
        MetricQuery {
            key: ComponentKey {
                tenant: TenantId::from_uuid(Uuid::from_u128(1)),
                environment: EnvironmentId::from_uuid(Uuid::from_u128(2)),
                module: Name::new("cart").expect("a name"),
            },
            revision: revision(number),
            metric,
            since: at(since),
            until: at(until),
        }
    }

    #[test]
    fn no_data_is_no_value_and_never_zero() {
        let metrics = Metrics::default();
        metrics.record(&revision(2), at(1_500), Duration::from_millis(1), true);
        for metric in
            [MetricName::ErrorRate, MetricName::RequestRate, MetricName::LatencyP50, MetricName::LatencyP99]
        {
            let reading = metrics.read(&query(1, metric, 0, 10_000)).expect("known");
            assert_eq!(reading, MetricReading { value: None, samples: 0, newest: None });
        }
    }

    #[test]
    fn a_reading_covers_its_own_revision_and_stretch_of_time_only() {
        let metrics = Metrics::default();
        for (number, millis, failed) in
            [(1, 500, true), (1, 2_500, false), (2, 2_600, true), (1, 4_500, true)]
        {
            metrics.record(&revision(number), at(millis), Duration::from_millis(1), failed);
        }
        let reading = metrics.read(&query(1, MetricName::ErrorRate, 1_000, 4_000)).expect("known");
        assert_eq!((reading.value, reading.samples), (Some(Measure::from_units(0)), 1));
        assert_eq!(reading.newest, Some(at(2_500)));
        let whole = metrics.read(&query(1, MetricName::ErrorRate, 0, 5_000)).expect("known");
        assert_eq!(whole.value, Measure::ratio(2, 3));
        let rate = metrics.read(&query(1, MetricName::RequestRate, 0, 6_000)).expect("known");
        assert_eq!(rate.value, "0.5".parse().ok());
    }

    #[test]
    fn an_unknown_metric_is_an_error_and_not_a_reading() {
        let unknown = MetricName::Custom(Name::new("queue-length").expect("a name"));
        let error = Metrics::default().read(&query(1, unknown, 0, 1)).expect_err("unknown");
        assert_eq!(error.kind(), PortErrorKind::Unsupported);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let metrics = Metrics::default();
        for second in 0..2_000 {
            metrics.record(&revision(u128::from(second) % 40), at(second * 1_000), Duration::ZERO, false);
            metrics.record(&revision(1), at(second * 1_000), Duration::ZERO, false);
        }
        let revisions = metrics.revisions.lock().expect("not poisoned");
        assert_eq!(revisions.len(), REVISIONS);
        assert_eq!(revisions.get(&revision(1)).map(VecDeque::len), Some(SECONDS));
    }

    proptest! {
        #[test]
        fn a_percentile_is_never_too_low_and_at_most_a_quarter_too_high(
            millis in proptest::collection::vec(1_u64..50_000, 1..200),
        ) {
            let metrics = Metrics::default();
            for latency in &millis {
                metrics.record(&revision(1), at(500), Duration::from_millis(*latency), false);
            }
            let mut sorted = millis;
            sorted.sort_unstable();
            for (metric, percent) in [(MetricName::LatencyP50, 50), (MetricName::LatencyP99, 99)] {
                let exact = sorted[(sorted.len() * percent).div_ceil(100) - 1];
                let value = metrics.read(&query(1, metric, 0, 1_000)).expect("known").value.expect("a value");
                let exact = Measure::from_units(i64::try_from(exact).expect("small")).micros();
                prop_assert!(value.micros() >= exact);
                prop_assert!(value.micros() <= exact + exact / 4);
            }
        }
    }
}
