use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use runtime_domain::health::HealthStatus;
use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::scope::OperatorScope;
use runtime_domain::time::Timestamp;
use runtime_memory::MemoryHealthResults;
use runtime_ports::health_results::{HealthResultQuery, OperatorHealthResults, TenantHealthResults};
use runtime_ports::store::Page;
use runtime_testkit::sample;

use super::*;
use crate::records::Records;
use crate::testing::{DrivenClock, host, until};

/// A store that counts what it is asked, and fails or is silent when it is told to.
#[derive(Clone, Default)]
struct Moody {
    inner: MemoryHealthResults,
    mood: Arc<Mood>,
}

#[derive(Default)]
struct Mood {
    appends: AtomicUsize,
    fails: AtomicBool,
    is_silent: AtomicBool,
}

struct Handle(Box<dyn TenantHealthResults>, Arc<Mood>);

impl HealthResultStore for Moody {
    fn tenant_health_results(&self, scope: &TenantScope) -> Box<dyn TenantHealthResults> {
        Box::new(Handle(self.inner.tenant_health_results(scope), Arc::clone(&self.mood)))
    }

    fn operator_health_results(&self, scope: &OperatorScope) -> Box<dyn OperatorHealthResults> {
        self.inner.operator_health_results(scope)
    }
}

#[async_trait]
impl TenantHealthResults for Handle {
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()> {
        self.1.appends.fetch_add(1, Ordering::SeqCst);
        if self.1.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.1.fails.load(Ordering::SeqCst) {
            return Err(PortError::new(PortErrorKind::Unavailable, "health_results.append", "it is away"));
        }
        self.0.append(records).await
    }

    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>> {
        self.0.latest(environment, service, since).await
    }

    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>> {
        self.0.latest_of_all(environment, since, after, limit).await
    }

    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>> {
        self.0.query(query).await
    }
}

struct Scene {
    clock: DrivenClock,
    store: Moody,
    recorder: HealthRecorder,
    stop: CancellationToken,
}

fn scene() -> Scene {
    let clock = DrivenClock::at(sample::at(1_000));
    let store = Moody::default();
    let records = Records { health_results: Some(Arc::new(store.clone())), ..Records::default() };
    let recorder = HealthRecorder::new(host(&clock, records), Arc::new(store.clone()));
    Scene { clock, store, recorder, stop: CancellationToken::new() }
}

impl Scene {
    fn run(&self) -> tokio::task::JoinHandle<()> {
        let (recorder, stop) = (self.recorder.clone(), self.stop.clone());
        tokio::spawn(async move { recorder.run(stop).await })
    }

    fn appends(&self) -> usize {
        self.store.mood.appends.load(Ordering::SeqCst)
    }

    async fn kept(&self, tenant: u64) -> usize {
        let query = HealthResultQuery::of(sample::environment(1)).limited_to(1_000);
        let tenant = self.store.inner.tenant_health_results(&sample::scope(tenant));
        tenant.query(&query).await.unwrap().items.len()
    }
}

fn record(tenant: u64, number: u64) -> HealthRecord {
    sample::health_record(tenant, 1, "cart", number, sample::at(number), HealthStatus::Healthy)
}

#[tokio::test]
async fn what_waits_together_is_one_append_for_each_tenant() {
    let scene = scene();
    for number in 0..100 {
        assert!(scene.recorder.offer(&sample::scope(1), record(1, number)));
        assert!(scene.recorder.offer(&sample::scope(2), record(2, number)));
    }
    let running = scene.run();
    until("everything is recorded", || scene.recorder.recorded() == 200).await;
    assert_eq!((scene.appends(), scene.kept(1).await, scene.kept(2).await), (2, 100, 100));
    // One that comes alone does not wait for others; those that follow soon after are recorded together.
    scene.clock.advance(PACE);
    assert!(scene.recorder.offer(&sample::scope(1), record(1, 100)));
    until("one more is recorded", || scene.recorder.recorded() == 201).await;
    for number in 101..110 {
        assert!(scene.recorder.offer(&sample::scope(1), record(1, number)));
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.recorder.recorded(), 201, "they are not written one by one");
    scene.clock.advance(PACE);
    until("those that came together are recorded", || scene.recorder.recorded() == 210).await;
    assert_eq!(scene.appends(), 4);
    // Whoever waits for it to be durable does not wait for others.
    scene.recorder.record(&sample::scope(1), record(1, 110)).await.unwrap();
    scene.stop.cancel();
    running.await.unwrap();
    assert_eq!(scene.recorder.lost(), 0);
}

#[tokio::test]
async fn offering_never_waits_and_takes_bounded_memory() {
    let scene = scene();
    let taken =
        (0..20_000).filter(|number| scene.recorder.offer(&sample::scope(1), record(1, *number))).count();
    assert_eq!((taken, scene.recorder.lost()), (8_192, 20_000 - 8_192));
    let running = scene.run();
    until("everything taken is recorded", || scene.recorder.recorded() == 8_192).await;
    assert_eq!(scene.appends(), 9, "1,000 to an append");
    assert!(scene.recorder.offer(&sample::scope(1), record(1, 30_000)), "there is room again");
    scene.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_away_gets_what_waited() {
    let scene = scene();
    scene.store.mood.fails.store(true, Ordering::SeqCst);
    let running = scene.run();
    assert!(scene.recorder.offer(&sample::scope(1), record(1, 1)));
    until("it is tried", || scene.appends() == 1).await;
    scene.store.mood.fails.store(false, Ordering::SeqCst);
    scene.clock.advance(PAUSE);
    until("it is recorded", || scene.recorder.recorded() == 1).await;
    assert_eq!((scene.appends(), scene.recorder.lost()), (2, 0));
    scene.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_fails_again_and_again_is_lost_and_counted_and_blocks_nothing() {
    let scene = scene();
    scene.store.mood.fails.store(true, Ordering::SeqCst);
    let running = scene.run();
    let sure = tokio::spawn({
        let recorder = scene.recorder.clone();
        async move { recorder.record(&sample::scope(1), record(1, 1)).await }
    });
    for tried in 1..=4 {
        until("it is tried", || scene.appends() == tried).await;
        scene.clock.advance(Span::from_secs(60));
    }
    let refused = sure.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unavailable);
    assert_eq!((scene.recorder.lost(), scene.recorder.recorded()), (1, 0));
    scene.store.mood.fails.store(false, Ordering::SeqCst);
    scene.recorder.record(&sample::scope(1), record(1, 2)).await.unwrap();
    assert_eq!(scene.kept(1).await, 1, "what was said to be durable is there");
    scene.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_waits_when_the_host_stops_is_recorded() {
    let scene = scene();
    scene.stop.cancel();
    for number in 0..10 {
        scene.recorder.offer(&sample::scope(1), record(1, number));
    }
    scene.run().await.unwrap();
    assert_eq!((scene.kept(1).await, scene.recorder.lost()), (10, 0));
}

#[tokio::test]
async fn a_store_that_is_silent_does_not_keep_the_host_from_stopping() {
    let scene = scene();
    scene.store.mood.is_silent.store(true, Ordering::SeqCst);
    let running = scene.run();
    scene.recorder.offer(&sample::scope(1), record(1, 1));
    until("it is tried", || scene.appends() == 1).await;
    scene.stop.cancel();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished(), "it drains for a time");
    scene.clock.advance(Span::from_secs(10));
    running.await.unwrap();
    assert_eq!(scene.recorder.lost(), 1, "what was cut off is counted");
}
