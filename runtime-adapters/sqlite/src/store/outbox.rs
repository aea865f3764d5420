//! The outbox.

use runtime_domain::id::{AggregateKind, EventId, TenantId};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{AggregateKey, Lease, LeaseError, LeaseTopic};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use rusqlite::{Connection, params_from_iter};

use super::lease;
use super::row::{self, Address, execute, number, rows, statement, unsigned};
use super::turn::Turns;
use crate::error::During;

pub(super) fn unpublished(
    connection: &Connection,
    lease: &Lease,
    limit: u32,
) -> PortResult<Vec<PublishedEvent>> {
    check_topic(lease, "store.outbox")?;
    let sql = "SELECT event_id, sequence, event_type, envelope FROM outbox
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND sequence < coalesce(
             (SELECT from_sequence FROM parked WHERE tenant = ?1 AND kind = ?2 AND id = ?3), 9223372036854775807)
         ORDER BY sequence LIMIT ?4";
    let address = Address::new(lease.tenant, lease.key);
    statement(connection, sql)
        .and_then(|mut statement| {
            rows(&mut statement, &address.and([&limit]), |row| {
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
        })
        .during("store.outbox")
}

pub(super) fn published(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    sequence: u64,
) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_published";
    check_relay(connection, lease, OPERATION)?;
    lease::leave_outbox(connection, Address::new(lease.tenant, lease.key), number(sequence))
        .during(OPERATION)?;
    lease::follow_outbox(connection, turns, lease.tenant, lease.key).during(OPERATION)?;
    Ok(())
}

pub(super) fn park(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    sequence: u64,
    reason: &str,
) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_park";
    check_relay(connection, lease, OPERATION)?;
    let sql = "INSERT INTO parked (tenant, kind, id, from_sequence, reason) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET from_sequence = excluded.from_sequence, reason = excluded.reason";
    let address = Address::new(lease.tenant, lease.key);
    execute(connection, sql, &address.and([&number(sequence), &reason])).during(OPERATION)?;
    lease::follow_outbox(connection, turns, lease.tenant, lease.key).during(OPERATION)?;
    Ok(())
}

pub(super) fn unpark(connection: &Connection, turns: &Turns, kinds: &[AggregateKind]) -> PortResult<u32> {
    let (placeholders, names) = row::kinds(kinds);
    let sql = format!("DELETE FROM parked WHERE kind IN ({placeholders}) RETURNING tenant, kind, id");
    let unparked: Vec<(TenantId, AggregateKey)> = statement(connection, &sql)
        .and_then(|mut statement| statement.query_map(params_from_iter(names), row::aggregate)?.collect())
        .during("store.outbox_unpark")?;
    for (tenant, key) in &unparked {
        lease::follow_outbox(connection, turns, *tenant, *key).during("store.outbox_unpark")?;
    }
    Ok(u32::try_from(unparked.len()).unwrap_or(u32::MAX))
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
