//! The suites test adapters; this tests the suites: every trial of the store's is failed by a store that is broken on purpose.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

mod bug;
mod operator;
mod tenant;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::claim::Claim;
use runtime_domain::scope::{OperatorScope, TenantScope};
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
}

/// What some bugs need to remember.
#[derive(Default)]
struct Notes {
    claims: BTreeMap<AggregateKey, BTreeSet<Claim>>,
    leases: Vec<Lease>,
    tenants: Vec<TenantScope>,
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
        Ok(Broken { bug: self.bug, inner: MemoryStore::new(), notes: Arc::default() })
    }

    async fn reopen(&self, store: Broken) -> PortResult<Broken> {
        if self.bug == Bug::ForgetsWhenClosed { self.fresh().await } else { Ok(store) }
    }

    async fn beside(&self, store: &Broken) -> PortResult<Broken> {
        Ok(store.clone())
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

#[tokio::test(start_paused = true)]
async fn every_bug_is_caught_by_the_trial_that_is_meant_to() {
    for (bug, trial) in Bug::ALL {
        let report = report(bug).await;
        assert!(failed(&report).contains(trial), "{bug:?} was not caught by `{trial}`\n{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_trial_is_failed_by_some_broken_store() {
    let mut untested: BTreeSet<String> =
        report(Bug::None).await.trials().iter().map(|trial| trial.name.clone()).collect();
    assert!(untested.len() > 50, "the suite has lost its trials");
    for (bug, _) in Bug::ALL {
        let failed = failed(&report(bug).await);
        untested.retain(|trial| !failed.contains(trial));
    }
    assert_eq!(untested, BTreeSet::new(), "no broken store fails these trials");
}
