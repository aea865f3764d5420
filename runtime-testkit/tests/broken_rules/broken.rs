//! A real aggregate behind a thin wrapper that forgets one thing.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::{Aggregate, Decision, DomainEvent, Misapplied, RecordError};
use runtime_domain::claim::Claim;
use runtime_domain::id::{AggregateKind, EnvironmentId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_testkit::model::Facts;
use runtime_testkit::plan::Step;
use runtime_testkit::prove::{Answer, Cases, Driver, Fault, Property, Provable, prove};
use serde_json::Value;
use uuid::Uuid;

/// What is forgotten. Each method is as it should be until a bug overrides it.
pub trait Bug<A: Provable>: Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    fn answer(_state: Option<&A>, _plan: &A::Plan, answer: Answer<A::Event>) -> Answer<A::Event> {
        answer
    }
    fn evolve(state: Option<A>, event: &A::Event, at: Timestamp) -> Result<A, Misapplied> {
        A::evolve(state, event, at)
    }
    fn claims(aggregate: &A) -> BTreeSet<Claim> {
        aggregate.claims()
    }
}

/// Nothing is forgotten.
#[derive(Debug, Clone, PartialEq)]
pub struct Nothing;

impl<A: Provable> Bug<A> for Nothing {}

#[derive(Debug, Clone, PartialEq)]
pub struct Broken<A, B>(A, PhantomData<B>);

pub struct BrokenDriver<A: Provable, B>(A::Driver, PhantomData<B>);

impl<A: Provable, B: Bug<A>> Aggregate for Broken<A, B> {
    const KIND: AggregateKind = A::KIND;
    const SCHEMA: u16 = A::SCHEMA;
    type Event = A::Event;
    type Record = A::Record;

    fn uuid(&self) -> Uuid {
        self.0.uuid()
    }
    fn tenant(&self) -> TenantId {
        self.0.tenant()
    }
    fn environment(&self) -> EnvironmentId {
        self.0.environment()
    }
    fn status(&self) -> &'static str {
        self.0.status()
    }
    fn modules(&self) -> BTreeSet<ModuleId> {
        self.0.modules()
    }
    fn claims(&self) -> BTreeSet<Claim> {
        B::claims(&self.0)
    }
    fn wake_at(&self) -> Option<Timestamp> {
        self.0.wake_at()
    }
    fn evolve(state: Option<Self>, event: &A::Event, at: Timestamp) -> Result<Self, Misapplied> {
        B::evolve(state.map(|state| state.0), event, at).map(|inner| Self(inner, PhantomData))
    }
    fn to_record(&self) -> A::Record {
        self.0.to_record()
    }
    fn from_record(schema: u16, record: A::Record) -> Result<Self, RecordError> {
        A::from_record(schema, record).map(|inner| Self(inner, PhantomData))
    }
}

impl<A: Provable, B: Bug<A>> Driver<Broken<A, B>> for BrokenDriver<A, B> {
    type Plan = A::Plan;

    fn begin() -> Self {
        Self(A::Driver::begin(), PhantomData)
    }
    fn ask(&self, state: Option<&Broken<A, B>>, plan: &A::Plan, now: Timestamp) -> Answer<A::Event> {
        let inner = state.map(|state| &state.0);
        B::answer(inner, plan, self.0.ask(inner, plan, now))
    }
    fn follow(&mut self, before: Option<&Broken<A, B>>, plan: &A::Plan, now: Timestamp) {
        self.0.follow(before.map(|before| &before.0), plan, now);
    }
}

impl<A: Provable, B: Bug<A>> Provable for Broken<A, B> {
    type Plan = A::Plan;
    type Driver = BrokenDriver<A, B>;
    type Model = A::Model;
    const FINAL: &'static [&'static str] = A::FINAL;
    const KEPT: &'static [&'static str] = A::KEPT;

    fn stories() -> BoxedStrategy<Vec<Step<A::Plan>>> {
        A::stories()
    }
    fn is_idempotent(plan: &A::Plan) -> bool {
        A::is_idempotent(plan)
    }
    fn is_at_rest(&self) -> bool {
        self.0.is_at_rest()
    }
    fn may_begin_anew(&self) -> bool {
        self.0.may_begin_anew()
    }
    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        A::check(before.map(|before| &before.0), &after.0)
    }
    fn facts(&self, facts: Facts) -> Facts {
        self.0.facts(facts)
    }
}

/// The aggregate with its stored form changed, past every check but those of reading.
pub fn changed<A: Aggregate>(aggregate: &A, change: impl FnOnce(&mut Value)) -> A {
    let mut form = serde_json::to_value(aggregate.to_record()).unwrap();
    change(&mut form);
    A::from_record(A::SCHEMA, serde_json::from_value(form).unwrap()).unwrap()
}

/// Answers with these events instead.
pub fn decided<E>(events: Vec<E>) -> Answer<E> {
    Answer::Decided(Decision::of(events, "it was forgotten that this may not be"))
}

/// Whether an answer changes nothing.
pub fn is_same<E: DomainEvent>(answer: &Answer<E>) -> bool {
    matches!(answer, Answer::Decided(decision) if decision.is_unchanged())
}

/// Whether an answer is a refusal by this rule.
pub fn is_refused<E>(answer: &Answer<E>, rule: &str) -> bool {
    matches!(answer, Answer::Refused(refused) if refused.rule == rule)
}

/// A bug by its unit struct, whose it is, and what it overrides.
macro_rules! bug {
    ($name:ident of $aggregate:ty { $($body:tt)* }) => {
        #[derive(Debug, Clone, PartialEq)]
        struct $name;
        impl Bug<$aggregate> for $name { $($body)* }
    };
}
pub(crate) use bug;

pub fn assert_caught<A: Provable, B: Bug<A>>(property: Property) {
    let report = prove::<Broken<A, B>>(Cases::of(600).seeded(1));
    let failed: BTreeSet<_> = report.failed().map(|trial| trial.name.clone()).collect();
    assert!(failed.contains(property.sentence()), "`{property}` was not broken, but {failed:?}");
}

pub fn assert_breaks_nothing<A: Provable>() {
    prove::<Broken<A, Nothing>>(Cases::of(100)).assert_passed();
}
