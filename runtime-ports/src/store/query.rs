//! Lists of aggregates.

use runtime_domain::id::{AggregateKind, EnvironmentId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Revision};

use crate::store::{AggregateKey, StoredRecord};

/// An aggregate as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAggregate {
    /// Which.
    pub key: AggregateKey,
    /// At which revision.
    pub revision: Revision,
    /// How long its history is: the sequence of its newest entry.
    pub sequence: u64,
    /// The state.
    pub record: StoredRecord,
    /// When a reconciler must look at it next.
    pub wake_at: Option<Timestamp>,
}

/// In which order a list comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The ones created last first.
    #[default]
    NewestFirst,
    /// The ones created first first.
    OldestFirst,
}

/// A place in a list, opaque to callers. A cursor that another query or store made is [`Invalid`](crate::PortErrorKind::Invalid).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Asks for a list of one tenant's aggregates of one kind. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The kind.
    pub kind: AggregateKind,
    /// Only in this environment.
    pub environment: Option<EnvironmentId>,
    /// Only with one of these statuses; empty means any.
    pub statuses: Vec<String>,
    /// Only about this module.
    pub module: Option<ModuleId>,
    /// In which order.
    pub order: Order,
    /// Where to go on; `None` at the beginning.
    pub after: Option<Cursor>,
    /// How many at most: 1 to 1,000.
    pub limit: u32,
}

impl Query {
    /// All of one kind, newest first, 100 to a page.
    pub fn all(kind: AggregateKind) -> Self {
        Self {
            kind,
            environment: None,
            statuses: Vec::new(),
            module: None,
            order: Order::NewestFirst,
            after: None,
            limit: 100,
        }
    }

    /// Only in this environment.
    #[must_use]
    pub fn in_environment(self, environment: EnvironmentId) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// Only with one of these statuses.
    #[must_use]
    pub fn with_status(self, statuses: &[&str]) -> Self {
        Self { statuses: statuses.iter().map(ToString::to_string).collect(), ..self }
    }

    /// Only about this module.
    #[must_use]
    pub fn about(self, module: ModuleId) -> Self {
        Self { module: Some(module), ..self }
    }

    /// At most so many to a page.
    #[must_use]
    pub fn limited_to(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Going on where a page ended.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { after: Some(cursor), ..self }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` where the list has ended.
    pub next: Option<Cursor>,
}
