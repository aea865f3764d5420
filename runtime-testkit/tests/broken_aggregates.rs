//! Proves the prover: for each property there is an aggregate that breaks it, and is caught.
//!
//! Every broken one is a real tenant binding behind a thin wrapper that forgets one thing.

#![expect(clippy::unwrap_used, reason = "what is made here is legal, or the test is wrong")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::{Aggregate, Decision, Misapplied, RecordError};
use runtime_domain::claim::Claim;
use runtime_domain::id::{AggregateKind, EnvironmentId, TenantBindingId, TenantId};
use runtime_domain::tenancy::{RuntimeTenantBinding, TenancyEvent};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::ModuleId;
use runtime_testkit::conformance::Verdict;
use runtime_testkit::model::{Facts, TenancyModel};
use runtime_testkit::plan::Step;
use runtime_testkit::plan::tenancy::{Place, TenancyPlan};
use runtime_testkit::prove::{
    Answer, Cases, Driver, Fault, Property, Provable, Refused, TenancyDriver, prove,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What is forgotten. Each method is as it should be until a bug overrides it.
trait Bug: Clone + PartialEq + Debug + Send + Sync + 'static {
    fn answer(_state: Option<&RuntimeTenantBinding>, _plan: &TenancyPlan, answer: Decided) -> Decided {
        answer
    }
    fn evolve(state: Option<RuntimeTenantBinding>, event: &TenancyEvent, at: Timestamp) -> Evolved {
        RuntimeTenantBinding::evolve(state, event, at)
    }
    fn record(record: Value) -> Value {
        record
    }
    /// What is read of a stored form that the real one refuses.
    fn rescued(_record: &Value) -> Option<RuntimeTenantBinding> {
        None
    }
    fn claims(binding: &RuntimeTenantBinding) -> BTreeSet<Claim> {
        binding.claims()
    }
    fn wake_at(binding: &RuntimeTenantBinding) -> Option<Timestamp> {
        binding.wake_at()
    }
    fn tenant(binding: &RuntimeTenantBinding) -> TenantId {
        binding.tenant_id()
    }
    /// One more invariant, which every real binding keeps.
    fn is_legal(_binding: &RuntimeTenantBinding) -> bool {
        true
    }
}

type Decided = Answer<TenancyEvent>;
type Evolved = Result<RuntimeTenantBinding, Misapplied>;

#[derive(Debug, Clone, PartialEq)]
struct Broken<B>(RuntimeTenantBinding, PhantomData<B>);

/// Any JSON at all, so that the wrapper decides what is a record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Form(Value);

struct BrokenDriver<B>(TenancyDriver, PhantomData<B>);

impl<B: Bug> Aggregate for Broken<B> {
    const KIND: AggregateKind = AggregateKind::RuntimeTenantBinding;
    const SCHEMA: u16 = RuntimeTenantBinding::SCHEMA;
    type Event = TenancyEvent;
    type Record = Form;

    fn uuid(&self) -> Uuid {
        self.0.uuid()
    }
    fn tenant(&self) -> TenantId {
        B::tenant(&self.0)
    }
    fn environment(&self) -> EnvironmentId {
        self.0.environment()
    }
    fn status(&self) -> &'static str {
        Aggregate::status(&self.0)
    }
    fn modules(&self) -> BTreeSet<ModuleId> {
        self.0.modules()
    }
    fn claims(&self) -> BTreeSet<Claim> {
        B::claims(&self.0)
    }
    fn wake_at(&self) -> Option<Timestamp> {
        B::wake_at(&self.0)
    }
    fn evolve(state: Option<Self>, event: &TenancyEvent, at: Timestamp) -> Result<Self, Misapplied> {
        B::evolve(state.map(|state| state.0), event, at).map(|binding| Self(binding, PhantomData))
    }
    fn to_record(&self) -> Form {
        Form(B::record(serde_json::to_value(self.0.to_record()).unwrap_or_default()))
    }
    fn from_record(schema: u16, Form(form): Form) -> Result<Self, RecordError> {
        let refused = |why: String| RecordError { aggregate: "Broken", rule: "SCHEMA", why };
        let rescued = B::rescued(&form);
        let binding = match serde_json::from_value(form) {
            Ok(record) => RuntimeTenantBinding::from_record(schema, record),
            Err(error) => Err(refused(error.to_string())),
        };
        binding.or_else(|error| rescued.ok_or(error)).map(|binding| Self(binding, PhantomData))
    }
}

impl<B: Bug> Driver<Broken<B>> for BrokenDriver<B> {
    type Plan = TenancyPlan;
    fn begin() -> Self {
        Self(TenancyDriver::begin(), PhantomData)
    }
    fn ask(&self, state: Option<&Broken<B>>, plan: &TenancyPlan, now: Timestamp) -> Decided {
        let inner = state.map(|state| &state.0);
        B::answer(inner, plan, self.0.ask(inner, plan, now))
    }
}

impl<B: Bug> Provable for Broken<B> {
    type Plan = TenancyPlan;
    type Driver = BrokenDriver<B>;
    type Model = TenancyModel;
    const FINAL: &'static [&'static str] = RuntimeTenantBinding::FINAL;
    const KEPT: &'static [&'static str] = RuntimeTenantBinding::KEPT;

    fn stories() -> BoxedStrategy<Vec<Step<TenancyPlan>>> {
        RuntimeTenantBinding::stories()
    }
    fn is_idempotent(plan: &TenancyPlan) -> bool {
        RuntimeTenantBinding::is_idempotent(plan)
    }
    fn is_at_rest(&self) -> bool {
        self.0.is_at_rest()
    }
    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        Fault::unless(B::is_legal(&after.0), "X-1", || "it belongs to nobody".to_owned())?;
        RuntimeTenantBinding::check(before.map(|before| &before.0), &after.0)
    }
    fn facts(&self, facts: Facts) -> Facts {
        self.0.facts(facts)
    }
}

/// A bug by its unit struct and what it overrides.
macro_rules! bug {
    ($name:ident { $($body:tt)* }) => {
        #[derive(Debug, Clone, PartialEq)]
        struct $name;
        impl Bug for $name { $($body)* }
    };
}

bug!(Nothing {});

bug!(PanicsWhenReleased {
    fn answer(_: Option<&RuntimeTenantBinding>, plan: &TenancyPlan, answer: Decided) -> Decided {
        assert!(!matches!(plan, TenancyPlan::Release { .. }), "nobody leaves");
        answer
    }
});

bug!(AnswersByMood {
    fn answer(_: Option<&RuntimeTenantBinding>, _: &TenancyPlan, answer: Decided) -> Decided {
        static MOOD: AtomicU64 = AtomicU64::new(0);
        let asked = MOOD.fetch_add(1, Ordering::Relaxed);
        match answer {
            Answer::Decided(decision) => {
                Answer::Decided(Decision { explanation: format!("question {asked}"), ..decision })
            }
            other => other,
        }
    }
});

bug!(KnowsNoRemedy {
    fn answer(_: Option<&RuntimeTenantBinding>, _: &TenancyPlan, answer: Decided) -> Decided {
        match answer {
            Answer::Refused(refused) => Answer::Refused(Refused { remedy: String::new(), ..refused }),
            other => other,
        }
    }
});

bug!(ExplainsNothing {
    fn answer(_: Option<&RuntimeTenantBinding>, _: &TenancyPlan, answer: Decided) -> Decided {
        match answer {
            Answer::Decided(decision) => Answer::Decided(Decision { explanation: " ".to_owned(), ..decision }),
            other => other,
        }
    }
});

bug!(DecidesWhatCannotHappen {
    fn answer(_: Option<&RuntimeTenantBinding>, plan: &TenancyPlan, answer: Decided) -> Decided {
        match (plan, answer) {
            (TenancyPlan::Tick, Answer::Decided(decision)) if decision.is_unchanged() => {
                Answer::Decided(Decision::of(vec![TenancyEvent::TenantUncordoned], "just so"))
            }
            (_, answer) => answer,
        }
    }
});

bug!(ChangesIsolation {
    fn evolve(state: Option<RuntimeTenantBinding>, event: &TenancyEvent, at: Timestamp) -> Evolved {
        let after = RuntimeTenantBinding::evolve(state, event, at)?;
        match event {
            TenancyEvent::TenantCordoned { .. } => Ok(changed(&after, |form| {
                form["isolation_model"] = Value::from("shared");
            })),
            _ => Ok(after),
        }
    }
});

bug!(GoesToAnotherTenant {
    fn tenant(binding: &RuntimeTenantBinding) -> TenantId {
        let is_released = Aggregate::status(binding) == "Released";
        if is_released { TenantId::from_uuid(Uuid::from_u128(9)) } else { binding.tenant_id() }
    }
});

bug!(CountsItsEvents {
    fn evolve(state: Option<RuntimeTenantBinding>, event: &TenancyEvent, at: Timestamp) -> Evolved {
        static EVENTS: AtomicU64 = AtomicU64::new(0);
        let moved = Span::from_secs(EVENTS.fetch_add(1, Ordering::Relaxed) % 1_000).after(at);
        RuntimeTenantBinding::evolve(state, event, moved)
    }
});

bug!(LosesAField {
    fn record(mut record: Value) -> Value {
        record["is_protected"] = Value::from(false);
        record
    }
});

bug!(ReadsEverySchema {
    fn rescued(record: &Value) -> Option<RuntimeTenantBinding> {
        let record = serde_json::from_value(record.clone()).ok()?;
        RuntimeTenantBinding::from_record(RuntimeTenantBinding::SCHEMA, record).ok()
    }
});

bug!(BelievesImpossibleForms {
    fn is_legal(binding: &RuntimeTenantBinding) -> bool {
        !binding.tenant_id().uuid().is_max()
    }
    fn rescued(record: &Value) -> Option<RuntimeTenantBinding> {
        let state = record.get("state")?.as_object()?;
        let is_odd = state.len() != 1 || !record.get("is_protected")?.is_boolean();
        is_odd.then(nobody)
    }
});

bug!(PanicsAtDeepForms {
    fn rescued(record: &Value) -> Option<RuntimeTenantBinding> {
        assert!(!record.is_array(), "a record is never a list");
        None
    }
});

bug!(BeginsTwice {
    fn evolve(state: Option<RuntimeTenantBinding>, event: &TenancyEvent, at: Timestamp) -> Evolved {
        match event {
            TenancyEvent::TenantBindingRequested { .. } => RuntimeTenantBinding::evolve(None, event, at),
            _ => RuntimeTenantBinding::evolve(state, event, at),
        }
    }
});

bug!(NeverLetsGo {
    fn claims(binding: &RuntimeTenantBinding) -> BTreeSet<Claim> {
        let mut claims = binding.claims();
        claims.insert(Claim::tenant_binding(binding.tenant_id(), binding.environment_id()));
        claims
    }
});

bug!(AdjustsAgain {
    fn answer(state: Option<&RuntimeTenantBinding>, plan: &TenancyPlan, answer: Decided) -> Decided {
        match (state.and_then(RuntimeTenantBinding::quota), plan, answer) {
            (Some(quota), TenancyPlan::Adjust { .. }, Answer::Decided(decision)) if decision.is_unchanged() => {
                let event = TenancyEvent::RuntimeTenantQuotaAdjusted {
                    tenant_binding_id: state.map_or_else(|| TenantBindingId::from_uuid(Uuid::nil()), RuntimeTenantBinding::id),
                    previous: quota,
                    quota,
                };
                Answer::Decided(Decision::of(vec![event], "once more"))
            }
            (_, _, answer) => answer,
        }
    }
});

bug!(WakesForEver {
    fn wake_at(binding: &RuntimeTenantBinding) -> Option<Timestamp> {
        binding.wake_at().or(Some(Timestamp::UNIX_EPOCH))
    }
});

bug!(RefusesByAnotherRule {
    fn answer(_: Option<&RuntimeTenantBinding>, _: &TenancyPlan, answer: Decided) -> Decided {
        match answer {
            Answer::Refused(refused) if refused.rule == "TEN-3" => {
                Answer::Refused(Refused { rule: "TEN-1", ..refused })
            }
            other => other,
        }
    }
});

/// The binding with its stored form changed, past every check but those of reading.
fn changed(binding: &RuntimeTenantBinding, change: impl FnOnce(&mut Value)) -> RuntimeTenantBinding {
    let mut form = serde_json::to_value(binding.to_record()).unwrap();
    change(&mut form);
    let record = serde_json::from_value(form).unwrap();
    RuntimeTenantBinding::from_record(RuntimeTenantBinding::SCHEMA, record).unwrap()
}

/// A binding that belongs to no real tenant.
fn nobody() -> RuntimeTenantBinding {
    let driver = TenancyDriver::begin();
    let place = Place { is_own: true, offered: 1, wanted: 1, quota: 0, reserved: 0, partition: 0 };
    let Answer::Decided(decision) = driver.ask(None, &TenancyPlan::Bind(place), Timestamp::UNIX_EPOCH) else {
        unreachable!("the place is legal")
    };
    let binding = RuntimeTenantBinding::evolve(None, &decision.events[0], Timestamp::UNIX_EPOCH).unwrap();
    changed(&binding, |form| form["tenant_id"] = Value::from(format!("ten_{}", "f".repeat(32))))
}

/// The properties that a bug breaks, and what was told of the first.
fn broken<B: Bug>() -> (BTreeSet<String>, String) {
    let report = prove::<Broken<B>>(Cases::of(600).seeded(1));
    let failed: Vec<_> = report.failed().collect();
    let told = failed.first().map(|trial| match &trial.verdict {
        Verdict::Failed(told) => told.clone(),
        _ => String::new(),
    });
    (failed.iter().map(|trial| trial.name.clone()).collect(), told.unwrap_or_default())
}

fn assert_caught<B: Bug>(property: Property) {
    let (failed, told) = broken::<B>();
    assert!(failed.contains(property.sentence()), "`{property}` was not broken, but {failed:?}");
    assert!(told.contains("RUNTIME_TESTKIT_SEED="), "nobody could play it again: {told}");
}

#[test]
fn the_wrapper_itself_breaks_nothing() {
    prove::<Broken<Nothing>>(Cases::of(300)).assert_passed();
}

#[test]
fn a_panic_is_caught() {
    assert_caught::<PanicsWhenReleased>(Property::NeverPanics);
}

#[test]
fn an_answer_that_differs_from_time_to_time_is_caught() {
    assert_caught::<AnswersByMood>(Property::AsksFreely);
}

#[test]
fn a_refusal_without_a_remedy_is_caught() {
    assert_caught::<KnowsNoRemedy>(Property::SaysWhy);
}

#[test]
fn a_decision_without_an_explanation_is_caught() {
    assert_caught::<ExplainsNothing>(Property::SaysWhy);
}

#[test]
fn a_decision_that_cannot_happen_is_caught() {
    assert_caught::<DecidesWhatCannotHappen>(Property::Applies);
}

#[test]
fn a_broken_invariant_is_caught() {
    assert_caught::<ChangesIsolation>(Property::KeepsInvariants);
}

#[test]
fn a_changed_tenant_is_caught() {
    assert_caught::<GoesToAnotherTenant>(Property::KeepsIdentity);
}

#[test]
fn a_history_that_does_not_give_the_state_is_caught() {
    assert_caught::<CountsItsEvents>(Property::Replays);
}

#[test]
fn a_record_that_loses_a_field_is_caught() {
    assert_caught::<LosesAField>(Property::ReadsBack);
}

#[test]
fn a_record_that_reads_every_schema_is_caught() {
    assert_caught::<ReadsEverySchema>(Property::ReadsBack);
}

#[test]
fn a_tampered_record_that_is_believed_is_caught() {
    assert_caught::<BelievesImpossibleForms>(Property::SurvivesTampering);
}

#[test]
fn a_panic_at_any_json_is_caught() {
    assert_caught::<PanicsAtDeepForms>(Property::SurvivesAnyJson);
}

#[test]
fn a_second_beginning_is_caught() {
    assert_caught::<BeginsTwice>(Property::KeepsOrder);
}

#[test]
fn a_claim_that_is_never_let_go_of_is_caught() {
    assert_caught::<NeverLetsGo>(Property::HoldsClaims);
}

#[test]
fn a_command_that_changes_something_every_time_is_caught() {
    assert_caught::<AdjustsAgain>(Property::Repeats);
}

#[test]
fn a_final_state_that_wakes_is_caught() {
    assert_caught::<WakesForEver>(Property::Rests);
}

#[test]
fn a_refusal_by_another_rule_is_caught() {
    assert_caught::<RefusesByAnotherRule>(Property::AgreesWithModel);
}

#[test]
fn a_story_is_told_as_short_as_it_can_be() {
    let (_, told) = broken::<PanicsWhenReleased>();
    assert!(told.starts_with("it panicked: nobody leaves"), "{told}");
    let steps = told.lines().filter(|line| line.trim_start().starts_with("at ")).count();
    assert_eq!(steps, 2, "bind, and release: {told}");
}

#[test]
fn the_seed_of_a_failure_plays_it_again() {
    let (_, told) = broken::<PanicsWhenReleased>();
    let (_, seed) = told.rsplit_once("RUNTIME_TESTKIT_SEED=").unwrap();
    let seed = u64::from_str_radix(seed.split_whitespace().next().unwrap(), 16).unwrap();
    let report = prove::<Broken<PanicsWhenReleased>>(Cases::of(1).only(seed));
    assert!(report.failed().any(|trial| trial.name == Property::NeverPanics.sentence()));
}
