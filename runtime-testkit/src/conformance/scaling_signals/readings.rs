//! What there is to do, and how much of what they have replicas use.

use runtime_domain::scaling::{Reading, ScalingMetric};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::{PortErrorKind, PortResult, Retry};
use tokio::time::Instant;

use super::{SignalFactory, Stage, cart, is_missing, revision};
use crate::conformance::adapter::is_refused;
use crate::conformance::{Failure, Outcome, ensure, equal};

fn is_unsupported<T>(answer: PortResult<T>, what: &str) -> Outcome {
    let error = is_refused(answer, PortErrorKind::Unsupported, what)?;
    let says = !error.message().is_empty() && error.retry() == Retry::Never;
    ensure(says, format!("the refusal says {:?}: {error}", error.retry()))
}

pub(super) async fn what_it_does_not_know_is_unsupported<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = cart(1, 1)?;
    stage.factory.idle(&stage.source, &key, &revision(&key, 1)).await?;
    let target = match stage.factory.target() {
        SurfaceKind::Functions => SurfaceKind::Process,
        _ => SurfaceKind::Functions,
    };
    for metric in ScalingMetric::ALL {
        let own = stage.query(&key, 1, metric);
        if !stage.capabilities.metrics.contains(&metric) {
            let what = format!("the {metric}, which it does not declare,");
            is_unsupported(stage.source.signal(&own).await, &what)?;
        }
        let elsewhere = SignalQuery { target, ..own };
        is_unsupported(stage.source.signal(&elsewhere).await, &format!("the {metric} on {target}"))?;
    }
    let minutes = |count: u64| Span::from_secs(60 * count);
    let own = stage.burn_query(&key, minutes(1), minutes(10));
    is_unsupported(stage.source.burn(&BurnQuery { target, ..own.clone() }).await, "a budget elsewhere")?;
    match stage.capabilities.budget {
        None => is_unsupported(stage.source.burn(&own).await, "a budget, which it does not declare,"),
        Some(budget) => {
            let long = Span::from_millis(budget.longest.as_millis() + 1);
            let what = "a budget over longer than it looks back";
            is_unsupported(stage.source.burn(&BurnQuery { long, ..own }).await, what)
        }
    }
}

pub(super) async fn no_data_is_missing_and_says_why<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = cart(1, 1)?;
    for metric in &stage.capabilities.metrics {
        let reading = stage.signal(&key, 1, *metric).await?;
        is_missing(&reading, &format!("the {metric} of a component that was never there"))?;
    }
    Ok(())
}

pub(super) async fn a_reading_is_in_the_unit_of_its_metric<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    for metric in &stage.capabilities.metrics {
        let (key, right) = stage.busy(*metric).await?;
        stage.right(&key, *metric, &right).await?;
    }
    Ok(())
}

pub(super) async fn a_reading_says_when_it_was_measured_and_on_how_much<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    for metric in &stage.capabilities.metrics {
        let since = stage.factory.now(&stage.source);
        let (key, right) = stage.busy(*metric).await?;
        let reading = stage.right(&key, *metric, &right).await?;
        let until = stage.factory.now(&stage.source);
        let Reading::Measured { observed_at, samples, .. } = reading else { continue };
        ensure(
            since <= observed_at && observed_at <= until,
            format!("the {metric} was measured within {since} and {until}, and {observed_at} is told"),
        )?;
        ensure(samples > 0, format!("the {metric} rests on nothing"))?;
    }
    Ok(())
}

pub(super) async fn what_nobody_uses_is_missing_and_not_zero<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = cart(1, 1)?;
    stage.factory.idle(&stage.source, &key, &revision(&key, 1)).await?;
    for metric in stage.capabilities.metrics.iter().filter(|metric| metric.is_utilization()) {
        for _ in 0..3 {
            let reading = stage.signal(&key, 1, *metric).await?;
            is_missing(&reading, &format!("the {metric} of no replica"))?;
        }
    }
    Ok(())
}

pub(super) async fn no_request_is_zero_only_where_the_whole_window_was_watched<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = cart(1, 1)?;
    let (since, window) = (Instant::now(), stage.factory.window());
    stage.factory.idle(&stage.source, &key, &revision(&key, 1)).await?;
    loop {
        match stage.signal(&key, 1, ScalingMetric::RequestRate).await? {
            Reading::Measured { value, .. } => {
                equal("the rate of no request", value.micros(), 0)?;
                let watched = since.elapsed();
                return ensure(
                    watched >= window,
                    format!("it was watched for {watched:?} of {window:?}, and that nothing came is told"),
                );
            }
            Reading::Missing { .. } => {
                let patience = window + stage.factory.patience();
                ensure(since.elapsed() < patience, "the whole window was watched, and nothing is known")?;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

pub(super) async fn an_empty_queue_is_zero<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = cart(1, 1)?;
    stage.factory.idle(&stage.source, &key, &revision(&key, 1)).await?;
    let zero = runtime_domain::value::Measure::from_units(0);
    stage.right(&key, ScalingMetric::QueueLength, &(zero..=zero)).await.map(drop)
}

pub(super) async fn what_replicas_use_is_of_the_revision_that_is_asked_for<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    for metric in stage.capabilities.metrics.iter().filter(|metric| metric.is_utilization()) {
        let (key, right) = stage.busy(*metric).await?;
        stage.right(&key, *metric, &right).await?;
        let reading = stage.signal(&key, 2, *metric).await?;
        is_missing(&reading, &format!("the {metric} of a revision that has no replica"))?;
    }
    Ok(())
}

pub(super) async fn components_environments_and_tenants_do_not_meet<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    for metric in &stage.capabilities.metrics {
        let (key, right) = stage.busy(*metric).await?;
        stage.right(&key, *metric, &right).await?;
        let mut module = key.clone();
        module.module = "pay".parse().map_err(|error| Failure::new(format!("{error}")))?;
        let (tenant, environment) = (cart(2, 1)?.tenant, cart(1, 77)?.environment);
        for (whose, stranger) in [
            ("another tenant's component", runtime_domain::surface::ComponentKey { tenant, ..key.clone() }),
            ("another environment's", runtime_domain::surface::ComponentKey { environment, ..key.clone() }),
            ("another component", module),
        ] {
            is_missing(&stage.signal(&stranger, 1, *metric).await?, &format!("the {metric} of {whose}"))?;
        }
    }
    Ok(())
}
