//! Plays one story on the real aggregate and on the model, and looks at everything after each step.

use std::collections::BTreeSet;
use std::fmt::Debug;

use runtime_domain::aggregate::{Decision, DomainEvent};
use runtime_domain::time::{Span, Timestamp};

use crate::model::{Facts, Foreseen, Model, Told};
use crate::prove::case::Case;
use crate::prove::quiet::caught;
use crate::prove::{Answer, Driver, Property, Provable};

mod afterwards;

use afterwards::load;

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
