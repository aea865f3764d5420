use std::sync::Arc;

use runtime_domain::health::HealthStatus;
use runtime_memory::{MemoryArtifacts, MemoryHealthResults, MemorySnapshots};
use runtime_ports::artifacts::{ArtifactKey, ArtifactQuery, ArtifactStore as _, MockArtifactStore};
use runtime_ports::health_results::{HealthResultQuery, HealthResultStore as _};
use runtime_ports::retention::MockPruner;
use runtime_ports::snapshots::{MockSnapshotStore, SnapshotBody, SnapshotQuery, SnapshotStore as _};
use runtime_ports::{PortError, PortErrorKind};
use runtime_testkit::sample;

use super::*;
use crate::records::Records;
use crate::testing::{DrivenClock, host, until};

const DAY: u64 = 86_400;

/// How many health results, snapshots and artifacts of the tenant 1 are left.
async fn left(
    results: &MemoryHealthResults,
    snapshots: &MemorySnapshots,
    artifacts: &MemoryArtifacts,
) -> [usize; 3] {
    let (scope, environment) = (sample::scope(1), sample::environment(1));
    let query = HealthResultQuery::of(environment).limited_to(1_000);
    let listed = ArtifactQuery::of(sample::subject(1, "step")).limited_to(1_000);
    [
        results.tenant_health_results(&scope).query(&query).await.unwrap().items.len(),
        snapshots.tenant_snapshots(&scope).list(&SnapshotQuery::of(environment)).await.unwrap().items.len(),
        artifacts.tenant_artifacts(&scope).list(&listed).await.unwrap().items.len(),
    ]
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_when_its_time_has_come() {
    let (results, snapshots, artifacts) =
        (MemoryHealthResults::new(), MemorySnapshots::new(), MemoryArtifacts::new());
    let scope = sample::scope(1);
    let record =
        |number| sample::health_record(1, 1, "cart", number, sample::at(number), HealthStatus::Healthy);
    // More than one step removes.
    let many: Vec<_> = (0..1_000).map(record).collect();
    results.tenant_health_results(&scope).append(&many).await.unwrap();
    let subject = sample::subject(1, "step");
    for seconds in [0, DAY] {
        let body = SnapshotBody::parse(&seconds.to_string()).unwrap();
        snapshots.tenant_snapshots(&scope).capture(&subject, sample::at(seconds), &body).await.unwrap();
        let key = ArtifactKey { subject: subject.clone(), name: sample::kept(&format!("log-{seconds}")) };
        artifacts
            .tenant_artifacts(&scope)
            .begin(&key, sample::at(seconds))
            .await
            .unwrap()
            .finish(None)
            .await
            .unwrap();
    }
    let clock = DrivenClock::at(sample::at(30 * DAY));
    let records = Records {
        health_results: Some(Arc::new(results.clone())),
        snapshots: Some(Arc::new(snapshots.clone())),
        artifacts: Some(Arc::new(artifacts.clone())),
    };
    let host = host(&clock, records);
    let stop = CancellationToken::new();
    round(&host, &stop).await;
    assert_eq!(left(&results, &snapshots, &artifacts).await, [1_000, 2, 2], "nothing is older than 30 days");
    clock.advance(Span::from_secs(1));
    round(&host, &stop).await;
    assert_eq!(left(&results, &snapshots, &artifacts).await, [999, 1, 2], "what is from day 0 goes");
    let running = tokio::spawn(run(host, stop.clone()));
    clock.advance(Span::from_secs(990));
    // The next round comes by itself.
    clock.advance(Span::from_secs(600));
    for _ in 0..10_000 {
        if left(&results, &snapshots, &artifacts).await == [0, 1, 2] {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(left(&results, &snapshots, &artifacts).await, [0, 1, 2]);
    clock.advance(Span::from_secs(60 * DAY));
    for _ in 0..10_000 {
        if left(&results, &snapshots, &artifacts).await == [0, 0, 1] {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(left(&results, &snapshots, &artifacts).await, [0, 0, 1], "of what is 90 days old, all goes");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_store_that_fails_or_is_silent_holds_up_no_other() {
    let mut snapshots = MockSnapshotStore::new();
    snapshots.expect_snapshot_pruner().returning(|_| {
        let mut pruner = MockPruner::new();
        pruner.expect_prune().times(1).returning(|_, _| {
            Err(PortError::new(PortErrorKind::Unavailable, "snapshots.prune", "it is away"))
        });
        Box::new(pruner)
    });
    let pruned = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut artifacts = MockArtifactStore::new();
    artifacts.expect_artifact_pruner().returning({
        let pruned = Arc::clone(&pruned);
        move |_| {
            let pruned = Arc::clone(&pruned);
            let mut pruner = MockPruner::new();
            pruner.expect_prune().returning(move |_, most| {
                pruned.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok(runtime_ports::retention::Pruned { removed: u64::from(most), goes_on: true })
            });
            Box::new(pruner)
        }
    });
    let records = Records {
        health_results: None,
        snapshots: Some(Arc::new(snapshots)),
        artifacts: Some(Arc::new(artifacts)),
    };
    let clock = DrivenClock::at(sample::at(100 * DAY));
    round(&host(&clock, records), &CancellationToken::new()).await;
    // One that has always more is bounded too.
    assert_eq!(pruned.load(std::sync::atomic::Ordering::SeqCst), 200);
    let steps = Arc::clone(&pruned);
    until("the steps are counted", || steps.load(std::sync::atomic::Ordering::SeqCst) == 200).await;
}
