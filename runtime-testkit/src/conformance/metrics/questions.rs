//! Who asks disturbs nobody.

use std::sync::Arc;

use runtime_domain::metric::MetricName;
use runtime_ports::metric::MetricSource;
use tokio::task::{JoinSet, yield_now};

use super::{MetricFactory, Stage, question, requests};
use crate::conformance::adapter::polled_once;
use crate::conformance::{Failure, Outcome, ensure, equal};

/// How many times a call is polled at most before it is dropped.
const MOST_POLLS: usize = 6;

pub(super) async fn asking_changes_nothing<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let asked = requests(1, 3, 1)?;
    let over = stage.answered(std::slice::from_ref(&asked)).await?;
    for metric in &stage.capabilities.metrics {
        let first = stage.read(&asked, metric, over).await?;
        for _ in 0..3 {
            equal(&format!("the {metric} again"), stage.read(&asked, metric, over).await?, first.clone())?;
        }
    }
    Ok(())
}

pub(super) async fn questions_at_once_are_not_taken_for_one_another<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    // Each in its own way, so that no reading can be another's.
    let asked = [requests(1, 9, 0)?, requests(2, 0, 7)?, requests(3, 0, 0)?, requests(4, 2, 2)?];
    let over = stage.answered(&asked).await?;
    let metrics: Vec<MetricName> = stage.capabilities.metrics.iter().cloned().collect();
    let mut wanted = Vec::new();
    for requests in &asked {
        for metric in &metrics {
            let query = question(requests, metric, over);
            wanted.push((stage.source.read(&query).await?, query));
        }
    }
    let differ = wanted.iter().any(|(reading, _)| wanted.first().is_some_and(|(first, _)| first != reading));
    ensure(differ, "every reading is the same, whatever is asked")?;
    let mut questions = JoinSet::new();
    for number in 0..wanted.len() * 4 {
        let (source, (reading, query)) = (Arc::clone(&stage.source), wanted[number % wanted.len()].clone());
        questions.spawn(async move {
            equal(&format!("the answer to {query:?}, of many at once"), source.read(&query).await?, reading)
        });
    }
    while let Some(answered) = questions.join_next().await {
        answered.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    Ok(())
}

pub(super) async fn a_question_that_is_dropped_leaves_the_source_usable<F>(stage: Stage<F>) -> Outcome
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let asked = requests(1, 3, 1)?;
    let over = stage.answered(std::slice::from_ref(&asked)).await?;
    for metric in &stage.capabilities.metrics {
        let query = question(&asked, metric, over);
        let wanted = stage.source.read(&query).await?;
        for polls in 0..MOST_POLLS {
            let mut reading = Box::pin(stage.source.read(&query));
            for _ in 0..polls {
                if polled_once(reading.as_mut()).await.is_some() {
                    break;
                }
                yield_now().await;
            }
            drop(reading);
            equal("what is told next", stage.source.read(&query).await?, wanted.clone())?;
        }
    }
    Ok(())
}
