//! One suite per port: named trials of everything that the port's docs promise.
//!
//! A suite is one call that makes fresh adapters as it needs them and returns a [`Report`]. A trial that does not apply says why it was
//! skipped; a suite in which nothing ran has not passed. Every trial here is itself tested: for each there is a deliberately broken adapter
//! that it fails.
//!
//! | suite | what it tries |
//! |---|---|
//! | [`store()`] | state, history, outbox, inbox, claims, leases and who is woken |
//! | [`walks()`] | the store again: calls of every sort in any order, beside a plain model |
//! | [`fairness()`] | that no tenant waits for another's backlog, as great as yours may be |
//! | [`health_results()`], [`snapshots()`], [`artifacts()`] | what is kept for a time, and how it goes again |
//! | [`surface()`], [`handover()`] | where workloads run, and who answers at their endpoints |
//! | [`jobs()`] | short tasks that run to their end |
//! | [`metrics()`], [`scaling_signals()`] | what gates judge by, and what services are scaled by |
//! | [`infrastructure()`] | the engine that creates an environment's resources |
//! | [`registry()`], [`desired_state()`] | where images come from, and where it is said what should run |
//! | [`prober()`] | asking a workload whether it is well |
//! | [`secret_store()`] | vaults |
//! | [`publisher()`] | the event bus, outbound |
//! | [`authenticator()`] | who calls |
//!
//! Four modules of ports have none. Of a clock no steadiness is promised, and that no two hosts make the same identifier shows on no single one. What
//! isolation a surface enforces is its machine's to show. Subscribers are their hosts' own, and what they are given is the relay's promise.
//! Telemetry never fails, and is read by nobody who decides.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use runtime_ports::PortError;
use runtime_ports::store::{CommitError, LeaseError};

mod adapter;
pub mod artifacts;
pub mod authenticator;
pub mod desired_state;
pub mod handover;
pub mod health_results;
pub mod infrastructure;
pub mod jobs;
pub mod metrics;
pub mod prober;
pub mod publisher;
pub mod registry;
pub mod scaling_signals;
pub mod secret_store;
pub mod snapshots;
pub mod store;
pub mod surface;

pub use adapter::{AdapterFactory, Persistence};
pub use artifacts::artifacts;
pub use authenticator::{Caller, CredentialsIssuer, authenticator};
pub use desired_state::{DesiredStateCapabilities, DesiredStateFactory, desired_state};
pub use handover::{HandoverFactory, handover};
pub use health_results::health_results;
pub use infrastructure::{EngineFactory, infrastructure};
pub use jobs::{JobCapabilities, JobFactory, jobs};
pub use metrics::{MetricCapabilities, MetricFactory, metrics};
pub use prober::{ProberFactory, prober};
pub use publisher::{PublisherFactory, publisher};
pub use registry::{RegistryCapabilities, RegistryFactory, registry};
pub use scaling_signals::{BudgetCapabilities, SignalCapabilities, SignalFactory, scaling_signals};
pub use secret_store::{VaultCapabilities, VaultFactory, secret_store};
pub use snapshots::snapshots;
pub use store::{StoreCapabilities, StoreFactory, fairness, store, walks};
pub use surface::{SurfaceFactory, surface};

/// How one trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The adapter keeps the promise.
    Passed,
    /// It does not, and how that showed.
    Failed(String),
    /// It does not make the promise, and says so.
    Skipped(&'static str),
}

/// One trial of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The promise, as a sentence.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
}

/// What a suite found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report that nobody looks at proves nothing: call `assert_passed`"]
pub struct Report {
    suite: &'static str,
    trials: Vec<Trial>,
}

impl Report {
    #[cfg(feature = "proptest1")]
    pub(crate) fn of(suite: &'static str, trials: Vec<Trial>) -> Self {
        Self { suite, trials }
    }

    /// Every trial, in the suite's order.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The trials that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| matches!(trial.verdict, Verdict::Failed(_)))
    }

    /// True where at least one trial passed and none failed.
    pub fn passed(&self) -> bool {
        self.failed().next().is_none() && self.trials.iter().any(|trial| trial.verdict == Verdict::Passed)
    }

    /// For tests: does nothing where the suite passed.
    ///
    /// # Panics
    /// A trial failed, or none ran. The message is the whole report.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed().count();
        writeln!(formatter, "{}: {failed} of {} trials failed", self.suite, self.trials.len())?;
        for trial in &self.trials {
            match &trial.verdict {
                Verdict::Passed => writeln!(formatter, "  passed   {}", trial.name)?,
                Verdict::Failed(how) => writeln!(formatter, "  FAILED   {}\n           {how}", trial.name)?,
                Verdict::Skipped(why) => writeln!(formatter, "  skipped  {} ({why})", trial.name)?,
            }
        }
        Ok(())
    }
}

/// How a promise was seen to be broken.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self(format!("unexpected error: {}", chain(&error)))
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self(format!("a commit that is legal was refused: {}", chain(&error)))
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        Self(format!("a lease that is held was refused: {}", chain(&error)))
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What a trial returns.
pub(crate) type Outcome = Result<(), Failure>;

pub(crate) fn ensure(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::new(otherwise)) }
}

pub(crate) fn equal<T: PartialEq + fmt::Debug>(what: &str, seen: T, wanted: T) -> Outcome {
    ensure(seen == wanted, format!("{what}: saw {seen:?}, wanted {wanted:?}"))
}

pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Longer than any trial takes on a slow machine; a trial that takes longer waits for something that never comes.
const LONGEST_TRIAL: Duration = Duration::from_secs(120);

/// Runs one trial as a task of its own, so that a panic in the adapter is a failure of this trial only.
pub(crate) async fn run(running: Running) -> Verdict {
    settle(Box::pin(async { running.await.map(|()| Verdict::Passed) })).await
}

/// A trial that may find, once it has begun, that it does not apply.
pub(crate) type Attempt = Pin<Box<dyn Future<Output = Result<Verdict, Failure>> + Send>>;

/// Runs one trial as [`run`] does.
pub(crate) async fn settle(attempt: Attempt) -> Verdict {
    match tokio::spawn(tokio::time::timeout(LONGEST_TRIAL, attempt)).await {
        Ok(Ok(Ok(verdict))) => verdict,
        Ok(Ok(Err(Failure(how)))) => Verdict::Failed(how),
        Ok(Err(_elapsed)) => Verdict::Failed(format!("it did not end within {LONGEST_TRIAL:?}")),
        Err(panicked) => Verdict::Failed(format!("the adapter panicked: {panicked}")),
    }
}

/// A trial's function name as a sentence.
pub(crate) fn sentence<F>(_function: &F) -> String {
    let path = std::any::type_name::<F>();
    let path = path.split('<').next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or_default().replace('_', " ")
}
