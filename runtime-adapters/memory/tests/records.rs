//! The stores of records keep every promise of their ports.

use runtime_memory::{MemoryArtifacts, MemoryHealthResults, MemorySnapshots};
use runtime_ports::PortResult;
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};

/// Makes empty adapters that keep nothing when they are closed.
struct Fresh<A>(fn() -> A);

#[async_trait::async_trait]
impl<A: Send + Sync + 'static> AdapterFactory for Fresh<A> {
    type Adapter = A;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<A> {
        Ok((self.0)())
    }

    async fn reopen(&self, adapter: A) -> PortResult<A> {
        Ok(adapter)
    }
}

/// Shows HLT-1.
#[tokio::test(flavor = "multi_thread")]
async fn health_results_keep_every_promise_of_their_port() {
    conformance::health_results(Fresh(MemoryHealthResults::new)).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_keep_every_promise_of_their_port() {
    conformance::snapshots(Fresh(MemorySnapshots::new)).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_keep_every_promise_of_their_port() {
    conformance::artifacts(Fresh(|| MemoryArtifacts::with_largest(1 << 20))).await.assert_passed();
}
