//! Partitions are made and dropped while others record, and what is wrong is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime_domain::health::HealthStatus;
use runtime_ports::PortErrorKind;
use runtime_ports::artifacts::{ArtifactKey, ArtifactStore as _};
use runtime_ports::health_results::{HealthRecord, HealthResultQuery, HealthResultStore as _};
use runtime_ports::snapshots::SnapshotStore as _;
use runtime_testkit::sample;

use crate::Site;

const DAY: u64 = 86_400;

pub(crate) fn record(number: u64, seconds: u64) -> HealthRecord {
    sample::health_record(1, 1, "cart", number, sample::at(seconds), HealthStatus::Healthy)
}

fn partitions(site: &Site, database: &str) -> Vec<String> {
    let sql = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1";
    site.server.sql(database, sql).lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_a_partition_that_is_made_ahead_and_dropped_whole() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let operator = store.operator_health_results(&sample::operator());
    operator.prepare(sample::at(DAY - 1), sample::at(2 * DAY)).await.unwrap();
    let made = ["health_results_1970_01_01", "health_results_1970_01_02", "health_results_1970_01_03"];
    assert_eq!(partitions(&site, &database), made);
    let tenant = store.tenant_health_results(&sample::scope(1));
    tenant.append(&[record(1, 1), record(2, DAY), record(3, 2 * DAY), record(4, 59 * DAY)]).await.unwrap();
    operator.prune(sample::at(2 * DAY), 1).await.unwrap();
    assert_eq!(partitions(&site, &database), ["health_results_1970_01_03", "health_results_1970_03_01"]);
    let left = tenant.query(&HealthResultQuery::of(sample::environment(1))).await.unwrap();
    assert_eq!(left.items, [record(4, 59 * DAY), record(3, 2 * DAY)]);
    store.close().await;
    let refused = tenant.append(&[record(5, 1)]).await.unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unavailable, "a closed store took a result");
    let refused = operator.prune(sample::at(2 * DAY), 1).await.unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unavailable, "a closed store was pruned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_a_stretch_of_time_looks_at_its_partitions_only() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.tenant_health_results(&sample::scope(1));
    let records: Vec<HealthRecord> = (0..5).map(|day| record(day, day * DAY)).collect();
    tenant.append(&records).await.unwrap();
    let plan = site.server.sql(
        &database,
        &format!(
            "EXPLAIN SELECT body FROM factory_runtime.health_results WHERE evaluated_at >= {} AND evaluated_at < {}",
            2 * DAY * 1_000_000,
            3 * DAY * 1_000_000
        ),
    );
    assert!(plan.contains("1970_01_03") && !plan.contains("1970_01_02"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_recorded_and_read_while_partitions_come_and_go() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let upkeep = tokio::spawn({
        let (operator, is_over) = (store.operator_health_results(&sample::operator()), Arc::clone(&is_over));
        async move {
            for day in (200..260).chain(std::iter::repeat(260)) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                operator.prepare(sample::at(day * DAY), sample::at((day + 1) * DAY)).await.unwrap();
                // Only what is older than anything that is recorded meanwhile.
                operator.prune(sample::at((day - 100) * DAY), 10).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let callers: Vec<_> = (0..8_u64)
        .map(|caller| {
            let tenant = store.tenant_health_results(&sample::scope(1));
            tokio::spawn(async move {
                for round in 0..15 {
                    let number = caller * 15 + round;
                    tenant.append(&[record(number, (300 + number % 7) * DAY + number)]).await.unwrap();
                    let page = tenant.query(&HealthResultQuery::of(sample::environment(1))).await.unwrap();
                    assert!(!page.items.is_empty());
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    upkeep.await.unwrap();
    let query = HealthResultQuery::of(sample::environment(1)).limited_to(1_000);
    let tenant = store.tenant_health_results(&sample::scope(1));
    assert_eq!(tenant.query(&query).await.unwrap().items.len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_by_hand_is_told_and_not_believed() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let (scope, environment) = (sample::scope(1), sample::environment(1));
    let tenant = store.tenant_health_results(&scope);
    tenant.append(&[record(1, 1)]).await.unwrap();
    let subject = sample::subject(1, "surface/cart");
    let body = runtime_ports::snapshots::SnapshotBody::parse("{}").unwrap();
    store.tenant_snapshots(&scope).capture(&subject, sample::at(1), &body).await.unwrap();
    let key = ArtifactKey { subject: subject.clone(), name: sample::kept("log") };
    let artifacts = store.tenant_artifacts(&scope);
    let mut writer = artifacts.begin(&key, sample::at(1)).await.unwrap();
    writer.write(b"content").await.unwrap();
    writer.finish(None).await.unwrap();
    site.server.sql(
        &database,
        "SET session_replication_role = replica;
         UPDATE factory_runtime.health_results SET body = regexp_replace(body, '\"status\":\"Healthy\"', '\"status\":\"Degraded\"');
         UPDATE factory_runtime.snapshots SET body = '[]';
         UPDATE factory_runtime.artifacts SET content = 'contemn'",
    );
    let corrupt = |kind: PortErrorKind| assert_eq!(kind, PortErrorKind::Corrupt);
    corrupt(tenant.query(&HealthResultQuery::of(environment)).await.unwrap_err().kind());
    corrupt(store.tenant_snapshots(&scope).latest(&subject).await.unwrap_err().kind());
    let mut reader = artifacts.open(&key).await.unwrap().unwrap();
    corrupt(reader.read().await.unwrap_err().kind());
}
