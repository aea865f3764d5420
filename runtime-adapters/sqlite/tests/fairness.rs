//! A tenant with a great backlog keeps no other waiting. `RUNTIME_FAIRNESS_BACKLOG` says how great it is.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use runtime_domain::id::AggregateKind;
use runtime_ports::store::{Lease, LeaseRequest, LeaseTopic, OperatorStore, Store};
use runtime_sqlite::{Durability, SqliteOptions, SqliteStore};
use runtime_testkit::sample::{self, Draft};
use tempfile::TempDir;

const KIND: AggregateKind = AggregateKind::RuntimeDeployment;
const LOUD: u64 = 1;

fn fresh() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().durability(Durability::Normal);
    let store = SqliteStore::open_with(folder.path().join("store.sqlite"), options).unwrap();
    (folder, store)
}

fn backlog() -> u64 {
    std::env::var("RUNTIME_FAIRNESS_BACKLOG").map_or(3_000, |text| text.parse().unwrap())
}

/// Gives a tenant so many aggregates that are due, for work and for relaying.
async fn fill(store: &SqliteStore, tenant: u64, count: u64) {
    let handle = store.for_tenant(&sample::scope(tenant));
    let numbers: Vec<u64> = (1..=count).collect();
    for numbers in numbers.chunks(500) {
        let drafts = numbers.iter().map(|number| {
            Draft::create(tenant, sample::key(KIND, tenant * 10_000_000 + number)).waking_at(1).publishing()
        });
        handle.commit(sample::commit(drafts)).await.unwrap();
    }
}

async fn take(operator: &dyn OperatorStore, topic: LeaseTopic, limit: u32, now: u64) -> Vec<Lease> {
    let request = LeaseRequest {
        topic,
        kinds: vec![KIND],
        host: sample::host(1),
        now: sample::at(now),
        until: sample::at(now + 60),
        limit,
    };
    operator.take_leases(&request).await.unwrap()
}

/// Shows X-9.
#[tokio::test]
async fn a_quiet_tenant_is_served_at_the_next_call_whatever_the_backlog_of_a_loud_one() {
    for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
        let (_folder, store) = fresh();
        fill(&store, LOUD, backlog()).await;
        let operator = store.for_operator(&sample::operator());
        for quiet in 100..120 {
            // The loud one's turn comes and goes: what it has is given back, so that its backlog stays.
            for lease in take(&*operator, topic, 10, quiet).await {
                operator.release_lease(&lease).await.unwrap();
            }
            fill(&store, quiet, 1).await;
            // Alone it would be served by the next call; it is beside the loud one too, even where one call gives two leases only.
            let taken = take(&*operator, topic, 2, quiet).await;
            let of_quiet = taken.iter().filter(|lease| lease.tenant == sample::tenant(quiet)).count();
            assert_eq!((taken.len(), of_quiet), (2, 1), "{topic:?} of the quiet tenant {quiet}");
        }
    }
}

/// Shows X-9.
#[tokio::test]
async fn every_one_of_many_tenants_has_its_turn_however_few_leases_a_call_gives() {
    let (_folder, store) = fresh();
    fill(&store, LOUD, 500).await;
    for tenant in 2..=50 {
        fill(&store, tenant, 10).await;
    }
    let operator = store.for_operator(&sample::operator());
    for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
        for round in 0..3 {
            let mut served = std::collections::BTreeSet::new();
            for _ in 0..10 {
                let leases = take(&*operator, topic, 5, 10 + round).await;
                served.extend(leases.iter().map(|lease| lease.tenant));
            }
            assert_eq!(
                served.len(),
                50,
                "in a round of {topic:?} of as many leases as tenants, each has one"
            );
        }
    }
}
