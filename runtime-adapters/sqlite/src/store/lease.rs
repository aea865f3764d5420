//! Leases.

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, Lease, LeaseError, LeaseRequest, LeaseTopic};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::row::{self, Address, execute, number, statement, unsigned};
use crate::error::During;

/// Aggregates whose time has come, each tenant's ranked among themselves: every tenant's first come before any tenant's second.
const DUE_WORK: &str = "
    SELECT tenant, kind, id FROM (
        SELECT due.tenant, due.kind, due.id, due.wake_at AS since,
               row_number() OVER (PARTITION BY due.tenant ORDER BY due.wake_at, due.id) AS place
        FROM aggregates AS due
        LEFT JOIN leases ON leases.tenant = due.tenant AND leases.topic = 'work'
            AND leases.kind = due.kind AND leases.id = due.id
        WHERE due.kind IN ({kinds}) AND due.wake_at <= ? AND (leases.until IS NULL OR leases.until <= ?))
    ORDER BY place, since LIMIT ?";

/// Aggregates with events to publish, or that a resumed destination has missed, ranked likewise, by the age of the oldest event.
const DUE_OUTBOX: &str = "
    SELECT tenant, kind, id FROM (
        SELECT due.tenant, due.kind, due.id, min(due.position) AS since,
               row_number() OVER (PARTITION BY due.tenant ORDER BY min(due.position)) AS place
        FROM outbox AS due
        LEFT JOIN held ON held.tenant = due.tenant AND held.kind = due.kind AND held.id = due.id
        LEFT JOIN leases ON leases.tenant = due.tenant AND leases.topic = 'outbox'
            AND leases.kind = due.kind AND leases.id = due.id
        WHERE due.kind IN ({kinds}) AND (held.others IS NULL OR due.sequence > held.others
                OR (held.parked_until IS NULL AND due.sequence >= held.from_sequence))
            AND (leases.until IS NULL OR leases.until <= ?)
        GROUP BY due.tenant, due.kind, due.id)
    ORDER BY place, since LIMIT ?";

pub(super) fn take(connection: &Connection, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
    let (kinds, mut parameters) = row::kinds(&request.kinds);
    let now = Value::from(row::present(request.now));
    let sql = match request.topic {
        LeaseTopic::Work => {
            parameters.push(now.clone());
            DUE_WORK
        }
        LeaseTopic::Outbox => DUE_OUTBOX,
    };
    parameters.extend([now, Value::from(i64::from(request.limit))]);
    due(connection, &sql.replace("{kinds}", &kinds), parameters)
        .and_then(|due| {
            due.into_iter().map(|(tenant, key)| grant(connection, request, tenant, key)).collect()
        })
        .during("store.take_leases")
}

fn due(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
) -> rusqlite::Result<Vec<(TenantId, AggregateKey)>> {
    statement(connection, sql)?
        .query_map(params_from_iter(parameters), |row| {
            let kind = row::text(row, 1, str::parse::<AggregateKind>)?;
            Ok((TenantId::from_uuid(row::uuid(row, 0)?), AggregateKey { kind, id: row::uuid(row, 2)? }))
        })?
        .collect()
}

fn grant(
    connection: &Connection,
    request: &LeaseRequest,
    tenant: TenantId,
    key: AggregateKey,
) -> rusqlite::Result<Lease> {
    let next = "UPDATE lease_tokens SET newest = newest + 1 RETURNING newest";
    let token = statement(connection, next)?.query_row([], |row| unsigned(row, 0))?;
    let sql =
        "INSERT INTO leases (tenant, kind, id, topic, host, token, until) VALUES (?1, ?2, ?3, ?4, ?5, ?7, ?6)
         ON CONFLICT DO UPDATE SET host = excluded.host, until = excluded.until, token = excluded.token";
    let (address, host) = (Address::new(tenant, key), request.host.uuid());
    let (topic, until) = (row::topic(request.topic), row::future(request.until));
    let stored_token = number(token);
    let columns = address.and([&topic, host.as_bytes(), &until, &stored_token]);
    execute(connection, sql, &columns)?;
    Ok(Lease {
        topic: request.topic,
        tenant,
        key,
        host: request.host,
        token: FencingToken(token),
        until: request.until,
    })
}

/// Whether the lease is the present one. Time plays no part: an expired lease that nobody has taken is still good.
pub(super) fn holds(connection: &Connection, lease: &Lease) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM leases
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6";
    let (address, host) = (Address::new(lease.tenant, lease.key), lease.host.uuid());
    let (topic, token) = (row::topic(lease.topic), number(lease.token.0));
    let columns = address.and([&topic, host.as_bytes(), &token]);
    statement(connection, sql)?.exists(&*columns)
}

pub(super) fn renew(connection: &Connection, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
    let sql = "UPDATE leases SET until = ?7
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6";
    let (address, host) = (Address::new(lease.tenant, lease.key), lease.host.uuid());
    let (topic, token, end) = (row::topic(lease.topic), number(lease.token.0), row::future(until));
    let columns = address.and([&topic, host.as_bytes(), &token, &end]);
    match execute(connection, sql, &columns).during("store.renew_lease")? {
        0 => Err(LeaseError::Lost { key: lease.key }),
        _ => Ok(Lease { until, ..lease.clone() }),
    }
}

pub(super) fn release(connection: &Connection, lease: &Lease) -> PortResult<()> {
    let sql = "UPDATE leases SET host = NULL, until = NULL
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6";
    let (address, host) = (Address::new(lease.tenant, lease.key), lease.host.uuid());
    let (topic, token) = (row::topic(lease.topic), number(lease.token.0));
    let columns = address.and([&topic, host.as_bytes(), &token]);
    execute(connection, sql, &columns).map(drop).during("store.release_lease")
}

pub(super) fn defer(
    connection: &Connection,
    lease: &Lease,
    seen: Revision,
    wake_at: Timestamp,
) -> PortResult<()> {
    if lease.topic != LeaseTopic::Work || !holds(connection, lease).during("store.defer_lease")? {
        return Ok(());
    }
    release(connection, lease)?;
    let sql =
        "UPDATE aggregates SET wake_at = ?4 WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND revision = ?5";
    let address = Address::new(lease.tenant, lease.key);
    let (wake_at, seen) = (row::future(wake_at), number(seen.0));
    execute(connection, sql, &address.and([&wake_at, &seen])).map(drop).during("store.defer_lease")
}

pub(super) fn next_due(connection: &Connection, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
    // One look at the index for each kind: `min` over several would scan.
    let sql = "SELECT min(wake_at) FROM aggregates WHERE kind = ?1 AND wake_at IS NOT NULL";
    let earliest = kinds
        .iter()
        .map(|kind| statement(connection, sql)?.query_row([kind.name()], |row| row.get::<_, Option<i64>>(0)));
    let earliest: Vec<Option<i64>> = earliest.collect::<rusqlite::Result<_>>().during("store.next_due")?;
    Ok(earliest.into_iter().flatten().min().map(row::timestamp))
}
