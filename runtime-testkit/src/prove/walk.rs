//! Plays one story on the real aggregate and on the model, and looks at everything after each step.

use std::collections::BTreeSet;
use std::fmt::Debug;

use runtime_domain::aggregate::{Decision, DomainEvent};
use runtime_domain::time::{Span, Timestamp};
use serde_json::Value;

use crate::model::{Facts, Foreseen, Model, Told};
use crate::prove::case::Case;
use crate::prove::quiet::caught;
use crate::prove::{Answer, Driver, Property, Provable};

/// A property that does not hold.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) property: Property,
    pub(super) why: String,
}

/// A story that is being played.
pub(super) struct Walk<'c, A: Provable> {
    pending: &'c BTreeSet<Property>,
    driver: A::Driver,
    model: A::Model,
    /// The model and the aggregate went different ways before, and were told apart then.
    is_modelled: bool,
    seconds: i64,
    state: Option<A>,
    history: Vec<(A::Event, Timestamp)>,
    lines: Option<Vec<String>>,
}

/// Why a walk ends: a property is broken that is looked for, or one that is not.
enum Stop {
    Broken(Broken),
    Quietly,
}

type Kept = Result<(), Stop>;

impl<'c, A: Provable> Walk<'c, A> {
    /// Plays a case; the first pending property that it breaks.
    pub(super) fn play(case: &Case<A::Plan>, pending: &'c BTreeSet<Property>) -> Option<Broken> {
        Self::begin(pending, None).all(case).0
    }

    /// Plays a case and tells it, line by line.
    pub(super) fn tell(case: &Case<A::Plan>, pending: &'c BTreeSet<Property>) -> Vec<String> {
        Self::begin(pending, Some(Vec::new())).all(case).1
    }

    fn begin(pending: &'c BTreeSet<Property>, lines: Option<Vec<String>>) -> Self {
        Self {
            pending,
            driver: A::Driver::begin(),
            model: A::Model::absent(),
            is_modelled: true,
            seconds: 0,
            state: None,
            history: Vec::new(),
            lines,
        }
    }

    fn all(mut self, case: &Case<A::Plan>) -> (Option<Broken>, Vec<String>) {
        let outcome = self.steps(case).and_then(|()| self.afterwards(case));
        let broken = match outcome {
            Err(Stop::Broken(broken)) => Some(broken),
            Err(Stop::Quietly) | Ok(()) => None,
        };
        (broken, self.lines.unwrap_or_default())
    }

    fn steps(&mut self, case: &Case<A::Plan>) -> Kept {
        for step in &case.steps {
            self.seconds += step.seconds;
            if let Some(lines) = &mut self.lines {
                lines.push(format!("at {}s: {:?}", self.seconds, step.plan));
            }
            self.step(&step.plan)?;
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        // Far enough from the beginning of time that a clock may jump back.
        let seconds = 1_800_000_000_i64.saturating_add(self.seconds);
        Span::from_secs(seconds.unsigned_abs()).after(Timestamp::UNIX_EPOCH)
    }

    fn step(&mut self, plan: &A::Plan) -> Kept {
        let now = self.now();
        let before = self.state.clone();
        let answer = self.guarded(|walk| walk.driver.ask(walk.state.as_ref(), plan, now))?;
        let again = self.guarded(|walk| walk.driver.ask(walk.state.as_ref(), plan, now))?;
        self.note(&answer);
        self.hold(Property::AsksFreely, answer == again && self.state == before, || {
            format!("asked twice, it answered {answer:?} and then {again:?}")
        })?;
        self.says_why(&answer)?;
        let decision = match &answer {
            Answer::Decided(decision) => Some(decision.clone()),
            Answer::Refused(_) => None,
            // Nothing is asked, and the world may have changed.
            Answer::Nothing => {
                return self.guarded_mut(|walk| walk.driver.follow(before.as_ref(), plan, now));
            }
        };
        for event in decision.iter().flat_map(|decision| &decision.events) {
            self.happen(event, now)?;
        }
        if self.state.is_some() {
            self.agrees(plan, &answer)?;
        } else {
            self.foresees_refusal(plan, &answer)?;
        }
        let has_changed = decision.as_ref().is_some_and(|decision| !decision.is_unchanged());
        if decision.is_some() {
            self.guarded_mut(|walk| walk.driver.follow(before.as_ref(), plan, now))?;
        }
        if has_changed {
            self.repeats(plan, now)?;
            self.rests(before.as_ref())?;
            self.holds_claims()?;
            self.reads_back()?;
        }
        Ok(())
    }

    /// Applies one event and looks at what became of the aggregate.
    fn happen(&mut self, event: &A::Event, now: Timestamp) -> Kept {
        let before = self.state.take();
        let evolved = self.guarded(|_| A::evolve(before.clone(), event, now))?;
        let after = match evolved {
            Ok(after) => after,
            Err(misapplied) => {
                self.hold(Property::Applies, false, || format!("it was decided, and then: {misapplied}"))?;
                return Err(Stop::Quietly);
            }
        };
        if let Some(before) = &before {
            let is_same = (before.uuid(), before.tenant(), before.environment())
                == (after.uuid(), after.tenant(), after.environment());
            self.hold(Property::KeepsIdentity, is_same, || format!("{} gave it another", event.name()))?;
        }
        let checked = self.guarded(|_| A::check(before.as_ref(), &after))?;
        self.hold(Property::KeepsInvariants, checked.is_ok(), || {
            format!(
                "after {}: {}",
                event.name(),
                checked.err().map(|fault| fault.to_string()).unwrap_or_default()
            )
        })?;
        self.state = Some(after);
        self.history.push((event.clone(), now));
        Ok(())
    }

    fn says_why(&self, answer: &Answer<A::Event>) -> Kept {
        let is_said = match answer {
            Answer::Decided(Decision { explanation, .. }) => !explanation.trim().is_empty(),
            Answer::Refused(refused) => {
                [refused.rule, &refused.remedy, &refused.says].iter().all(|text| !text.trim().is_empty())
            }
            Answer::Nothing => true,
        };
        self.hold(Property::SaysWhy, is_said, || format!("it answered {answer:?}"))
    }

    /// What the model says of a first command that was refused: there is nothing else to compare.
    fn foresees_refusal(&mut self, plan: &A::Plan, answer: &Answer<A::Event>) -> Kept {
        let foreseen = self.model.foresee(plan, self.seconds);
        let why = disagreement(&foreseen, answer);
        self.hold(Property::AgreesWithModel, why.is_none(), || why.unwrap_or_default())
    }

    fn agrees(&mut self, plan: &A::Plan, answer: &Answer<A::Event>) -> Kept {
        if !self.is_modelled || !self.pending.contains(&Property::AgreesWithModel) {
            return Ok(());
        }
        let foreseen = self.model.foresee(plan, self.seconds);
        let why = disagreement(&foreseen, answer).or_else(|| {
            let Answer::Decided(decision) = answer else { return None };
            self.learns(decision)
        });
        let why = why.or_else(|| {
            let state = self.state.as_ref()?;
            match self.model.facts() {
                Some(facts) => facts.difference(&seen(state)),
                None => Some("it exists, and the model says that it does not".to_owned()),
            }
        });
        self.is_modelled = why.is_none();
        self.hold(Property::AgreesWithModel, why.is_none(), || why.unwrap_or_default())
    }

    fn learns(&mut self, decision: &Decision<A::Event>) -> Option<String> {
        let write = |event: &A::Event| serde_json::to_value(event).unwrap_or_default();
        let writers: Vec<_> = decision.events.iter().map(|event| move || write(event)).collect();
        let told: Vec<Told<'_>> = decision
            .events
            .iter()
            .zip(&writers)
            .map(|(event, write)| Told::new(event.name(), event.published().is_some(), write))
            .collect();
        self.model.learn(&told).err()
    }

    fn repeats(&mut self, plan: &A::Plan, now: Timestamp) -> Kept {
        if !A::is_idempotent(plan) {
            return Ok(());
        }
        let again = self.guarded(|walk| walk.driver.ask(walk.state.as_ref(), plan, now))?;
        let is_idle = !matches!(&again, Answer::Decided(decision) if !decision.is_unchanged());
        self.hold(Property::Repeats, is_idle, || format!("asked again, it changes again: {again:?}"))
    }

    fn rests(&self, before: Option<&A>) -> Kept {
        let Some(after) = &self.state else { return Ok(()) };
        if let Some(before) = before.filter(|before| A::FINAL.contains(&before.status())) {
            self.hold(Property::Rests, before.status() == after.status(), || {
                format!("it was {}, which is final, and became {}", before.status(), after.status())
            })?;
        }
        let is_awake = after.is_at_rest() && after.wake_at().is_some();
        self.hold(Property::Rests, !is_awake, || format!("it is {}, and still wakes", after.status()))
    }

    fn holds_claims(&self) -> Kept {
        let Some(state) = &self.state else { return Ok(()) };
        let (claims, again) = self.guarded(|_| (state.claims(), state.clone().claims()))?;
        self.hold(Property::HoldsClaims, claims == again, || {
            "two equal states hold different claims".to_owned()
        })?;
        if state.is_at_rest() {
            let stray = claims.iter().find(|claim| !A::KEPT.iter().any(|kept| claim.key.starts_with(kept)));
            self.hold(Property::HoldsClaims, stray.is_none(), || {
                format!("it is {}, which is final, and holds {stray:?}", state.status())
            })?;
        }
        Ok(())
    }

    /// The stored form gives the state again, and no other schema is read.
    fn reads_back(&self) -> Kept {
        let Some(state) = &self.state else { return Ok(()) };
        let (loaded, others) = self.guarded(|_| {
            let stored = serde_json::to_string(&state.to_record()).map_err(|error| error.to_string());
            let loaded = stored.and_then(|stored| load::<A>(&stored));
            let others =
                [0, A::SCHEMA + 1, u16::MAX].map(|schema| A::from_record(schema, state.to_record()).is_ok());
            (loaded, others)
        })?;
        self.hold(Property::ReadsBack, loaded.as_ref() == Ok(state), || match loaded {
            Ok(loaded) => format!("what is read back is {loaded:?}"),
            Err(why) => format!("what it stored is refused: {why}"),
        })?;
        self.hold(Property::ReadsBack, others == [false; 3], || {
            "a schema is read that nobody has written".to_owned()
        })
    }

    fn afterwards(&mut self, case: &Case<A::Plan>) -> Kept {
        self.replays()?;
        self.keeps_order()?;
        self.survives_tampering(case)?;
        self.survives_junk(&case.junk)
    }

    fn replays(&self) -> Kept {
        let replayed = self.guarded(|_| {
            let read_back = |event: &A::Event| -> Result<A::Event, String> {
                let stored = serde_json::to_string(event).map_err(|error| error.to_string())?;
                serde_json::from_str(&stored).map_err(|error| format!("{}: {error}", event.name()))
            };
            let mut state = None;
            for (event, at) in &self.history {
                let event = read_back(event)?;
                state = Some(A::evolve(state, &event, *at).map_err(|error| error.to_string())?);
            }
            Ok::<_, String>(state)
        })?;
        self.hold(Property::Replays, replayed.as_ref() == Ok(&self.state), || match &replayed {
            Ok(state) => format!("its history gives {state:?}, and it is {:?}", self.state),
            Err(why) => format!("its history cannot be read: {why}"),
        })
    }

    fn keeps_order(&self) -> Kept {
        let Some(((first, at), state)) = self.history.first().zip(self.state.as_ref()) else { return Ok(()) };
        let again = self.guarded(|_| A::evolve(Some(state.clone()), first, *at))?;
        self.hold(Property::KeepsOrder, again.is_err() || state.may_begin_anew(), || {
            format!("{} happened to it a second time", first.name())
        })?;
        for (event, at) in self.history.iter().skip(1) {
            let alone = self.guarded(|_| A::evolve(None, event, *at))?;
            let is_kept = alone.is_err() || event.name() == first.name();
            self.hold(Property::KeepsOrder, is_kept, || format!("it began with {}", event.name()))?;
            // Whether it applies is not said: only that it may be tried.
            drop(self.guarded(|_| A::evolve(Some(state.clone()), event, *at))?);
        }
        Ok(())
    }

    fn survives_tampering(&self, case: &Case<A::Plan>) -> Kept {
        let Some(state) = self.state.as_ref().filter(|_| self.pending.contains(&Property::SurvivesTampering))
        else {
            return Ok(());
        };
        let Ok(form) = serde_json::to_value(state.to_record()) else { return Ok(()) };
        for spoil in &case.spoils {
            let spoilt = spoil.of(&form);
            let sound = self.sound(&spoilt.to_string(), case);
            self.hold(Property::SurvivesTampering, sound.is_ok(), || {
                let (from, to) = difference(&form, &spoilt);
                format!("with {from} instead of {to} stored, {}", sound.err().unwrap_or_default())
            })?;
            let text = form.to_string();
            let cut = spoil.cut(&text);
            let sound = self.sound(cut, case);
            self.hold(Property::SurvivesTampering, sound.is_ok(), || {
                format!("cut after {}: {sound:?}", cut.len())
            })?;
        }
        Ok(())
    }

    /// Whether a stored text is refused, or gives an aggregate that is legal, and stays so whatever the story asks of it.
    fn sound(&self, stored: &str, case: &Case<A::Plan>) -> Result<(), String> {
        caught(|| {
            let Ok(loaded) = load::<A>(stored) else { return Ok(()) };
            legal(None, &loaded)?;
            let again = serde_json::to_string(&loaded.to_record()).map_err(|error| error.to_string())?;
            if load::<A>(&again).as_ref() != Ok(&loaded) {
                return Err("it is believed, and cannot be stored and read again".to_owned());
            }
            for step in case.steps.iter().take(6) {
                let Answer::Decided(decision) = self.driver.ask(Some(&loaded), &step.plan, self.now()) else {
                    continue;
                };
                let mut state = loaded.clone();
                for event in &decision.events {
                    let Ok(after) = A::evolve(Some(state.clone()), event, self.now()) else { break };
                    legal(Some(&state), &after).map_err(|why| format!("after {:?}, {why}", step.plan))?;
                    state = after;
                }
            }
            Ok(())
        })
        .unwrap_or_else(Err)
    }

    fn survives_junk(&self, junk: &Value) -> Kept {
        if !self.pending.contains(&Property::SurvivesAnyJson) {
            return Ok(());
        }
        let sound = caught(|| {
            if let Ok(loaded) = load::<A>(&junk.to_string()) {
                legal(None, &loaded)?;
            }
            if let Ok(event) = serde_json::from_value::<A::Event>(junk.clone()) {
                round_trips(&event)?;
                let _ = A::evolve(self.state.clone(), &event, self.now());
            }
            let named = self.history.iter().find_map(|(event, _)| serde_json::to_value(event).ok());
            if let Some(Value::Object(mut fields)) = named {
                // A real event with one field that is junk.
                if let Some(field) = fields.keys().find(|key| *key != "event").cloned() {
                    fields.insert(field, junk.clone());
                }
                if let Ok(event) = serde_json::from_value::<A::Event>(Value::Object(fields)) {
                    round_trips(&event)?;
                    let _ = A::evolve(None, &event, self.now());
                    let _ = A::evolve(self.state.clone(), &event, self.now());
                }
            }
            Ok(())
        })
        .unwrap_or_else(Err);
        self.hold(Property::SurvivesAnyJson, sound.is_ok(), || {
            format!("given {junk}: {}", sound.err().unwrap_or_default())
        })
    }

    fn note(&mut self, answer: &Answer<A::Event>) {
        let Some(lines) = &mut self.lines else { return };
        lines.push(match answer {
            Answer::Decided(decision) if decision.is_unchanged() => {
                format!("  nothing changes: {}", decision.explanation)
            }
            Answer::Decided(decision) => {
                let names: Vec<&str> = decision.events.iter().map(DomainEvent::name).collect();
                format!("  {}: {}", names.join(", "), decision.explanation)
            }
            Answer::Refused(refused) => format!("  refused by {}: {}", refused.rule, refused.says),
            Answer::Nothing => "  there is nothing to ask".to_owned(),
        });
    }

    fn hold(&self, property: Property, holds: bool, why: impl FnOnce() -> String) -> Kept {
        if holds || !self.pending.contains(&property) {
            return Ok(());
        }
        Err(Stop::Broken(Broken { property, why: why() }))
    }

    fn guarded<T>(&self, call: impl FnOnce(&Self) -> T) -> Result<T, Stop> {
        caught(|| call(self)).map_err(|why| self.panicked(why))
    }

    fn guarded_mut<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> Result<T, Stop> {
        caught(|| call(&mut *self)).map_err(|why| self.panicked(why))
    }

    fn panicked(&self, why: String) -> Stop {
        if self.pending.contains(&Property::NeverPanics) {
            Stop::Broken(Broken { property: Property::NeverPanics, why })
        } else {
            Stop::Quietly
        }
    }
}

fn load<A: Provable>(stored: &str) -> Result<A, String> {
    let record = serde_json::from_str(stored).map_err(|error| error.to_string())?;
    A::from_record(A::SCHEMA, record).map_err(|error| error.to_string())
}

/// What every state must show, wherever it comes from.
fn legal<A: Provable>(before: Option<&A>, state: &A) -> Result<(), String> {
    A::check(before, state).map_err(|fault| format!("it is believed, and breaks {fault}"))?;
    if state.is_at_rest() && state.wake_at().is_some() {
        return Err(format!("it is {}, and still wakes", state.status()));
    }
    let _ = (state.claims(), state.modules());
    Ok(())
}

fn round_trips<E: DomainEvent>(event: &E) -> Result<(), String> {
    let stored = serde_json::to_string(event).map_err(|error| error.to_string())?;
    match serde_json::from_str::<E>(&stored) {
        Ok(again) if again == *event => Ok(()),
        Ok(again) => Err(format!("{event:?} is written and read back as {again:?}")),
        Err(error) => Err(format!("{event:?} is written and cannot be read back: {error}")),
    }
}

fn seen<A: Provable>(state: &A) -> Facts {
    let claims = state.claims();
    let claim = |claim: &runtime_domain::claim::Claim| {
        format!("{} {:?} {:?}", claim.key, claim.mode, claim.space).to_lowercase()
    };
    let facts = Facts {
        status: state.status().to_owned(),
        claims: claims.iter().map(claim).collect(),
        wakes: state.wake_at().is_some(),
        ..Facts::default()
    };
    state.facts(facts)
}

fn disagreement<E: DomainEvent + Debug>(foreseen: &Foreseen, answer: &Answer<E>) -> Option<String> {
    let is_agreed = match (foreseen, answer) {
        (Foreseen::Changes(published), Answer::Decided(decision)) => {
            let seen =
                decision.events.iter().filter(|event| event.published().is_some()).map(DomainEvent::name);
            !decision.is_unchanged() && seen.eq(published.iter().copied())
        }
        (Foreseen::Accepted, Answer::Decided(decision)) => !decision.is_unchanged(),
        (Foreseen::Same, Answer::Decided(decision)) => decision.is_unchanged(),
        (Foreseen::Refused(rule), Answer::Refused(refused)) => *rule == refused.rule,
        (Foreseen::Report, Answer::Decided(_)) | (_, Answer::Nothing) => true,
        _ => false,
    };
    if is_agreed {
        return None;
    }
    let answered = match answer {
        Answer::Decided(decision) if decision.is_unchanged() => "accepted, and nothing changes".to_owned(),
        Answer::Decided(decision) => {
            let names: Vec<&str> = decision.events.iter().map(DomainEvent::name).collect();
            format!("accepted, with {}", names.join(", "))
        }
        Answer::Refused(refused) => format!("refused by {}: {}", refused.rule, refused.says),
        Answer::Nothing => "not asked".to_owned(),
    };
    Some(format!("it was {answered}, and the model says {foreseen:?}"))
}

/// The first place where two forms differ: what is there in each.
fn difference(form: &Value, spoilt: &Value) -> (String, String) {
    let (mut one, mut other) = (form, spoilt);
    loop {
        let next = match (one, other) {
            (Value::Object(fields), Value::Object(others)) if fields.keys().eq(others.keys()) => fields
                .iter()
                .zip(others.values())
                .find(|((_, field), other)| field != other)
                .map(|((_, field), other)| (field, other)),
            (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
                items.iter().zip(others).find(|(item, other)| item != other)
            }
            _ => None,
        };
        match next {
            Some((field, value)) => (one, other) = (field, value),
            None => return (shortened(other), shortened(one)),
        }
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}
