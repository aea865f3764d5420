//! What the numbers mean.

use runtime_domain::metric::MetricName;
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::metric::MetricSource;

use super::{MetricFactory, Requests, Stage, requests};
use crate::conformance::{Failure, Outcome, ensure, equal};

/// The value of a metric that there is, in millionths of its unit.
fn millionths(value: Option<Measure>, what: &str) -> Result<i64, Failure> {
    value.map(Measure::micros).ok_or_else(|| Failure::new(format!("{what} is there, and no value is told")))
}

pub(super) async fn the_error_rate_is_the_share_that_failed<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    for (number, well, failed, wanted) in [(1, 6, 2, 250_000), (2, 5, 0, 0), (3, 0, 4, 1_000_000)] {
        let asked = requests(number, well, failed)?;
        let over = stage.answered(std::slice::from_ref(&asked)).await?;
        let reading = stage.read(&asked, &MetricName::ErrorRate, over).await?;
        let what = format!("the error rate where {failed} of {} failed", well + failed);
        equal(&what, millionths(reading.value, &what)?, wanted)?;
    }
    Ok(())
}

pub(super) async fn the_request_rate_is_by_the_second<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let asked = requests(1, 30, 10)?;
    let over = stage.answered(std::slice::from_ref(&asked)).await?;
    // Over three times as long there are a third as many a second.
    let span = Span::between(over.since, over.until);
    let longer = super::Stretch { since: span.before(span.before(over.since)), ..over };
    for over in [over, longer] {
        let reading = stage.read(&asked, &MetricName::RequestRate, over).await?;
        let millis = i64::try_from(Span::between(over.since, over.until).as_millis()).unwrap_or(i64::MAX);
        let (wanted, seen) =
            (40 * 1_000_000_000 / millis.max(1), millionths(reading.value, "the request rate")?);
        // Coarse sources may count over a little more or less.
        ensure(
            (wanted * 2 / 3..=wanted * 3 / 2).contains(&seen),
            format!("40 requests within {millis} ms are {wanted} millionths a second, and {seen} are told"),
        )?;
    }
    Ok(())
}

pub(super) async fn latencies_are_in_milliseconds_and_the_median_is_not_the_worst<F>(
    stage: Stage<F>,
) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let quick = requests(1, 24, 0)?;
    let slow = Requests { well: 2, takes: Span::from_millis(400), ..quick.clone() };
    let over = stage.answered(&[quick.clone(), slow]).await?;
    let mut seen = Vec::new();
    for metric in [MetricName::LatencyP50, MetricName::LatencyP99] {
        let reading = stage.read(&quick, &metric, over).await?;
        seen.push(millionths(reading.value, &format!("the {metric}"))?);
    }
    // On a slow machine what is quick takes some time too. Buckets may be a quarter off.
    ensure(
        matches!(seen.as_slice(), [median, worst] if (1..300_000_000).contains(median)
            && (300_000_000..60_000_000_000).contains(worst)),
        format!("24 took next to no time and 2 took 400 ms, and these millionths of a ms are told: {seen:?}"),
    )
}

pub(super) async fn every_reading_is_in_its_range<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    for (number, well, failed) in [(1, 1, 0), (2, 0, 1), (3, 3, 0), (4, 0, 3), (5, 2, 1)] {
        let asked = requests(number, well, failed)?;
        let over = stage.answered(std::slice::from_ref(&asked)).await?;
        for metric in &stage.capabilities.metrics {
            let reading = stage.read(&asked, metric, over).await?;
            let (most, what) = match metric {
                MetricName::ErrorRate => (1_000_000, "a share"),
                _ => (i64::MAX, "no negative number"),
            };
            let value = millionths(reading.value, &format!("the {metric}"))?;
            ensure(
                (0..=most).contains(&value),
                format!("the {metric} is {what}, and {value} millionths are told"),
            )?;
            let rests = reading.samples > 0
                && reading.newest.is_some_and(|newest| over.since <= newest && newest <= over.until);
            ensure(rests, format!("the {metric} rests on nothing within {over:?}: {reading:?}"))?;
        }
    }
    Ok(())
}
