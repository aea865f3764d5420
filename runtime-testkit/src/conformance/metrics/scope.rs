//! What a reading is of, and what is no reading.

use std::collections::BTreeSet;

use runtime_domain::metric::MetricName;
use runtime_domain::time::Span;
use runtime_ports::metric::MetricSource;
use runtime_ports::{PortErrorKind, Retry};

use super::{GAP, MetricFactory, Requests, Stage, Stretch, cart, is_no_data, question, requests, revision};
use crate::conformance::adapter::is_refused;
use crate::conformance::{Failure, Outcome, ensure, equal};

pub(super) async fn no_data_is_no_value_and_no_samples<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let nobody = requests(1, 0, 0)?;
    let over = stage.answered(&[]).await?;
    stage.tells_nothing(&nobody, over, "a component that never ran").await?;
    let somebody = requests(1, 2, 1)?;
    let after = stage.answered(std::slice::from_ref(&somebody)).await?;
    stage.tells_something(&somebody, after, "a revision that answered").await?;
    stage.tells_nothing(&somebody, over, "a revision before it answered").await?;
    let later = stage.answered(&[]).await?;
    stage.tells_nothing(&somebody, later, "a revision that nobody asks any more").await
}

pub(super) async fn a_metric_that_it_does_not_know_is_unsupported<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let custom = |name: &str| {
        let name = name.parse().map_err(|error| Failure::new(format!("{error}")))?;
        Ok::<_, Failure>(MetricName::Custom(name))
    };
    // A name of one's own that is spelt as a metric's is no less unknown.
    let mut unknown = BTreeSet::from([
        MetricName::ErrorRate,
        MetricName::LatencyP50,
        MetricName::LatencyP99,
        MetricName::RequestRate,
        custom("nobody-measures-this")?,
        custom("error-rate")?,
    ]);
    unknown.retain(|metric| !stage.capabilities.metrics.contains(metric));
    let asked = requests(1, 2, 1)?;
    let over = stage.answered(std::slice::from_ref(&asked)).await?;
    for metric in unknown {
        let answer = stage.source.read(&question(&asked, &metric, over)).await;
        let what = format!("the metric {metric:?}, which it does not declare,");
        let error = is_refused(answer, PortErrorKind::Unsupported, &what)?;
        let says = !error.message().is_empty() && error.retry() == Retry::Never;
        ensure(says, format!("the refusal says {:?}: {error}", error.retry()))?;
    }
    Ok(())
}

pub(super) async fn a_reading_is_of_its_own_revision_only<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let (one, other) = (requests(1, 0, 3)?, requests(2, 4, 0)?);
    let over = stage.answered(&[one.clone(), other.clone()]).await?;
    stage.tells_nothing(&requests(3, 0, 0)?, over, "a revision that answered nothing").await?;
    stage.tells_something(&one, over, "one revision").await?;
    stage.tells_something(&other, over, "another revision").await?;
    failed_share(&stage, &one, over, 1).await?;
    failed_share(&stage, &other, over, 0).await
}

/// That all of it failed, or none; nothing, where that is not known.
async fn failed_share<F>(stage: &Stage<F>, of: &Requests, over: Stretch, share: i64) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    if stage.knows_errors().is_err() {
        return Ok(());
    }
    let reading = stage.read(of, &MetricName::ErrorRate, over).await?;
    let seen = reading.value.map(|value| value.micros());
    equal(&format!("the error rate of {} of {}", of.revision, of.key), seen, Some(share * 1_000_000))
}

pub(super) async fn components_environments_and_tenants_do_not_meet<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    // The same revision's identifier, as where a tenant was copied.
    let own = requests(1, 0, 3)?;
    let over = stage.answered(std::slice::from_ref(&own)).await?;
    let strangers = [cart(2, 1)?, cart(1, 2)?];
    for key in &strangers {
        let strange = Requests { key: key.clone(), well: 2, failed: 0, ..own.clone() };
        stage.tells_nothing(&strange, over, "another tenant's or environment's component").await?;
    }
    let mut module = own.key.clone();
    module.module = "pay".parse().map_err(|error| Failure::new(format!("{error}")))?;
    let pay = Requests { revision: revision(&module, 1), key: module, ..own.clone() };
    stage.tells_nothing(&pay, over, "another component").await?;
    let strange = strangers.map(|key| Requests { key, well: 2, failed: 0, ..own.clone() });
    let after = stage.answered(&[strange.as_slice(), std::slice::from_ref(&own)].concat()).await?;
    failed_share(&stage, &own, after, 1).await?;
    for strange in &strange {
        stage.tells_something(strange, after, "another tenant's or environment's component").await?;
        failed_share(&stage, strange, after, 0).await?;
    }
    Ok(())
}

pub(super) async fn a_reading_is_of_its_own_stretch_of_time_only<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let (failed, well) = (requests(1, 0, 3)?, requests(1, 4, 0)?);
    let first = stage.answered(std::slice::from_ref(&failed)).await?;
    let between = stage.answered(&[]).await?;
    let second = stage.answered(std::slice::from_ref(&well)).await?;
    failed_share(&stage, &failed, first, 1).await?;
    stage.tells_nothing(&failed, between, "the time between").await?;
    failed_share(&stage, &failed, second, 0).await?;
    for over in [first, second] {
        stage.tells_something(&failed, over, "its own stretch").await?;
    }
    Ok(())
}

pub(super) async fn the_newest_data_is_that_of_the_stretch<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let asked = requests(1, 3, 1)?;
    let first = stage.answered(std::slice::from_ref(&asked)).await?;
    stage.factory.pass(&stage.source, GAP).await;
    let second = stage.answered(std::slice::from_ref(&asked)).await?;
    let both = Stretch { since: first.since, ..second };
    // Who asks late learns that it is late: what is told is when it was measured, not when it was asked.
    let late = Stretch { until: Span::from_secs(8).after(second.until), ..second };
    for (over, within) in [(first, first), (second, second), (both, second), (late, second)] {
        for metric in &stage.capabilities.metrics {
            let newest = stage.read(&asked, metric, over).await?.newest;
            ensure(
                newest.is_some_and(|newest| within.since <= newest && newest <= within.until),
                format!(
                    "the newest {metric} over {over:?} is from within {within:?}, and {newest:?} is told"
                ),
            )?;
        }
    }
    Ok(())
}

pub(super) async fn a_stretch_that_is_empty_or_turned_round_is_no_data<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let asked = requests(1, 1, 0)?;
    let over = stage.answered(std::slice::from_ref(&asked)).await?;
    let mut odd = vec![Stretch { since: over.until, until: over.since }];
    for metric in &stage.capabilities.metrics {
        // The moment of the newest data: it lies within, and is no time at all.
        odd.extend(stage.read(&asked, metric, over).await?.newest.map(|at| Stretch { since: at, until: at }));
    }
    for over in odd {
        for metric in &stage.capabilities.metrics {
            match stage.source.read(&question(&asked, metric, over)).await {
                Err(error) if error.kind() == PortErrorKind::Invalid => {}
                Err(error) => return Err(error.into()),
                // Of a moment a source may know who was answered, though not how many there were a second.
                Ok(reading) if over.since == over.until && reading.value.is_some() => ensure(
                    *metric != MetricName::RequestRate && reading.samples > 0,
                    format!("a rate over no time is none, and the answer is {reading:?}"),
                )?,
                Ok(reading) => is_no_data(&reading, &format!("the {metric} over {over:?}"))?,
            }
        }
    }
    Ok(())
}
