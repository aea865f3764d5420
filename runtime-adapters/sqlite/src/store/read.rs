//! Reading.

use runtime_domain::bug;
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::{AggregateKind, CorrelationId, EventId, TenantId};
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, HistoryEntry, Order, Page, Query, StoredAggregate, StoredRecord, due_micros,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::row::{self, Address, number, placeholders, rows, statement, unsigned};
use crate::error::During;

/// What cursors are marked with.
const STORE: &str = "sqlite";

const COLUMNS: &str = "a.id, a.revision, a.sequence, a.schema, a.body, a.wake_at, a.created, a.digest";

fn stored(row: &Row<'_>, kind: AggregateKind) -> rusqlite::Result<StoredAggregate> {
    Ok(StoredAggregate {
        key: AggregateKey { kind, id: row::uuid(row, 0)? },
        revision: Revision(unsigned(row, 1)?),
        sequence: unsigned(row, 2)?,
        digest: row::digest(row, 7)?,
        record: StoredRecord { schema: row.get(3)?, body: row.get(4)? },
        wake_at: row.get::<_, Option<i64>>(5)?.map(row::timestamp),
    })
}

pub(super) fn load(
    connection: &Connection,
    tenant: TenantId,
    key: AggregateKey,
) -> PortResult<Option<StoredAggregate>> {
    let sql = format!("SELECT {COLUMNS} FROM aggregates AS a WHERE tenant = ?1 AND kind = ?2 AND id = ?3");
    let address = Address::new(tenant, key);
    statement(connection, &sql)
        .and_then(|mut statement| {
            statement.query_row(&*address.and([]), |row| stored(row, key.kind)).optional()
        })
        .during("store.load")
}

/// When a listed aggregate is due, and its number by creation.
fn place(row: &Row<'_>) -> rusqlite::Result<(i64, u64)> {
    Ok((row.get::<_, Option<i64>>(5)?.unwrap_or(i64::MAX), unsigned(row, 6)?))
}

pub(super) fn query(
    connection: &Connection,
    tenant: TenantId,
    query: &Query,
) -> PortResult<Page<StoredAggregate>> {
    let by_due = query.order == Order::DueFirst;
    let (after, due_after) = match by_due {
        true => (None, query.due_position(STORE, tenant)?),
        false => (query.position(STORE, tenant)?, None),
    };
    // Where a module is asked for, its own index says what is about it, in the order of creation; CROSS JOIN has it looked at first.
    let (from, one) = match query.module {
        Some(_) => ("aggregate_modules AS m CROSS JOIN aggregates AS a USING (tenant, kind, id)", "m"),
        None => ("aggregates AS a", "a"),
    };
    let equals = if bug!("lists-every-namespace") { "<> '' ||" } else { "=" };
    let mut sql = format!("SELECT {COLUMNS} FROM {from} WHERE {one}.tenant {equals} ? AND {one}.kind = ?");
    let owner = Value::from(tenant.uuid().as_bytes().to_vec());
    let mut parameters = vec![owner, Value::from(query.kind.name().to_owned())];
    if let Some(environment) = query.environment {
        sql.push_str(&format!(" AND {one}.environment = ?"));
        parameters.push(Value::from(environment.uuid().as_bytes().to_vec()));
    }
    if !query.statuses.is_empty() {
        sql.push_str(&format!(" AND a.status IN ({})", placeholders(query.statuses.len())));
        parameters.extend(query.statuses.iter().cloned().map(Value::from));
    }
    if let Some(module) = &query.module {
        sql.push_str(" AND m.module = ?");
        parameters.push(Value::from(module.as_str().to_owned()));
    }
    if by_due {
        sql.push_str(" AND a.wake_at IS NOT NULL");
    }
    if let Some(from) = query.due_from {
        sql.push_str(" AND a.wake_at >= ?");
        parameters.push(Value::from(due_micros(from)));
    }
    if let Some(before) = query.due_before {
        sql.push_str(" AND a.wake_at < ?");
        parameters.push(Value::from(due_micros(before)));
    }
    if let Some((due, created)) = due_after {
        sql.push_str(" AND (a.wake_at, a.created) > (?, ?)");
        parameters.extend([Value::from(due), Value::from(number(created))]);
    }
    let (later, order) = match query.order {
        Order::OldestFirst => (">", format!("{one}.created")),
        Order::NewestFirst => ("<", format!("{one}.created DESC")),
        Order::DueFirst => (">", "a.wake_at, a.created".to_owned()),
    };
    if let Some(after) = after {
        sql.push_str(&format!(" AND {one}.created {later} ?"));
        parameters.push(Value::from(number(after)));
    }
    // One more than asked for tells whether the list goes on.
    sql.push_str(&format!(" ORDER BY {order} LIMIT ?"));
    parameters.push(Value::from(i64::from(query.limit) + 1));

    let found: Vec<((i64, u64), StoredAggregate)> = statement(connection, &sql)
        .and_then(|mut statement| {
            let read = |row: &Row<'_>| Ok((place(row)?, stored(row, query.kind)?));
            statement.query_map(params_from_iter(parameters), read)?.collect()
        })
        .during("store.query")?;
    Ok(Page::of(found, query.limit, |((due, created), _)| match by_due {
        true => query.cursor_at_due(STORE, tenant, *due, *created),
        false => query.cursor_at(STORE, tenant, *created),
    })
    .map(|(_, item)| item))
}

pub(super) fn history(
    connection: &Connection,
    tenant: TenantId,
    key: AggregateKey,
    after: u64,
    limit: u32,
) -> PortResult<Vec<HistoryEntry>> {
    let sql = "SELECT sequence, event_id, event, body, at, actor, correlation, causation, explanation, digest, trace_parent
         FROM history
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND sequence > ?4 ORDER BY sequence LIMIT ?5";
    let address = Address::new(tenant, key);
    statement(connection, sql)
        .and_then(|mut statement| rows(&mut statement, &address.and([&number(after), &limit]), entry))
        .during("store.history")
}

fn entry(row: &Row<'_>) -> rusqlite::Result<HistoryEntry> {
    Ok(HistoryEntry {
        sequence: unsigned(row, 0)?,
        id: EventId::from_uuid(row::uuid(row, 1)?),
        event: row.get(2)?,
        body: row.get(3)?,
        at: row::text(row, 4, str::parse::<Timestamp>)?,
        actor: row::text(row, 5, Actor::new)?,
        correlation: CorrelationId::from_uuid(row::uuid(row, 6)?),
        causation: row::optional_uuid(row, 7)?.map(EventId::from_uuid),
        explanation: row.get(8)?,
        digest: row::digest(row, 9)?,
        trace_parent: row::optional_text(row, 10, TraceParent::new)?,
    })
}
