//! The outbox.

use std::collections::BTreeSet;

use runtime_domain::bug;
use runtime_domain::id::{AggregateKind, EventId, TenantId};
use runtime_domain::value::Name;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, Held, InboxEntry, Lease, LeaseError, LeaseTopic, Outbox, Page, ParkedQuery, ParkedStream,
    ParkedUntil, Parking, StreamKey, Unpark,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use rusqlite::{Connection, Row, ToSql};

use super::lease;
use super::row::{self, Address, execute, number, rows, statement, unsigned};
use super::turn::Turns;
use crate::error::During;

/// Up to where all have got a stream's events that are not held; NULL where none is.
const OTHERS: &str = "(SELECT max(others) FROM held WHERE tenant = ?1 AND kind = ?2 AND id = ?3)";

pub(super) fn unpublished(connection: &Connection, lease: &Lease, limit: u32) -> PortResult<Outbox> {
    const OPERATION: &str = "store.outbox";
    check_topic(lease, OPERATION)?;
    let address = Address::new(lease.tenant, lease.key);
    let sql =
        "SELECT destination, parked_until IS NULL FROM held WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    let held = statement(connection, sql).and_then(|mut statement| {
        rows(&mut statement, &address.and([]), |row| {
            Ok(Held { destination: row::text(row, 0, Name::new)?, is_resumed: row.get(1)? })
        })
    });
    let sql = format!(
        "SELECT event_id, sequence, event_type, envelope FROM outbox
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND sequence > coalesce({OTHERS}, 0) ORDER BY sequence LIMIT ?4"
    );
    let events = read_events(connection, &sql, lease, &address.and([&limit]));
    Ok(Outbox { events: events.during(OPERATION)?, held: held.during(OPERATION)? })
}

fn read_events(
    connection: &Connection,
    sql: &str,
    lease: &Lease,
    parameters: &[&dyn ToSql],
) -> rusqlite::Result<Vec<PublishedEvent>> {
    rows(&mut *statement(connection, sql)?, parameters, |row| {
        Ok(PublishedEvent {
            id: EventId::from_uuid(row::uuid(row, 0)?),
            tenant: lease.tenant,
            aggregate_kind: lease.key.kind,
            aggregate_id: lease.key.id,
            sequence: unsigned(row, 1)?,
            event_type: row.get(2)?,
            envelope: row.get(3)?,
        })
    })
}

pub(super) fn published(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    sequence: u64,
    without: &BTreeSet<Name>,
) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_published";
    check_relay(connection, lease, OPERATION)?;
    let address = Address::new(lease.tenant, lease.key);
    for name in without {
        if !is_held(connection, address, name).during(OPERATION)? {
            return Err(LeaseError::NotHeld { destination: name.clone() });
        }
    }
    let publish = || {
        let sequence = number(sequence).min(newest(connection, address)?);
        move_others(connection, address, sequence)?;
        let others = others(connection, address)?.unwrap_or(sequence - i64::from(bug!("published-twice")));
        let_go(connection, turns, lease, others)
    };
    Ok(publish().during(OPERATION)?)
}

fn is_held(connection: &Connection, address: Address, destination: &Name) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM held WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND destination = ?4";
    statement(connection, sql)?.exists(&*address.and([&destination.as_str()]))
}

/// Says that all who are not held have got the events up to `sequence`.
fn move_others(connection: &Connection, address: Address, sequence: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE held SET others = max(others, ?4) WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    execute(connection, sql, &address.and([&sequence])).map(drop)
}

/// The newest event that waits: nothing is said of those that come later.
fn newest(connection: &Connection, address: Address) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(max(sequence), 0) FROM outbox WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    statement(connection, sql)?.query_row(&*address.and([]), |row| row.get(0))
}

fn others(connection: &Connection, address: Address) -> rusqlite::Result<Option<i64>> {
    statement(connection, &format!("SELECT {OTHERS}"))?.query_row(&*address.and([]), |row| row.get(0))
}

/// Drops the events that nobody has yet to get, and says whether the stream is still due.
fn let_go(connection: &Connection, turns: &Turns, lease: &Lease, others: i64) -> rusqlite::Result<()> {
    let address = Address::new(lease.tenant, lease.key);
    let sql = "SELECT min(?4, coalesce(
             (SELECT min(from_sequence) - 1 FROM held WHERE tenant = ?1 AND kind = ?2 AND id = ?3), ?4))";
    let gone = statement(connection, sql)?.query_row(&*address.and([&others]), |row| row.get(0))?;
    lease::leave_outbox(connection, address, gone)?;
    lease::follow_outbox(connection, turns, lease.tenant, lease.key)
}

pub(super) fn park(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    parking: &Parking,
) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_park";
    check_relay(connection, lease, OPERATION)?;
    let park = || {
        let address = Address::new(lease.tenant, lease.key);
        let destination = parking.destination.as_str();
        let before = number(parking.sequence.saturating_sub(1)).min(newest(connection, address)?);
        if !is_held(connection, address, &parking.destination)? {
            move_others(connection, address, before)?;
        }
        let sql = format!(
            "INSERT INTO held (tenant, kind, id, destination, from_sequence, others, reason, parked_until, since)
             VALUES (?1, ?2, ?3, ?4, ?5, coalesce({OTHERS}, ?6), ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET from_sequence = excluded.from_sequence, reason = excluded.reason,
                 parked_until = excluded.parked_until, since = excluded.since"
        );
        let columns: [&dyn ToSql; 6] = [
            &destination,
            &(before + 1),
            &before,
            &parking.reason,
            &parking.until.name(),
            &row::present(parking.at),
        ];
        execute(connection, &sql, &address.and(columns))?;
        let others = others(connection, address)?.unwrap_or(before);
        let_go(connection, turns, lease, others)
    };
    Ok(park().during(OPERATION)?)
}

pub(super) fn missed(
    connection: &Connection,
    lease: &Lease,
    destination: &Name,
    limit: u32,
) -> PortResult<Vec<PublishedEvent>> {
    const OPERATION: &str = "store.outbox_missed";
    check_topic(lease, OPERATION)?;
    let sql = "SELECT event_id, sequence, event_type, envelope FROM outbox JOIN held USING (tenant, kind, id)
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND destination = ?4 AND parked_until IS NULL
             AND sequence BETWEEN from_sequence AND others
         ORDER BY sequence LIMIT ?5";
    let address = Address::new(lease.tenant, lease.key);
    read_events(connection, sql, lease, &address.and([&destination.as_str(), &limit])).during(OPERATION)
}

pub(super) fn caught_up(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    destination: &Name,
    sequence: u64,
) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_caught_up";
    check_relay(connection, lease, OPERATION)?;
    let catch_up = || {
        let address = Address::new(lease.tenant, lease.key);
        let Some(others) = others(connection, address)? else { return Ok(()) };
        let destination = destination.as_str();
        let sql = "UPDATE held SET from_sequence = max(from_sequence, ?5)
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND destination = ?4 AND parked_until IS NULL";
        let next = number(sequence.saturating_add(1));
        execute(connection, sql, &address.and([&destination, &next]))?;
        let sql = "DELETE FROM held
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND destination = ?4 AND parked_until IS NULL AND NOT EXISTS (
                 SELECT 1 FROM outbox WHERE tenant = ?1 AND kind = ?2 AND id = ?3
                     AND sequence BETWEEN held.from_sequence AND held.others)";
        execute(connection, sql, &address.and([&destination]))?;
        let_go(connection, turns, lease, others)
    };
    Ok(catch_up().during(OPERATION)?)
}

pub(super) fn parked(connection: &Connection, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
    let after = query.position()?;
    let sql = "SELECT tenant, kind, id, destination, from_sequence, reason, parked_until, since FROM held
         WHERE parked_until IS NOT NULL AND (tenant, kind, id, destination) > (?1, ?2, ?3, ?4)
             AND (?5 IS NULL OR tenant = ?5) AND (?6 IS NULL OR destination = ?6) AND (?7 IS NULL OR parked_until = ?7)
         ORDER BY tenant, kind, id, destination LIMIT ?8";
    // Before every tenant is the empty one.
    let beginning = after.as_ref().map_or(Vec::new(), |after| after.tenant.uuid().as_bytes().to_vec());
    let destination = query.destination.as_ref().map(Name::as_str);
    let tenant = query.tenant.map(|tenant| *tenant.uuid().as_bytes());
    let parameters: [&dyn ToSql; 8] = [
        &beginning,
        &after.as_ref().map_or("", |after| after.key.kind.name()),
        &after.as_ref().map_or([0; 16], |after| *after.key.id.as_bytes()),
        &after.as_ref().map_or("", |after| after.destination.as_str()),
        &tenant,
        &destination,
        &query.until.map(ParkedUntil::name),
        &i64::from(query.limit).saturating_add(1),
    ];
    let items = statement(connection, sql)
        .and_then(|mut statement| rows(&mut statement, &parameters, parked_stream))
        .during("store.outbox_parked")?;
    Ok(Page::of(items, query.limit, |last| last.stream.cursor()))
}

fn parked_stream(row: &Row<'_>) -> rusqlite::Result<ParkedStream> {
    let kind = row::text(row, 1, str::parse::<AggregateKind>)?;
    Ok(ParkedStream {
        stream: StreamKey {
            tenant: TenantId::from_uuid(row::uuid(row, 0)?),
            key: AggregateKey { kind, id: row::uuid(row, 2)? },
            destination: row::text(row, 3, Name::new)?,
        },
        sequence: unsigned(row, 4)?,
        reason: row.get(5)?,
        until: row::text(row, 6, ParkedUntil::named)?,
        since: row::timestamp(row.get(7)?),
    })
}

pub(super) fn unpark(connection: &Connection, turns: &Turns, which: &Unpark) -> PortResult<u32> {
    let (filter, one, destination) = match which {
        Unpark::One(stream) => {
            let address = Address::new(stream.tenant, stream.key);
            (
                "tenant = ?1 AND kind = ?2 AND id = ?3 AND destination = ?4",
                Some(address),
                Some(&stream.destination),
            )
        }
        Unpark::All { destination } => ("(?1 IS NULL OR destination = ?1)", None, destination.as_ref()),
    };
    let destination = destination.map(Name::as_str);
    let parameters: Vec<&dyn ToSql> = match &one {
        Some(address) => address.and([&destination]),
        None => vec![&destination],
    };
    let sql = format!(
        "UPDATE held SET parked_until = NULL, reason = NULL, since = NULL WHERE parked_until IS NOT NULL AND {filter}
         RETURNING tenant, kind, id"
    );
    let unpark = || {
        let unparked = rows(&mut *statement(connection, &sql)?, &parameters, row::aggregate)?;
        for (tenant, key) in &unparked {
            lease::follow_outbox(connection, turns, *tenant, *key)?;
        }
        Ok(unparked.len())
    };
    let count = unpark().during("store.outbox_unpark")?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(super) fn is_handled(connection: &Connection, tenant: TenantId, entry: &InboxEntry) -> PortResult<bool> {
    let sql = "SELECT 1 FROM inbox WHERE tenant = ?1 AND consumer = ?2 AND event_id = ?3";
    let (tenant, event) = (tenant.uuid(), entry.event.uuid());
    let parameters: [&dyn ToSql; 3] = [tenant.as_bytes(), &entry.consumer.as_str(), event.as_bytes()];
    statement(connection, sql)
        .and_then(|mut statement| statement.exists(&parameters[..]))
        .during("store.is_handled")
}

fn check_relay(connection: &Connection, lease: &Lease, operation: &'static str) -> Result<(), LeaseError> {
    check_topic(lease, operation)?;
    if lease::holds(connection, lease).during(operation)? {
        Ok(())
    } else {
        Err(LeaseError::Lost { key: lease.key })
    }
}

fn check_topic(lease: &Lease, operation: &'static str) -> PortResult<()> {
    match lease.topic {
        LeaseTopic::Outbox => Ok(()),
        LeaseTopic::Work => Err(PortError::new(
            PortErrorKind::Invalid,
            operation,
            format!("the lease on {} is for work: take one of the topic Outbox", lease.key),
        )),
    }
}
