//! Reading.

use std::collections::BTreeMap;
use std::ops::Bound;

use runtime_domain::id::TenantId;
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, Cursor, HistoryEntry, InboxEntry, Order, Page, Query, StoredAggregate, due_micros,
};
use uuid::Uuid;

use super::state::{Row, State};

/// What cursors are marked with.
const STORE: &str = "memory";

impl State {
    pub(super) fn load(&self, tenant: TenantId, key: &AggregateKey) -> Option<StoredAggregate> {
        self.aggregates.get(&(tenant, *key)).map(|row| row.stored(*key))
    }

    pub(super) fn query(&self, tenant: TenantId, query: &Query) -> PortResult<Page<StoredAggregate>> {
        match query.order {
            Order::NewestFirst => {
                let after = query.position(STORE, tenant)?;
                let found = self.numbered(tenant, query).rev();
                let found = found.filter(|(number, ..)| after.is_none_or(|end| *number < end));
                Ok(page(found, query, |number, _| query.cursor_at(STORE, tenant, number)))
            }
            Order::OldestFirst => {
                let after = query.position(STORE, tenant)?;
                let found =
                    self.numbered(tenant, query).filter(|(number, ..)| after.is_none_or(|end| *number > end));
                Ok(page(found, query, |number, _| query.cursor_at(STORE, tenant, number)))
            }
            Order::DueFirst => {
                let after = query.due_position(STORE, tenant)?;
                let numbered = self.numbered(tenant, query);
                let ordered: BTreeMap<_, _> =
                    numbered.filter_map(|(number, id, row)| Some(((due(row)?, number), (id, row)))).collect();
                let start = after.map_or(Bound::Unbounded, Bound::Excluded);
                let found = ordered.range((start, Bound::Unbounded));
                let found = found.map(|((_, number), (id, row))| (*number, *id, *row));
                Ok(page(found, query, |number, row| query.cursor_at_due(STORE, tenant, due_of(row), number)))
            }
        }
    }

    /// The aggregates that the query is about, in the order of their creation.
    fn numbered<'s>(
        &'s self,
        tenant: TenantId,
        query: &'s Query,
    ) -> impl DoubleEndedIterator<Item = (u64, Uuid, &'s Row)> {
        let created = self.created.get(&(tenant, query.kind));
        let about = query.module.as_ref().map(|module| (tenant, query.kind, module.clone()));
        // All, or those alone that are about a module.
        let all = created.filter(|_| about.is_none()).into_iter().flat_map(BTreeMap::keys);
        let about = about.and_then(|about| self.about.get(&about)).into_iter().flatten();
        all.chain(about).filter_map(move |number| {
            let id = created?.get(number)?;
            let key = AggregateKey { kind: query.kind, id: *id };
            let row = self.aggregates.get(&(tenant, key)).filter(|row| matches(row, query))?;
            Some((*number, *id, row))
        })
    }

    pub(super) fn is_handled(&self, tenant: TenantId, entry: &InboxEntry) -> bool {
        self.inbox.contains(&(tenant, entry.consumer.clone(), entry.event))
    }

    pub(super) fn history(
        &self,
        tenant: TenantId,
        key: &AggregateKey,
        after: u64,
        limit: u32,
    ) -> Vec<HistoryEntry> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let entries = self.aggregates.get(&(tenant, *key)).map_or(&[][..], |row| &row.history);
        entries.iter().filter(|entry| entry.sequence > after).take(limit).cloned().collect()
    }
}

/// The first of what was found, and where it goes on.
fn page<'s>(
    mut found: impl Iterator<Item = (u64, Uuid, &'s Row)>,
    query: &Query,
    cursor: impl Fn(u64, &Row) -> Cursor,
) -> Page<StoredAggregate> {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let listed: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(listed.last()).map(|(number, _, row)| cursor(*number, row));
    let stored = |(_, id, row): (u64, Uuid, &Row)| row.stored(AggregateKey { kind: query.kind, id });
    Page { items: listed.into_iter().map(stored).collect(), next }
}

fn due(row: &Row) -> Option<i64> {
    row.wake_at.map(due_micros)
}

/// When an aggregate that is due at some time is due.
fn due_of(row: &Row) -> i64 {
    due(row).unwrap_or(i64::MAX)
}

fn matches(row: &Row, query: &Query) -> bool {
    query.environment.is_none_or(|environment| row.facets.environment == environment)
        && (query.statuses.is_empty() || query.statuses.contains(&row.facets.status))
        && query.module.as_ref().is_none_or(|module| row.facets.modules.contains(module))
        && query.due_from.is_none_or(|from| due(row).is_some_and(|due| due >= due_micros(from)))
        && query.due_before.is_none_or(|before| due(row).is_some_and(|due| due < due_micros(before)))
}
