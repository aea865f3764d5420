//! Who asks disturbs nobody.

use std::sync::Arc;

use runtime_domain::scaling::Reading;
use runtime_ports::scaling_signals::ScalingSignals;
use tokio::task::{JoinSet, yield_now};

use super::{SignalFactory, Stage, is_missing};
use crate::conformance::adapter::polled_once;
use crate::conformance::{Failure, Outcome, ensure};

/// How many times a call is polled at most before it is dropped.
const MOST_POLLS: usize = 6;

pub(super) async fn questions_at_once_are_not_taken_for_one_another<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let mut questions = JoinSet::new();
    let mut asked = Vec::new();
    for metric in &stage.capabilities.metrics {
        let (key, right) = stage.busy(*metric).await?;
        stage.right(&key, *metric, &right).await?;
        let nobody =
            runtime_domain::surface::ComponentKey { tenant: super::cart(2, 1)?.tenant, ..key.clone() };
        asked.push((stage.query(&key, 1, *metric), Some(right)));
        asked.push((stage.query(&nobody, 1, *metric), None));
    }
    for number in 0..asked.len() * 4 {
        let (source, (query, right)) = (Arc::clone(&stage.source), asked[number % asked.len()].clone());
        questions.spawn(async move {
            let (metric, reading) = (query.metric, source.signal(&query).await?);
            match (right, &reading) {
                (Some(right), Reading::Measured { value, .. }) => ensure(
                    // How busy it is may change meanwhile, though not a hundred times.
                    value.micros() / 100 <= right.end().micros(),
                    format!("the {metric} is {right:?}, and of many at once one is told {reading:?}"),
                ),
                // What is looked at more often than it changes may be missing for a moment.
                (Some(_), Reading::Missing { .. }) => Ok(()),
                (None, reading) => is_missing(reading, &format!("the {metric} of nobody, of many at once,")),
            }
        });
    }
    while let Some(answered) = questions.join_next().await {
        answered.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    Ok(())
}

pub(super) async fn a_question_that_is_dropped_leaves_the_source_usable<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    for metric in &stage.capabilities.metrics {
        let (key, right) = stage.busy(*metric).await?;
        stage.right(&key, *metric, &right).await?;
        for polls in 0..MOST_POLLS {
            let query = stage.query(&key, 1, *metric);
            let mut asking = Box::pin(stage.source.signal(&query));
            for _ in 0..polls {
                if polled_once(asking.as_mut()).await.is_some() {
                    break;
                }
                yield_now().await;
            }
            drop(asking);
            stage.signal(&key, 1, *metric).await?;
        }
    }
    Ok(())
}
