//! The source of the metrics is down, on real processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use factory_runtime::domain::scaling::{BurnReading, FallbackReplicas, PolicyStatus, Reading, ScalingMetric};
use factory_runtime::domain::surface::{ComponentKey, SurfaceKind};
use factory_runtime::domain::value::{Measure, Replicas};
use factory_runtime::ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use factory_runtime::ports::{PortError, PortErrorKind, PortResult};

use crate::stage::{Stage, terms, until};

/// A queue whose length a test sets; below zero, it cannot be asked.
#[derive(Default)]
struct Queue(AtomicI64);

const DOWN: i64 = -1;

#[async_trait]
impl ScalingSignals for Queue {
    async fn signal(&self, query: &SignalQuery) -> PortResult<Reading> {
        if query.metric != ScalingMetric::QueueLength {
            return Err(PortError::new(
                PortErrorKind::Unsupported,
                "queue.signal",
                "it knows its length only",
            ));
        }
        match self.0.load(Ordering::SeqCst) {
            DOWN => Err(PortError::new(PortErrorKind::Unavailable, "queue.signal", "the broker is away")),
            waiting => Ok(Reading::Measured {
                value: Measure::from_units(waiting),
                observed_at: query.at,
                samples: 1,
            }),
        }
    }

    async fn burn(&self, _: &BurnQuery) -> PortResult<BurnReading> {
        Err(PortError::new(PortErrorKind::Unsupported, "queue.burn", "it has no objective"))
    }

    async fn waiting(&self) -> Vec<ComponentKey> {
        std::future::pending().await
    }
}

/// Buried: keda#1850, keda#2244. Theirs: the source was down, its value was taken for zero, and what ran was scaled to none. Ours: the replicas
/// stay; the policy is violated, and says so.
///
/// Buried: keda#7239. Theirs: at none, the fallback never started a replica. Ours: the fallback starts one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keda_1850_2244_7239_a_source_that_is_down_takes_nothing_away_and_starts_what_the_fallback_says() {
    let queue = Arc::new(Queue::default());
    let stage = Stage::with(vec![queue.clone()]).await;
    stage.deploy("worker", "1.0.0", "    surface: functions\n").await;
    let mut terms = terms(SurfaceKind::Functions, 0, 3, ScalingMetric::QueueLength, 10);
    terms.fallback.replicas = FallbackReplicas::IfHigher(Replicas::ONE);
    queue.0.store(25, Ordering::SeqCst);
    stage.apply("worker", terms).await;
    stage.until_replicas("worker", 3).await;

    // It flaps, and then is down for longer than the fallback waits.
    for length in [DOWN, 25, DOWN, 25, DOWN] {
        queue.0.store(length, Ordering::SeqCst);
        stage.evaluated("worker", 1).await;
        assert_eq!(stage.replicas("worker").await.1, 3);
    }
    until("somebody is told", async || {
        (stage.policy("worker").await.state().status() == PolicyStatus::Violated).then_some(())
    })
    .await;
    stage.evaluated("worker", 2).await;
    assert_eq!(stage.replicas("worker").await, (3, 3), "there it would have been none");
    assert!(stage.explanation("worker").await.contains("the broker is away"));

    // It is back, and there is nothing to do: then, and only then, none runs.
    queue.0.store(0, Ordering::SeqCst);
    stage.until_replicas("worker", 0).await;
    assert_eq!(stage.policy("worker").await.state().status(), PolicyStatus::Active);
    queue.0.store(DOWN, Ordering::SeqCst);
    stage.until_replicas("worker", 1).await;
}
