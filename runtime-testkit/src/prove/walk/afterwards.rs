//! What is shown once a story has ended: of its whole history, and of everything that could be stored instead of it.

use std::fmt::Debug;

use runtime_domain::aggregate::DomainEvent;
use runtime_domain::envelope::Envelope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::prove::case::Case;
use crate::prove::quiet::caught;
use crate::prove::walk::{Kept, Walk};
use crate::prove::{Answer, Driver, Property, Provable};

impl<A: Provable> Walk<'_, A> {
    pub(super) fn afterwards(&mut self, case: &Case<A::Plan>) -> Kept {
        self.replays()?;
        self.keeps_order()?;
        self.survives_tampering(case)?;
        self.survives_junk(&case.junk)?;
        self.survives_spoilt_events(case)
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
        let mut ever_more = form.clone();
        for spoil in &case.spoils {
            let once = spoil.of(&form);
            ever_more = spoil.of(&ever_more);
            for spoilt in [&once, &ever_more] {
                let sound = self.sound(&spoilt.to_string(), case);
                self.hold(Property::SurvivesTampering, sound.is_ok(), || {
                    let (from, to) = difference(&form, spoilt);
                    format!("with {from} instead of {to} stored, {}", sound.err().unwrap_or_default())
                })?;
            }
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
            for step in case.steps.iter().skip(1).take(8) {
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

    /// An event that was changed by hand, alone and in an envelope, is refused, or is one that can be written and read and may be tried.
    fn survives_spoilt_events(&self, case: &Case<A::Plan>) -> Kept {
        if !self.pending.contains(&Property::SurvivesAnyJson) || self.history.is_empty() {
            return Ok(());
        }
        for (spoil, (event, at)) in case.spoils.iter().zip(self.history.iter().rev()) {
            let Ok(form) = serde_json::to_value(event) else { continue };
            let sound = caught(|| {
                let spoilt = spoil.of(&form).to_string();
                if let Ok(event) = serde_json::from_str::<A::Event>(&spoilt) {
                    round_trips(&event)?;
                    let _ = A::evolve(None, &event, *at);
                    let _ = A::evolve(self.state.clone(), &event, *at);
                }
                let spoilt = spoil.of(&enveloped(event.name(), &form)).to_string();
                match serde_json::from_str::<Envelope<A::Event>>(&spoilt) {
                    Ok(envelope) => round_trips(&envelope),
                    Err(_) => Ok(()),
                }
            })
            .unwrap_or_else(Err);
            self.hold(Property::SurvivesAnyJson, sound.is_ok(), || {
                format!("with {} changed by hand: {}", event.name(), sound.err().unwrap_or_default())
            })?;
        }
        Ok(())
    }

    fn survives_junk(&self, junk: &Value) -> Kept {
        if !self.pending.contains(&Property::SurvivesAnyJson) {
            return Ok(());
        }
        let sound = caught(|| {
            if let Ok(loaded) = load::<A>(&junk.to_string()) {
                legal(None, &loaded)?;
            }
            if let Ok(event) = serde_json::from_str::<A::Event>(&junk.to_string()) {
                round_trips(&event)?;
                let _ = A::evolve(self.state.clone(), &event, self.now());
            }
            Ok(())
        })
        .unwrap_or_else(Err);
        self.hold(Property::SurvivesAnyJson, sound.is_ok(), || {
            format!("given {junk}: {}", sound.err().unwrap_or_default())
        })
    }
}

pub(super) fn load<A: Provable>(stored: &str) -> Result<A, String> {
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

/// An envelope as it comes over the wire.
fn enveloped(name: &str, data: &Value) -> Value {
    let id = |kind: &str| format!("{kind}_{:032x}", 1);
    json!({
        "specversion": "1.0",
        "id": id("evt"),
        "source": "/testkit",
        "type": format!("factory.runtime.{name}.v1"),
        "subject": format!("RuntimeEnvironment/{:032x}", 1),
        "time": "2027-01-15T08:00:00Z",
        "datacontenttype": "application/json",
        "tenantid": id("ten"),
        "environmentid": id("env"),
        "correlationid": id("cor"),
        "sequence": "00000000000000000001",
        "data": data,
    })
}

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(event: &T) -> Result<(), String> {
    let stored = serde_json::to_string(event).map_err(|error| error.to_string())?;
    match serde_json::from_str::<T>(&stored) {
        Ok(again) if again == *event => Ok(()),
        Ok(again) => Err(format!("{event:?} is written and read back as {again:?}")),
        Err(error) => Err(format!("{event:?} is written and cannot be read back: {error}")),
    }
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
