//! Reading.

use runtime_domain::id::TenantId;
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, HistoryEntry, InboxEntry, Order, Page, Query, StoredAggregate};
use uuid::Uuid;

use super::state::{Row, State};

/// What cursors are marked with.
const STORE: &str = "memory";

impl State {
    pub(super) fn load(&self, tenant: TenantId, key: &AggregateKey) -> Option<StoredAggregate> {
        self.aggregates.get(&(tenant, *key)).map(|row| row.stored(*key))
    }

    pub(super) fn query(&self, tenant: TenantId, query: &Query) -> PortResult<Page<StoredAggregate>> {
        let after = query.position(STORE, tenant)?;
        let numbered = self.created.get(&(tenant, query.kind));
        let numbered = numbered.into_iter().flatten().map(|(number, id)| (*number, *id));
        let mut page = Page { items: Vec::new(), next: None };
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let ordered: Box<dyn Iterator<Item = (u64, Uuid)>> = match query.order {
            Order::OldestFirst => {
                Box::new(numbered.filter(|(number, _)| after.is_none_or(|end| *number > end)))
            }
            Order::NewestFirst => {
                Box::new(numbered.rev().filter(|(number, _)| after.is_none_or(|end| *number < end)))
            }
        };
        let mut newest_listed = 0;
        for (number, id) in ordered {
            let key = AggregateKey { kind: query.kind, id };
            let Some(row) = self.aggregates.get(&(tenant, key)).filter(|row| matches(row, query)) else {
                continue;
            };
            if page.items.len() == limit {
                page.next = Some(query.cursor_at(STORE, tenant, newest_listed));
                break;
            }
            newest_listed = number;
            page.items.push(row.stored(key));
        }
        Ok(page)
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

fn matches(row: &Row, query: &Query) -> bool {
    query.environment.is_none_or(|environment| row.facets.environment == environment)
        && (query.statuses.is_empty() || query.statuses.contains(&row.facets.status))
        && query.module.as_ref().is_none_or(|module| row.facets.modules.contains(module))
}
