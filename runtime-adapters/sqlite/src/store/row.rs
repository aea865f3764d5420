//! Values as columns and back.

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::time::Timestamp;
use runtime_ports::store::{AggregateKey, ChainDigest, LeaseTopic};
use rusqlite::types::{FromSqlError, FromSqlResult, Type, ValueRef};
use rusqlite::{Connection, Row, Statement, ToSql};
use uuid::Uuid;

/// The columns `tenant`, `kind` and `id` of an aggregate, ready to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    tenant: [u8; 16],
    kind: &'static str,
    id: [u8; 16],
}

impl Address {
    pub(super) fn new(tenant: TenantId, key: AggregateKey) -> Self {
        Self { tenant: *tenant.uuid().as_bytes(), kind: key.kind.name(), id: *key.id.as_bytes() }
    }

    /// The three parameters, followed by others.
    pub(super) fn and<'p, const N: usize>(&'p self, others: [&'p dyn ToSql; N]) -> Vec<&'p dyn ToSql> {
        let address: [&dyn ToSql; 3] = [&self.tenant, &self.kind, &self.id];
        address.into_iter().chain(others).collect()
    }
}

/// The columns `tenant`, `kind` and `id`, from the first on.
pub(super) fn aggregate(row: &Row<'_>) -> rusqlite::Result<(TenantId, AggregateKey)> {
    let kind = text(row, 1, str::parse::<AggregateKind>)?;
    Ok((TenantId::from_uuid(uuid(row, 0)?), AggregateKey { kind, id: uuid(row, 2)? }))
}

/// A cached statement: the store uses few texts, many times.
pub(super) fn statement<'c>(
    connection: &'c Connection,
    sql: &str,
) -> rusqlite::Result<rusqlite::CachedStatement<'c>> {
    connection.prepare_cached(sql)
}

/// Executes a cached statement and returns how many rows it changed.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
) -> rusqlite::Result<usize> {
    statement(connection, sql)?.execute(parameters)
}

/// Every row of a query.
pub(super) fn rows<T>(
    statement: &mut Statement<'_>,
    parameters: &[&dyn ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    statement.query_map(parameters, read)?.collect()
}

pub(super) fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

pub(super) fn topic(topic: LeaseTopic) -> &'static str {
    match topic {
        LeaseTopic::Work => "work",
        LeaseTopic::Outbox => "outbox",
    }
}

/// A count or number for a column. Numbers that no column can hold are taken as the largest: they compare the same with all that are stored.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The present time, to compare with stored ones: the last whole microsecond.
pub(super) fn present(now: Timestamp) -> i64 {
    now.timestamp_micros()
}

/// A future time, for a column: rounded up to the next whole microsecond, so that nothing is due early.
pub(super) fn future(at: Timestamp) -> i64 {
    let rounded = i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1_000));
    at.timestamp_micros() + rounded
}

/// A stored time. The calendar's last microsecond was rounded up beyond its end.
pub(super) fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN_UTC
    } else {
        Timestamp::MAX_UTC
    })
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    parsed(row, column, uuid_value)
}

pub(super) fn optional_uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    parsed(row, column, |value| if value == ValueRef::Null { Ok(None) } else { uuid_value(value).map(Some) })
}

fn uuid_value(value: ValueRef<'_>) -> FromSqlResult<Uuid> {
    Uuid::from_slice(value.as_blob()?).map_err(FromSqlError::other)
}

pub(super) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<ChainDigest> {
    parsed(row, column, |value| ChainDigest::try_from(value.as_blob()?).map_err(FromSqlError::other))
}

/// A column's text, through its parser.
pub(super) fn text<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    parsed(row, column, |value| {
        parse(value.as_str()?).map_err(|error| FromSqlError::Other(error.to_string().into()))
    })
}

/// As [`text`], where there may be none.
pub(super) fn optional_text<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => text(row, column, parse).map(Some),
    }
}

fn parsed<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(ValueRef<'_>) -> FromSqlResult<T>,
) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(error)))
}
