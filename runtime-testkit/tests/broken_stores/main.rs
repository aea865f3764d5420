//! The suites test adapters; this tests the suites: every trial of the store's is failed by a store that is broken on purpose.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

mod beforehand;
mod bug;
mod operator;
mod tenant;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::claim::Claim;
use runtime_domain::id::{EventId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::Name;
use runtime_memory::MemoryStore;
use runtime_ports::store::{AggregateKey, Lease, OperatorStore, Store, TenantStore};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{self, Report, StoreCapabilities, StoreFactory};

use bug::Bug;

/// A store that is right but for one bug.
#[derive(Clone)]
struct Broken {
    bug: Bug,
    inner: MemoryStore,
    notes: Arc<Mutex<Notes>>,
    /// Opened by another host than the first.
    is_beside: bool,
}

/// What some bugs need to remember.
#[derive(Default)]
struct Notes {
    claims: BTreeMap<AggregateKey, BTreeSet<Claim>>,
    leases: Vec<Lease>,
    tenants: Vec<TenantScope>,
    /// What was claimed, for stores that look before they commit.
    held: beforehand::Held,
    handled: BTreeSet<(TenantId, Name, EventId)>,
    /// What was committed last, and, once it is lost, that it was.
    last: Option<AggregateKey>,
    lost: Option<AggregateKey>,
    /// What was hidden once.
    shown: BTreeSet<(AggregateKey, u64)>,
    latest: Option<Timestamp>,
    /// A call was begun and never ended.
    is_stuck: bool,
}

impl Broken {
    /// Begins what hangs for ever after it was dropped in the middle.
    async fn enter(&self) {
        if self.notes.lock().unwrap().is_stuck {
            std::future::pending::<()>().await;
        }
        self.notes.lock().unwrap().is_stuck = true;
        tokio::task::yield_now().await;
        self.notes.lock().unwrap().is_stuck = false;
    }
}

#[async_trait]
impl Store for Broken {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        self.notes.lock().unwrap().tenants.push(scope.clone());
        Box::new(tenant::Handle { inner: self.inner.for_tenant(scope), store: self.clone() })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(operator::Handle { inner: self.inner.for_operator(scope), store: self.clone() })
    }

    async fn check(&self) -> PortResult<()> {
        if self.bug == Bug::CheckFails {
            return Err(PortError::new(PortErrorKind::Unavailable, "store.check", "out of order on purpose"));
        }
        self.inner.check().await
    }
}

struct Factory {
    bug: Bug,
}

#[async_trait]
impl StoreFactory for Factory {
    type Store = Broken;

    async fn fresh(&self) -> PortResult<Broken> {
        Ok(Broken { bug: self.bug, inner: MemoryStore::new(), notes: Arc::default(), is_beside: false })
    }

    async fn reopen(&self, store: Broken) -> PortResult<Broken> {
        if self.bug == Bug::ForgetsWhenClosed {
            return self.fresh().await;
        }
        if self.bug == Bug::AcknowledgesBeforeDurable {
            let mut notes = store.notes.lock().unwrap();
            notes.lost = notes.last;
        }
        Ok(store)
    }

    async fn beside(&self, store: &Broken) -> PortResult<Broken> {
        Ok(Broken { is_beside: true, ..store.clone() })
    }
}

async fn report(bug: Bug) -> Report {
    conformance::store(Factory { bug }, StoreCapabilities::new().durable().serving_many_hosts()).await
}

fn failed(report: &Report) -> BTreeSet<String> {
    report.failed().map(|trial| trial.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_wrapper_without_a_bug_passes() {
    report(Bug::None).await.assert_passed();
}

/// The table is whole: a bug for every trial, and a trial for every bug.
#[tokio::test(start_paused = true)]
async fn every_trial_has_a_broken_store_that_fails_it() {
    let mut untested: BTreeSet<String> =
        report(Bug::None).await.trials().iter().map(|trial| trial.name.clone()).collect();
    for (bug, trial) in Bug::ALL {
        let report = report(bug).await;
        let failed = failed(&report);
        assert!(failed.contains(trial), "{bug:?} was not caught by `{trial}`\n{report}");
        assert!(
            failed.len() * 2 < report.trials().len(),
            "{bug:?} breaks too much to prove anything: {failed:?}"
        );
        untested.remove(trial);
    }
    assert_eq!(untested, BTreeSet::new(), "no broken store is meant for these trials");
}

/// What is tried of fairness with a backlog of one's own choice finds what the suite finds.
#[tokio::test(start_paused = true)]
async fn a_store_that_serves_new_tenants_last_fails_beside_any_backlog() {
    conformance::fairness(Factory { bug: Bug::None }, 1_000).await.assert_passed();
    for (bug, trial) in [
        (Bug::ServesNewTenantsLast, "a quiet tenants work is taken at the next call"),
        (Bug::RelaysNewTenantsLast, "a quiet tenants events are relayed at the next call"),
    ] {
        let report = conformance::fairness(Factory { bug }, 1_000).await;
        assert_eq!(failed(&report), BTreeSet::from([trial.to_owned()]), "{bug:?}\n{report}");
    }
}
