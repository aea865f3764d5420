//! Lists of aggregates.

use runtime_domain::id::{AggregateKind, EnvironmentId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Revision};

use crate::error::{PortError, PortErrorKind, PortResult};
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

    /// For stores that number a tenant's aggregates of a kind by creation: the cursor that goes on after the aggregate at `position`.
    ///
    /// It is bound to `store` (the adapter's name), the tenant and the query's filters and order, not to its limit.
    pub fn cursor_at(&self, store: &str, tenant: TenantId, position: u64) -> Cursor {
        Cursor(format!("{store}-{:016x}-{position}", self.fingerprint(tenant)))
    }

    /// For stores that number aggregates by creation: the position after which this page begins, `None` at the beginning.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid) where [`Query::after`] was not made by [`Query::cursor_at`] for the same store, tenant, filters
    /// and order, and where the limit is not 1 to 1,000.
    pub fn position(&self, store: &str, tenant: TenantId) -> PortResult<Option<u64>> {
        let invalid = |message| Err(PortError::new(PortErrorKind::Invalid, "store.query", message));
        if !(1..=1_000).contains(&self.limit) {
            return invalid("the limit is out of range: ask for 1 to 1,000 to a page");
        }
        let Some(cursor) = &self.after else { return Ok(None) };
        let position = cursor.0.rsplit('-').next().and_then(|digits| digits.parse().ok());
        match position {
            Some(position) if self.cursor_at(store, tenant, position) == *cursor => Ok(Some(position)),
            _ => invalid("the cursor belongs to another query: begin again without one"),
        }
    }

    /// FNV-1a over everything that decides which aggregates are listed and in which order: unlike the standard library's hasher it stays
    /// the same from one release to the next, so that a page can be turned across an upgrade.
    fn fingerprint(&self, tenant: TenantId) -> u64 {
        let mut statuses = self.statuses.clone();
        statuses.sort_unstable();
        let filters = format!(
            "{tenant} {} {:?} {statuses:?} {:?} {:?}",
            self.kind, self.environment, self.module, self.order
        );
        filters.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
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
