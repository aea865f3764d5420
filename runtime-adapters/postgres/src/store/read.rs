//! Reading.

use runtime_domain::envelope::TraceParent;
use runtime_domain::id::{AggregateKind, CorrelationId, EventId, TenantId};
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, ChainDigest, HistoryEntry, Order, Page, Query, StoredAggregate, StoredRecord, due_micros,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use super::Links;
use crate::error::{During, corrupt};
use crate::row::{number, timestamp};

/// What cursors are marked with.
const STORE: &str = "postgres";

/// A row's columns, by number, with the operation to name where one is not readable.
pub(super) struct Columns<'r> {
    pub(super) operation: &'static str,
    pub(super) row: &'r Row,
}

impl<'r> Columns<'r> {
    pub(super) fn get<T: FromSql<'r>>(&self, index: usize) -> PortResult<T> {
        self.row.try_get(index).during(self.operation)
    }

    pub(super) fn unsigned(&self, index: usize) -> PortResult<u64> {
        u64::try_from(self.get::<i64>(index)?).map_err(|_| corrupt(self.operation, "a number below nothing"))
    }

    pub(super) fn digest(&self, index: usize) -> PortResult<ChainDigest> {
        ChainDigest::try_from(self.get::<&[u8]>(index)?)
            .map_err(|error| corrupt(self.operation, &error.to_string()))
    }

    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        index: usize,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> PortResult<T> {
        parse(self.get(index)?).map_err(|error| corrupt(self.operation, &error.to_string()))
    }

    /// As [`Columns::parsed`], where there may be none.
    fn optional<T, E: std::fmt::Display>(
        &self,
        index: usize,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> PortResult<Option<T>> {
        let text: Option<&str> = self.get(index)?;
        text.map(parse).transpose().map_err(|error| corrupt(self.operation, &error.to_string()))
    }
}

/// An aggregate whose columns begin at `first`.
pub(super) fn stored(columns: &Columns<'_>, key: AggregateKey, first: usize) -> PortResult<StoredAggregate> {
    let schema: i32 = columns.get(first + 2)?;
    Ok(StoredAggregate {
        key,
        revision: Revision(columns.unsigned(first)?),
        sequence: columns.unsigned(first + 1)?,
        record: StoredRecord {
            schema: u16::try_from(schema).map_err(|_| corrupt(columns.operation, "a schema out of range"))?,
            body: columns.get(first + 3)?,
        },
        wake_at: columns.get::<Option<i64>>(first + 4)?.map(timestamp),
        digest: columns.digest(first + 5)?,
    })
}

/// The newest about a component: what lists are asked for most. Looked up as what is loaded, in the order of an index, and no further than until as
/// many are found as are asked for.
const NEWEST_ABOUT: &str = "
    SELECT found.id, found.revision, found.sequence, found.schema, found.body, found.wake_at, found.digest, found.created
    FROM (SELECT set_config('factory_runtime.tenant', $1::uuid::text, true)::uuid AS tenant) AS given,
        LATERAL (
            SELECT a.id, a.revision, a.sequence, a.schema, a.body, a.digest, m.created, (
                SELECT w.due_at FROM work AS w
                WHERE w.tenant = given.tenant AND w.kind = $2 AND w.id = m.id AND w.topic = 'work'
            ) AS wake_at
            FROM (
                SELECT o.id, o.created FROM aggregate_modules AS o
                WHERE o.tenant = given.tenant AND o.kind = $2 AND o.module = $3 AND o.module <> '' AND o.environment = $4
                ORDER BY o.created DESC
            ) AS m, LATERAL (
                SELECT g.id, g.revision, g.sequence, g.schema, g.body, g.digest FROM aggregates AS g
                WHERE g.tenant = given.tenant AND g.kind = $2 AND g.id = m.id AND ($5::text[] IS NULL OR g.status = ANY ($5))
                LIMIT 1
            ) AS a
            ORDER BY m.created DESC LIMIT $6
        ) AS found";

pub(super) async fn query(
    links: &Links,
    tenant: TenantId,
    query: &Query,
) -> PortResult<Page<StoredAggregate>> {
    const OPERATION: &str = "store.query";
    let is_plain = query.order == Order::NewestFirst
        && query.after.is_none()
        && query.due_from.is_none()
        && query.due_before.is_none();
    if let (Some(environment), Some(module), true) = (query.environment, &query.module, is_plain) {
        query.position(STORE, tenant)?;
        let statuses = (!query.statuses.is_empty()).then_some(&query.statuses);
        let most = i64::from(query.limit) + 1;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&tenant.uuid(), &query.kind.name(), &module.as_str(), &environment.uuid(), &statuses, &most];
        let rows = links.read(OPERATION, NEWEST_ABOUT, &parameters).await?;
        let found = rows.iter().map(|row| listed(row, query.kind)).collect::<PortResult<Vec<_>>>()?;
        let page = Page::of(found, query.limit, |(created, _)| query.cursor_at(STORE, tenant, *created));
        return Ok(page.map(|(_, item)| item));
    }
    let (ordering, after_due, after) = match query.order {
        Order::NewestFirst => ("newest", None, query.position(STORE, tenant)?),
        Order::OldestFirst => ("oldest", None, query.position(STORE, tenant)?),
        Order::DueFirst => {
            let (due, after) = query.due_position(STORE, tenant)?.unzip();
            ("due", due, after)
        }
    };
    let after = after.map(number);
    let (due_from, due_before) = (query.due_from.map(due_micros), query.due_before.map(due_micros));
    let sql = "SELECT id, revision, sequence, schema, body, wake_at, digest, created
               FROM list($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let environment: Option<Uuid> = query.environment.map(|environment| environment.uuid());
    let statuses = (!query.statuses.is_empty()).then_some(&query.statuses);
    let module = query.module.as_ref().map(|module| module.as_str());
    // One more than asked for tells whether the list goes on.
    let most = i64::from(query.limit) + 1;
    let kind = query.kind;
    let rows = links
        .read(
            OPERATION,
            sql,
            &[
                &tenant.uuid(),
                &kind.name(),
                &environment,
                &statuses,
                &module,
                &due_from,
                &due_before,
                &ordering,
                &after_due,
                &after,
                &most,
            ],
        )
        .await?;
    let found = rows.iter().map(|row| listed(row, kind)).collect::<PortResult<Vec<_>>>()?;
    Ok(Page::of(found, query.limit, |(created, item)| match query.order {
        // Stored due times are whole microseconds.
        Order::DueFirst => {
            let due = item.wake_at.map_or(i64::MAX, due_micros);
            query.cursor_at_due(STORE, tenant, due, *created)
        }
        Order::NewestFirst | Order::OldestFirst => query.cursor_at(STORE, tenant, *created),
    })
    .map(|(_, item)| item))
}

fn listed(row: &Row, kind: AggregateKind) -> PortResult<(u64, StoredAggregate)> {
    let columns = Columns { operation: "store.query", row };
    let key = AggregateKey { kind, id: columns.get(0)? };
    Ok((columns.unsigned(7)?, stored(&columns, key, 1)?))
}

pub(super) async fn history(
    links: &Links,
    tenant: TenantId,
    key: AggregateKey,
    after: u64,
    limit: u32,
) -> PortResult<Vec<HistoryEntry>> {
    let sql = "SELECT sequence, event_id, event, body, at, actor, correlation, causation, explanation, digest, trace_parent
               FROM read_history($1, $2, $3, $4, $5)";
    let rows = links
        .read(
            "store.history",
            sql,
            &[&tenant.uuid(), &key.kind.name(), &key.id, &number(after), &i64::from(limit)],
        )
        .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> PortResult<HistoryEntry> {
    let columns = Columns { operation: "store.history", row };
    Ok(HistoryEntry {
        sequence: columns.unsigned(0)?,
        id: EventId::from_uuid(columns.get(1)?),
        event: columns.get(2)?,
        body: columns.get(3)?,
        at: columns.parsed(4, str::parse::<Timestamp>)?,
        actor: columns.parsed(5, Actor::new)?,
        correlation: CorrelationId::from_uuid(columns.get(6)?),
        causation: columns.get::<Option<Uuid>>(7)?.map(EventId::from_uuid),
        explanation: columns.get(8)?,
        digest: columns.digest(9)?,
        trace_parent: columns.optional(10, TraceParent::new)?,
    })
}
