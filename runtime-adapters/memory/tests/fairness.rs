//! A tenant with a great backlog keeps no other waiting. `RUNTIME_FAIRNESS_BACKLOG` says how great it is.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use runtime_domain::id::AggregateKind;
use runtime_memory::MemoryStore;
use runtime_ports::store::{Lease, LeaseRequest, LeaseTopic, OperatorStore, Store};
use runtime_testkit::sample::{self, Draft};

const KIND: AggregateKind = AggregateKind::RuntimeDeployment;
const LOUD: u64 = 1;

fn backlog() -> u64 {
    std::env::var("RUNTIME_FAIRNESS_BACKLOG").map_or(3_000, |text| text.parse().unwrap())
}

/// Gives a tenant so many aggregates that are due, for work and for relaying.
async fn fill(store: &MemoryStore, tenant: u64, count: u64) {
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
        let store = MemoryStore::new();
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
