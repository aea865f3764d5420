//! Lists of aggregates.

use runtime_domain::id::{AggregateKind, EnvironmentId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Revision};

use crate::error::PortResult;
use crate::store::{AggregateKey, ChainDigest, Cursor, Expected, Seal, StoredRecord, check_limit};

/// An aggregate as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAggregate {
    /// Which.
    pub key: AggregateKey,
    /// At which revision.
    pub revision: Revision,
    /// How long its history is: the sequence of its newest entry.
    pub sequence: u64,
    /// What its history comes to: the digest of its newest entry.
    pub digest: ChainDigest,
    /// The state.
    pub record: StoredRecord,
    /// When a reconciler must look at it next.
    pub wake_at: Option<Timestamp>,
}

impl StoredAggregate {
    /// What a write expects that follows what is stored.
    pub const fn expected_next(&self) -> Expected {
        Expected::At { revision: self.revision, digest: self.digest }
    }
}

/// In which order a list comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The ones created last first.
    #[default]
    NewestFirst,
    /// The ones created first first.
    OldestFirst,
    /// The ones due first first, which are those that are overdue the longest; what is never due is not listed. Of those due at one time
    /// the one created first comes first.
    DueFirst,
}

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
    /// Only due then or later. Times are compared in whole microseconds, rounded up, as due times are kept.
    pub due_from: Option<Timestamp>,
    /// Only due before then.
    pub due_before: Option<Timestamp>,
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
            due_from: None,
            due_before: None,
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

    /// Only due then or later.
    #[must_use]
    pub fn due_from(self, from: Timestamp) -> Self {
        Self { due_from: Some(from), ..self }
    }

    /// Only due before then: with the present time, what is overdue.
    #[must_use]
    pub fn due_before(self, before: Timestamp) -> Self {
        Self { due_before: Some(before), ..self }
    }

    /// In this order.
    #[must_use]
    pub fn ordered(self, order: Order) -> Self {
        Self { order, ..self }
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
        self.seal(store, tenant).cursor(position)
    }

    /// For stores that number aggregates by creation: the position after which this page begins, `None` at the beginning.
    ///
    /// # Errors
    /// [`Invalid`](crate::PortErrorKind::Invalid) where [`Query::after`] was not made by [`Query::cursor_at`] for the same store, tenant,
    /// filters and order, and where the limit is not 1 to 1,000.
    pub fn position(&self, store: &str, tenant: TenantId) -> PortResult<Option<u64>> {
        self.opened(store, tenant, number)
    }

    /// As [`Query::cursor_at`], in the order [`Order::DueFirst`]: `due` is in whole microseconds, as [`due_micros`] gives them.
    pub fn cursor_at_due(&self, store: &str, tenant: TenantId, due: i64, position: u64) -> Cursor {
        self.seal(store, tenant).cursor(format_args!("{due}.{position}"))
    }

    /// As [`Query::position`], in the order [`Order::DueFirst`].
    ///
    /// # Errors
    /// As [`Query::position`].
    pub fn due_position(&self, store: &str, tenant: TenantId) -> PortResult<Option<(i64, u64)>> {
        self.opened(store, tenant, |text| {
            let (due, position) = text.split_once('.')?;
            Some((due.parse().ok()?, number(position)?))
        })
    }

    fn opened<T>(
        &self,
        store: &str,
        tenant: TenantId,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> PortResult<Option<T>> {
        const OPERATION: &str = "store.query";
        check_limit(OPERATION, self.limit, 1_000)?;
        let seal = self.seal(store, tenant);
        self.after.as_ref().map(|cursor| seal.place(OPERATION, cursor, parse)).transpose()
    }

    /// Everything that decides which aggregates are listed and in which order.
    fn seal(&self, store: &str, tenant: TenantId) -> Seal {
        let mut statuses = self.statuses.clone();
        statuses.sort_unstable();
        let list = format!(
            "{tenant} {} {:?} {statuses:?} {:?} {:?} {:?} {:?}",
            self.kind, self.environment, self.module, self.due_from, self.due_before, self.order
        );
        Seal::of(store, &list)
    }
}

/// A plain number: no sign, no spaces.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A due time in whole microseconds since 1970, rounded up, so that nothing is due early: the same in every store.
pub fn due_micros(at: Timestamp) -> i64 {
    let rounded = i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1_000));
    at.timestamp_micros() + rounded
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` where the list has ended.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// For stores: the first `limit` of `items`, which are all that are left, or more than `limit` of them; `cursor` says where to go on after
    /// an item.
    pub fn of(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let goes_on = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| goes_on).map(cursor);
        Self { items, next }
    }

    /// The same place, with other items.
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(item).collect(), next: self.next }
    }
}
