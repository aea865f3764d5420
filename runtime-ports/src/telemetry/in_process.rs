//! Measurements kept in memory.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Attribute, BOUNDS, Instrument, InstrumentKind, Meter};

/// How many series an instrument has at the most. What comes with further attributes is counted together.
const SERIES: usize = 512;
/// The attribute of the series that stands for all that there was no room for, as OpenTelemetry names it.
const OVERFLOW: Attribute<'static> = ("otel.metric.overflow", "true");

/// One instrument's measurements since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The instrument.
    pub instrument: Instrument,
    /// Its series, in no order.
    pub series: Vec<(Vec<(&'static str, String)>, Series)>,
}

/// What one series comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Series {
    /// A counter's sum, or a gauge's last value.
    Number(f64),
    /// A histogram's distribution.
    Distribution(Distribution),
}

/// How measurements are distributed.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// How many there were.
    pub count: u64,
    /// What they add up to.
    pub sum: f64,
    /// How many lie within each of [`BOUNDS`] and above the one before; the last, how many above all.
    pub buckets: [u64; BOUNDS.len() + 1],
}

impl Distribution {
    const EMPTY: Self = Self { count: 0, sum: 0.0, buckets: [0; BOUNDS.len() + 1] };

    fn take(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let place = BOUNDS.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
    }
}

/// The meter that keeps everything in memory, for a metrics endpoint or an exporter to read.
///
/// Bounded: at most 513 series for each instrument; the one more stands for all that there was no room for.
#[derive(Debug)]
pub struct InProcessMeter {
    instruments: [Mutex<Vec<Kept>>; Instrument::ALL.len()],
}

#[derive(Debug)]
struct Kept {
    /// Of the attributes, so that most series are passed over by comparing a number.
    hash: u64,
    attributes: Vec<(&'static str, String)>,
    series: Series,
}

impl Default for InProcessMeter {
    fn default() -> Self {
        Self { instruments: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl InProcessMeter {
    /// The sum or last value of an instrument over all series that have these attributes; of a histogram, how many measurements there were.
    pub fn total(&self, instrument: Instrument, attributes: &[Attribute<'_>]) -> f64 {
        let has = |kept: &Kept| {
            attributes
                .iter()
                .all(|(name, value)| kept.attributes.iter().any(|(n, v)| n == name && v == value))
        };
        let values = self.kept(instrument);
        let values = values.iter().flat_map(|all| all.iter()).filter(|kept| has(kept));
        values
            .map(|kept| match &kept.series {
                Series::Number(number) => *number,
                #[allow(clippy::cast_precision_loss, reason = "no process measures 2^53 times")]
                Series::Distribution(distribution) => distribution.count as f64,
            })
            .sum()
    }

    fn kept(&self, instrument: Instrument) -> Option<MutexGuard<'_, Vec<Kept>>> {
        let kept = self.instruments.get(instrument as usize)?;
        Some(kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Meter for InProcessMeter {
    fn record<'a>(&self, instrument: Instrument, value: f64, attributes: &[Attribute<'a>]) {
        if !value.is_finite() {
            return;
        }
        let Some(mut all) = self.kept(instrument) else { return };
        let place = find(&all, attributes).or_else(|| {
            let attributes = if all.len() < SERIES { attributes } else { &[OVERFLOW] };
            find(&all, attributes).or_else(|| {
                all.push(Kept {
                    hash: hash(attributes),
                    attributes: attributes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
                    series: match instrument.kind() {
                        InstrumentKind::Histogram => Series::Distribution(Distribution::EMPTY),
                        _ => Series::Number(0.0),
                    },
                });
                all.len().checked_sub(1)
            })
        });
        let Some(kept) = place.and_then(|place| all.get_mut(place)) else { return };
        match (&mut kept.series, instrument.kind()) {
            (Series::Distribution(distribution), _) => distribution.take(value),
            (Series::Number(number), InstrumentKind::Gauge) => *number = value,
            (Series::Number(number), _) => *number += value,
        }
    }

    fn read(&self) -> Vec<Reading> {
        let readings = Instrument::ALL.iter().map(|instrument| {
            let all = self.kept(*instrument);
            let series = all.iter().flat_map(|all| all.iter());
            let series = series.map(|kept| (kept.attributes.clone(), kept.series.clone())).collect();
            Reading { instrument: *instrument, series }
        });
        readings.collect()
    }
}

fn hash(attributes: &[Attribute<'_>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (_, value) in attributes {
        hasher.write(value.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

fn find(all: &[Kept], attributes: &[Attribute<'_>]) -> Option<usize> {
    let hash = hash(attributes);
    all.iter().position(|kept| {
        kept.hash == hash
            && kept.attributes.len() == attributes.len()
            && kept.attributes.iter().zip(attributes).all(|((n, v), (name, value))| n == name && v == value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_gauges_are_set_and_histograms_distribute() {
        let meter = InProcessMeter::default();
        for value in [1.0, 2.0] {
            meter.record(Instrument::Gates, value, &[("factory.outcome", "passed")]);
            meter.record(Instrument::DueLag, value, &[("factory.worker", "relay")]);
            meter.record(Instrument::CommitDuration, value, &[]);
        }
        meter.record(Instrument::Gates, 1.0, &[("factory.outcome", "failed")]);
        meter.record(Instrument::Gates, f64::NAN, &[("factory.outcome", "failed")]);
        assert_eq!(meter.total(Instrument::Gates, &[]), 4.0);
        assert_eq!(meter.total(Instrument::Gates, &[("factory.outcome", "failed")]), 1.0);
        assert_eq!(meter.total(Instrument::DueLag, &[]), 2.0);
        let readings = meter.read();
        let commits =
            readings.iter().find(|reading| reading.instrument == Instrument::CommitDuration).unwrap();
        let [(_, Series::Distribution(commits))] = &commits.series[..] else { panic!("{commits:?}") };
        assert_eq!((commits.count, commits.sum), (2, 3.0));
        assert_eq!(commits.buckets.iter().sum::<u64>(), 2);
    }

    #[test]
    fn a_bound_lies_within_its_bucket_and_what_is_above_all_is_counted() {
        let mut distribution = Distribution::EMPTY;
        for value in [0.0, BOUNDS[0], BOUNDS[1], BOUNDS[17], 301.0, 1e9] {
            distribution.take(value);
        }
        assert_eq!(distribution.buckets[0], 2);
        assert_eq!(distribution.buckets[1], 1);
        assert_eq!(distribution.buckets[17..], [1, 2]);
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn however_many_words_come_so_many_series_are_kept_and_nothing_is_lost() {
        let meter = InProcessMeter::default();
        for word in 0..10_000 {
            meter.record(Instrument::Events, 1.0, &[("factory.event", &word.to_string())]);
        }
        let readings = meter.read();
        let events = readings.iter().find(|reading| reading.instrument == Instrument::Events).unwrap();
        assert_eq!(events.series.len(), SERIES + 1);
        assert_eq!(meter.total(Instrument::Events, &[]), 10_000.0);
    }
}
