//! The conformance suite in somebody else's continuous integration: a factory for their own adapter, and one call.

use downstream::CountedStore;
use runtime_ports::PortResult;
use runtime_testkit::conformance::{self, StoreCapabilities, StoreFactory};
use runtime_testkit::faults::{Call, Fault, Faults, was_performed};
use runtime_testkit::sample::{self, Draft};
use std::sync::Arc;

struct Counting;

#[async_trait::async_trait]
impl StoreFactory for Counting {
    type Store = CountedStore;

    async fn fresh(&self) -> PortResult<CountedStore> {
        Ok(CountedStore::default())
    }

    async fn reopen(&self, store: CountedStore) -> PortResult<CountedStore> {
        Ok(store)
    }

    async fn beside(&self, store: &CountedStore) -> PortResult<CountedStore> {
        Ok(store.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_adapter_keeps_every_promise() {
    conformance::store(Counting, StoreCapabilities::new()).await.assert_passed();
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_out() {
    let store = Arc::new(CountedStore::default());
    let is_lost = |call: &Call| call.method == "store.commit" && call.number == 1;
    let faulty = Faults::new(move |call| is_lost(call).then_some(Fault::AnswerLost)).store(store.clone());
    let tenant = faulty.for_tenant(&sample::scope(1));
    let key = sample::key(runtime_domain::id::AggregateKind::RuntimeService, 1);
    let commit = Draft::create(1, key).commit();
    tenant.commit(commit.clone()).await.unwrap_err();
    assert_eq!(was_performed(&*tenant, &commit).await.ok(), Some(true));
    assert_eq!(store.accepted(), 1);
}
