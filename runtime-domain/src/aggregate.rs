//! What the aggregates have in common: how they are decided upon, evolved, stored and claimed.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::claim::Claim;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::{ModuleId, Revision};

/// What a command comes to: the events it raises and why. Empty events mean that nothing needs to change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision changes nothing until its events are committed"]
pub struct Decision<E> {
    /// What happens, in order.
    pub events: Vec<E>,
    /// Why, in a sentence for people; kept with the history.
    pub explanation: String,
}

impl<E> Decision<E> {
    /// A decision with events.
    pub fn of(events: Vec<E>, explanation: impl Into<String>) -> Self {
        Self { events, explanation: explanation.into() }
    }

    /// Nothing needs to change, and why: how an idempotent command answers the second time.
    pub fn unchanged(explanation: impl Into<String>) -> Self {
        Self { events: Vec::new(), explanation: explanation.into() }
    }

    /// True where nothing needs to change.
    pub fn is_unchanged(&self) -> bool {
        self.events.is_empty()
    }
}

/// A fact about another aggregate that a request rests on: its commit re-checks that the aggregate is still at this revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceRef {
    /// The aggregate's kind.
    pub kind: AggregateKind,
    /// The aggregate.
    pub id: Uuid,
    /// The revision.
    pub revision: Revision,
}

/// An event of an aggregate. Event enums are exhaustive, so that a new event breaks the build of who must handle it.
pub trait DomainEvent: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync {
    /// The event's name, noun and past tense: `RuntimeEnvironmentProvisioned`.
    fn name(&self) -> &'static str;
    /// The version of the published schema where the event leaves the context (the nineteen of spec.md §1), else `None`.
    fn published(&self) -> Option<u16>;
}

/// An event does not fit the state it was applied to: the history is damaged or out of order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} cannot follow state {state}: the history is damaged or out of order")]
pub struct Misapplied {
    /// The event's name.
    pub event: &'static str,
    /// The state's name.
    pub state: &'static str,
}

/// A stored record does not make a legal aggregate: it was edited by hand, or written by a newer version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored {aggregate} breaks {rule}: {why}")]
pub struct RecordError {
    /// The aggregate's name.
    pub aggregate: &'static str,
    /// The rule's number, or `SCHEMA`.
    pub rule: &'static str,
    /// What is wrong.
    pub why: String,
}

/// An aggregate: one of the nine of spec.md §2, or what stands beside them.
pub trait Aggregate: Clone + PartialEq + Debug + Sized + Send + Sync {
    /// Which.
    const KIND: AggregateKind;
    /// The version of the stored form that this code writes. It reads this one and all before it.
    const SCHEMA: u16;
    /// What can happen to it.
    type Event: DomainEvent;
    /// Its stored form.
    type Record: Serialize + DeserializeOwned;

    /// Its identifier, as a UUID.
    fn uuid(&self) -> Uuid;
    /// The tenant it belongs to. It never changes.
    fn tenant(&self) -> TenantId;
    /// The environment it is of.
    fn environment(&self) -> EnvironmentId;
    /// The name of its present status.
    fn status(&self) -> &'static str;
    /// The modules it is about, for queries.
    fn modules(&self) -> BTreeSet<ModuleId>;
    /// The keys it holds in its present state.
    fn claims(&self) -> BTreeSet<Claim>;
    /// When a reconciler must look at it next; `None` where nothing is left to do.
    fn wake_at(&self) -> Option<Timestamp>;

    /// Applies one event to the state, `None` before the first. No policy is here: whatever was decided happens.
    ///
    /// # Errors
    /// The event cannot follow this state, which a history written by `decide` never shows.
    fn evolve(state: Option<Self>, event: &Self::Event, at: Timestamp) -> Result<Self, Misapplied>;

    /// The stored form of the present state.
    fn to_record(&self) -> Self::Record;

    /// Loads a stored form and re-checks every rule.
    ///
    /// # Errors
    /// The record breaks a rule, or its schema is newer than this code.
    fn from_record(schema: u16, record: Self::Record) -> Result<Self, RecordError>;

    /// Applies events in order.
    ///
    /// # Errors
    /// As [`Aggregate::evolve`].
    fn evolve_all<'e>(
        state: Option<Self>,
        events: impl IntoIterator<Item = (&'e Self::Event, Timestamp)>,
    ) -> Result<Option<Self>, Misapplied>
    where
        Self::Event: 'e,
    {
        events.into_iter().try_fold(state, |state, (event, at)| Self::evolve(state, event, at).map(Some))
    }
}
