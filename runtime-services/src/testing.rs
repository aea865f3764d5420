//! A host for unit tests: its time is driven, it keeps what it is given in memory, and nothing else of it may be touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::time::{Span, Timestamp};
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::{Clock, MockIdGenerator};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use tokio::sync::watch;

use crate::host::{Host, HostOptions, Ports};
use crate::records::Records;

/// A clock that goes when it is told to.
#[derive(Clone)]
pub(crate) struct DrivenClock(watch::Sender<Timestamp>);

impl DrivenClock {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(watch::Sender::new(now))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }

    pub(crate) fn advance(&self, span: Span) {
        self.0.send_modify(|now| *now = span.after(*now));
    }
}

#[async_trait]
impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let _ = self.0.subscribe().wait_for(|now| *now >= deadline).await;
    }
}

pub(crate) fn host(clock: &DrivenClock, records: Records) -> Host {
    host_with(clock, records, |_| {})
}

/// A host, some of whose ports are others.
pub(crate) fn host_with(clock: &DrivenClock, records: Records, change: impl FnOnce(&mut Ports)) -> Host {
    let mut ids = MockIdGenerator::new();
    ids.expect_next().returning(uuid::Uuid::nil);
    let mut ports = Ports {
        store: Arc::new(MemoryStore::new()),
        records,
        surfaces: BTreeMap::new(),
        infrastructure: Arc::new(MockInfrastructureEngine::new()),
        tenancy: crate::TenancyPorts::default(),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: None,
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(clock.clone()),
        ids: Arc::new(ids),
    };
    change(&mut ports);
    Host::new(ports, HostOptions::default())
}

/// Lets other tasks go on until what is asked for is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what} did not happen");
}
