//! The store: what the limit does, with revision, history, claims and tenant judged besides.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use runtime_domain::id::AggregateKind;
use runtime_ports::store::{LeaseRequest, LeaseTopic, Store as _};
use runtime_postgres::PostgresStore;
use runtime_testkit::sample::{self, Draft, exclusive};
use tokio::sync::Mutex;

use crate::rate::{Rate, record};

/// Commits per second of callers with an aggregate each; where it `loads`, they load it before every commit, as a service does that shares
/// the store with others.
pub(crate) async fn distinct(
    store: &PostgresStore,
    callers: u64,
    fresh: u64,
    loads: bool,
    rate: Rate,
) -> f64 {
    let begun = Instant::now();
    let callers = (0..callers).map(|caller| {
        let tenant = store.for_tenant(&sample::scope(1));
        tokio::spawn(async move {
            let key = sample::key(AggregateKind::RuntimeDeployment, fresh + caller);
            let body = record();
            let mut draft =
                Draft::create(1, key).body(&body).claiming([exclusive(&format!("{key}"))]).publishing();
            let mut count = 0;
            while rate.goes_on(begun) {
                if loads {
                    tenant.load(&key).await.unwrap();
                }
                tenant.commit(draft.commit()).await.unwrap();
                draft = draft.next().body(&body).publishing();
                count += 1;
            }
            count
        })
    });
    rate.of(callers.collect(), begun).await
}

/// Commits per second of callers who share one aggregate, each building upon what the one before it has submitted, as the services do.
pub(crate) async fn contended(store: &PostgresStore, callers: u64, fresh: u64, rate: Rate) -> f64 {
    let key = sample::key(AggregateKind::RuntimeDeployment, fresh);
    let body = record();
    let draft = Draft::create(1, key).body(&body).claiming([exclusive(&format!("{key}"))]).publishing();
    let newest = Arc::new(Mutex::new(draft));
    let begun = Instant::now();
    let callers = (0..callers).map(|_| {
        let (tenant, newest, body) = (store.for_tenant(&sample::scope(1)), Arc::clone(&newest), body.clone());
        tokio::spawn(async move {
            let mut count = 0;
            while rate.goes_on(begun) {
                let mut turn = newest.lock().await;
                let mut commit = Box::pin(tenant.commit(turn.commit()));
                // Polled once, it stands in the queue.
                let submitted = futures::poll!(&mut commit);
                *turn = turn.next().body(&body).publishing();
                drop(turn);
                match submitted {
                    Poll::Ready(done) => done.unwrap(),
                    Poll::Pending => commit.await.unwrap(),
                };
                count += 1;
            }
            count
        })
    });
    rate.of(callers.collect(), begun).await
}

/// Makes a thousand aggregates due.
pub(crate) async fn make_due(store: &PostgresStore) {
    let drafts = (0..1_000)
        .map(|number| Draft::create(1, sample::key(AggregateKind::RuntimeService, number)).waking_at(1));
    store.for_tenant(&sample::scope(1)).commit(sample::commit(drafts)).await.unwrap();
}

/// Leases taken and given back per second by one worker, so many by a call.
pub(crate) async fn leases(store: &PostgresStore, limit: u32, rate: Rate) -> f64 {
    let operator = store.for_operator(&sample::operator());
    let request = LeaseRequest {
        topic: LeaseTopic::Work,
        kinds: vec![AggregateKind::RuntimeService],
        host: sample::host(1),
        now: sample::at(10),
        until: sample::at(20),
        limit,
    };
    let (begun, mut count) = (Instant::now(), 0);
    while rate.goes_on(begun) {
        let leases = operator.take_leases(&request).await.unwrap();
        count += leases.len() as u64;
        futures::future::join_all(leases.iter().map(|lease| operator.release_lease(lease))).await;
    }
    rate.per_second(count, begun)
}
