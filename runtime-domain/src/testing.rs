//! What the contexts' tests share.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::aggregate::{Aggregate, Decision, DomainEvent};
use crate::id::{Id, IdKind};
use crate::refusal::{Refusal, Rule};
use crate::time::{Span, Timestamp};
use crate::value::Name;

/// How a command was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Changes,
    Same,
    Refused(Rule),
}

pub(crate) fn answer<E, R: Refusal>(decided: &Result<Decision<E>, R>) -> Answer {
    match decided {
        Ok(decision) if decision.is_unchanged() => Answer::Same,
        Ok(_) => Answer::Changes,
        Err(refusal) => {
            assert!(!refusal.remedy().trim().is_empty(), "{refusal:?} has no remedy");
            assert!(!refusal.to_string().trim().is_empty(), "{refusal:?} says nothing");
            assert!(refusal.source().is_none(), "{refusal:?} has a source");
            Answer::Refused(refusal.rule())
        }
    }
}

pub(crate) fn id<K: IdKind>(number: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(number))
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// So many seconds into the test.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Span::from_secs(1_800_000_000 + seconds).after(Timestamp::UNIX_EPOCH)
}

/// An aggregate beside its history, as a store holds both.
#[derive(Debug, Clone)]
pub(crate) struct Told<A: Aggregate> {
    pub(crate) state: Option<A>,
    pub(crate) history: Vec<(A::Event, Timestamp)>,
}

impl<A: Aggregate> Told<A> {
    pub(crate) fn begin<R: Debug>(decided: Result<Decision<A::Event>, R>, now: Timestamp) -> Self {
        let mut told = Self { state: None, history: Vec::new() };
        told.happen(decided.unwrap(), now);
        told
    }

    pub(crate) fn now(&self) -> &A {
        self.state.as_ref().unwrap()
    }

    pub(crate) fn happen(&mut self, decision: Decision<A::Event>, now: Timestamp) {
        assert!(!decision.explanation.trim().is_empty(), "a decision without an explanation");
        for event in decision.events {
            self.state = Some(A::evolve(self.state.take(), &event, now).unwrap());
            self.history.push((event, now));
        }
    }

    /// Replaying the history, read back from its stored form, gives the state; and so does the record.
    pub(crate) fn check_replay_and_record(&self) {
        let stored: Vec<(A::Event, Timestamp)> = self
            .history
            .iter()
            .map(|(event, at)| {
                let body = serde_json::to_string(event).unwrap();
                let value: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(value["event"], event.name(), "{body}");
                (serde_json::from_str(&body).unwrap(), *at)
            })
            .collect();
        assert_eq!(stored, self.history);
        assert_eq!(A::evolve_all(None, stored.iter().map(|(event, at)| (event, *at))).unwrap(), self.state);
        let record: Value = serde_json::to_value(self.now().to_record()).unwrap();
        assert_eq!(&loaded::<A>(&record).unwrap(), self.now());
    }
}

/// Loads a stored form as a repository does; the error says which rule it broke, or what the parser said.
pub(crate) fn loaded<A: Aggregate>(record: &Value) -> Result<A, String> {
    let record = serde_json::from_value(record.clone()).map_err(|error| format!("SCHEMA: {error}"))?;
    A::from_record(A::SCHEMA, record).map_err(|error| format!("{}: {error}", error.rule))
}

/// A stored form with one thing changed by hand is refused by this rule.
pub(crate) fn assert_refused<A: Aggregate>(aggregate: &A, rule: &str, tamper: impl FnOnce(&mut Value)) {
    let mut record: Value = serde_json::to_value(aggregate.to_record()).unwrap();
    let before = record.clone();
    tamper(&mut record);
    assert_ne!(record, before, "nothing was tampered with");
    match loaded::<A>(&record) {
        Ok(_) => panic!("a tampered record was believed, which breaks {rule}: {record}"),
        Err(why) => assert!(why.starts_with(rule), "{rule} was expected, and not {why}"),
    }
}

/// A stored form of a newer or unknown schema, or with a field that this version does not know, is refused.
pub(crate) fn assert_schema_is_kept<A: Aggregate>(aggregate: &A) {
    for schema in [0, A::SCHEMA + 1] {
        let refused = A::from_record(schema, aggregate.to_record()).unwrap_err();
        assert_eq!(refused.rule, "SCHEMA");
    }
    assert_refused(aggregate, "SCHEMA", |record| record["unheard_of"] = Value::from(1));
}

/// A text type parses what is legal, shows it back the same by every way out, and refuses the rest by every way in.
pub(crate) fn assert_text<T>(shown: impl Fn(&T) -> Vec<String>, legal: &[&str], refused: &[&str])
where
    T: TryFrom<String> + Into<String> + Serialize + DeserializeOwned + Clone + PartialEq + Debug,
    T::Error: Debug + core::fmt::Display,
{
    for text in legal {
        let value = T::try_from((*text).to_string()).unwrap();
        assert_eq!(shown(&value), alloc::vec![(*text).to_string(); shown(&value).len()]);
        assert_eq!(&Into::<String>::into(value.clone()), text);
        assert_eq!(serde_json::to_value(&value).unwrap(), Value::from(*text));
        assert_eq!(serde_json::from_value::<T>(Value::from(*text)).unwrap(), value);
    }
    for text in refused {
        let refusal = T::try_from((*text).to_string()).unwrap_err().to_string();
        assert!(refusal.contains("write "), "{refusal}");
        assert!(serde_json::from_value::<T>(Value::from(*text)).is_err(), "{text}");
    }
}

/// A command is called what its variant is called.
pub(crate) fn assert_called(command: &impl Debug, name: &str) {
    let shown = format!("{command:?}");
    assert_eq!(shown.split([' ', '(', '{']).next(), Some(name));
}

/// So many times the same letter.
pub(crate) fn letters(count: usize) -> String {
    "a".repeat(count)
}
