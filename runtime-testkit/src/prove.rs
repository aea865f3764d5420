//! Property suites of the aggregates, ready to be run: one line in a downstream test.
//!
//! ```
//! use runtime_domain::tenancy::RuntimeTenantBinding;
//! use runtime_testkit::prove::{Cases, prove};
//!
//! prove::<RuntimeTenantBinding>(Cases::of(64)).assert_passed();
//! ```
//!
//! A case is a story: commands in any order, from any clock, with hostile texts among them, and ways to spoil what was stored. For each
//! story the suite shows every [`Property`]. A story that breaks one is shrunk, told line by line, and printed with the seed that plays it
//! again: set `RUNTIME_TESTKIT_SEED` to it. `RUNTIME_TESTKIT_CASES` sets the number of cases for every suite.
//! Each run tells other stories, unless `RUNTIME_TESTKIT_FIRST` says where to begin: a check of a change then fails for that change alone.
//!
//! A thousand cases of any aggregate take seconds in a debug build. For many more, build with optimisation and with overflow checks; this
//! workspace has a profile for it:
//!
//! ```text
//! RUNTIME_TESTKIT_CASES=100000 cargo test --profile proof -p runtime-testkit --test prove
//! ```
//!
//! # Guarantees
//! A seed gives the same story on every machine, for one version of this crate. Nothing here reads a clock, a file or a network.

use std::fmt;

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::{Aggregate, Decision};
use runtime_domain::refusal::Refusal;
use runtime_domain::time::Timestamp;

use crate::conformance::Report;
use crate::model::{Facts, Model};
use crate::plan::Step;

mod case;
mod cases;
mod configuration;
mod deployment;
mod drift;
mod environment;
mod health;
mod inventory;
mod place;
mod property;
mod quiet;
mod run;
mod scaling;
mod secrets;
mod spoil;
mod tenancy;
mod walk;

pub use cases::Cases;
pub use configuration::ConfigurationDriver;
pub use deployment::DeploymentDriver;
pub use drift::DriftDriver;
pub use environment::EnvironmentDriver;
pub use health::HealthDriver;
pub use inventory::InventoryDriver;
pub use property::Property;
pub use scaling::ScalingDriver;
pub use secrets::SecretDriver;
pub use tenancy::TenancyDriver;

/// Runs every property of an aggregate on so many stories.
///
/// ```
/// use runtime_domain::environment::RuntimeEnvironment;
/// use runtime_testkit::prove::{Cases, prove};
///
/// prove::<RuntimeEnvironment>(Cases::of(32).seeded(7)).assert_passed();
/// ```
pub fn prove<A: Provable>(cases: Cases) -> Report {
    run::run::<A>(cases)
}

/// An aggregate with everything that is needed to prove it. Implemented for each of the aggregates of `runtime-domain`; implement it for
/// a wrapper of your own to prove that too.
pub trait Provable: Aggregate + 'static {
    /// What a story asks.
    type Plan: Clone + fmt::Debug + 'static;
    /// Turns plans into commands.
    type Driver: Driver<Self, Plan = Self::Plan>;
    /// Says by itself what must come of them.
    type Model: Model<Plan = Self::Plan>;

    /// The statuses in which nothing happens any more by itself.
    const FINAL: &'static [&'static str];
    /// How the keys of claims begin that a final state may still hold.
    const KEPT: &'static [&'static str];

    /// Makes stories.
    fn stories() -> BoxedStrategy<Vec<Step<Self::Plan>>>;

    /// Whether this plan, asked again at once, must change nothing the second time.
    fn is_idempotent(plan: &Self::Plan) -> bool;

    /// Checks every invariant that can be seen from outside, given the state before where there was one.
    ///
    /// # Errors
    /// An invariant does not hold: which, and how that shows.
    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault>;

    /// Whether nothing is left to do, so that nobody is to be woken: in a final status, unless a context says it more precisely.
    fn is_at_rest(&self) -> bool {
        Self::FINAL.contains(&Aggregate::status(self))
    }

    /// Whether what began may begin again: where a context lets something that has ended come back under its name.
    fn may_begin_anew(&self) -> bool {
        false
    }

    /// What a model is compared with, status, claims and waking aside.
    fn facts(&self, facts: Facts) -> Facts {
        facts
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its number in the specification, such as `ENV-2`.
    pub rule: &'static str,
    /// What is to be seen.
    pub why: String,
}

impl Fault {
    /// The invariant with this number does not hold.
    pub fn of(rule: &'static str, why: impl Into<String>) -> Self {
        Self { rule, why: why.into() }
    }

    /// Nothing where `holds`, otherwise this fault.
    ///
    /// # Errors
    /// It does not hold.
    pub fn unless(holds: bool, rule: &'static str, why: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::of(rule, why())) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.rule, self.why)
    }
}

/// Turns plans into commands, with evidence from the aggregates that hand it out, and keeps the world that they act on.
pub trait Driver<A: Aggregate> {
    /// What is asked.
    type Plan;

    /// A driver at the beginning of a story.
    fn begin() -> Self;

    /// Asks `plan` of the aggregate as it is, or of none where the first event is still to come. It must not matter how often it is asked.
    fn ask(&self, state: Option<&A>, plan: &Self::Plan, now: Timestamp) -> Answer<A::Event>;

    /// What was asked was answered, and its events have happened: the world follows. `before` is the aggregate as it was.
    fn follow(&mut self, _before: Option<&A>, _plan: &Self::Plan, _now: Timestamp) {}
}

/// How an aggregate answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<E> {
    /// It decided.
    Decided(Decision<E>),
    /// It refused.
    Refused(Refused),
    /// The plan asks nothing here: there is no such command, or nothing to carry it out on.
    Nothing,
}

/// A refusal, as a caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The number of the rule that it keeps.
    pub rule: &'static str,
    /// What would make the command legal.
    pub remedy: String,
    /// What it says.
    pub says: String,
}

impl<E> Answer<E> {
    /// The answer that a decision, or its refusal, gives.
    pub fn of<R: Refusal>(decided: Result<Decision<E>, R>) -> Self {
        match decided {
            Ok(decision) => Self::Decided(decision),
            Err(refusal) => Self::refused(&refusal),
        }
    }

    /// The answer that a refusal gives, such as one of evidence.
    pub fn refused<R: Refusal>(refusal: &R) -> Self {
        Self::Refused(Refused {
            rule: refusal.rule().number(),
            remedy: refusal.remedy(),
            says: refusal.to_string(),
        })
    }
}
