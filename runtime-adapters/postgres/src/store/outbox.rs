//! The outbox.

use std::collections::BTreeSet;

use runtime_domain::id::{AggregateKind, EventId, TenantId};
use runtime_domain::value::Name;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, Held, InboxEntry, Lease, LeaseError, LeaseTopic, Outbox, Page, ParkedQuery, ParkedStream,
    ParkedUntil, Parking, StreamKey, Unpark,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Links;
use super::read::Columns;
use crate::link::{Link, Parameters, column, only};
use crate::row::{number, present, timestamp};

pub(super) async fn unpublished(link: &Link, lease: &Lease, limit: u32) -> PortResult<Outbox> {
    const OPERATION: &str = "store.outbox";
    check_topic(lease, OPERATION)?;
    let held = "SELECT destination, is_resumed FROM read_held($1, $2, $3)";
    let events = "SELECT event_id, sequence, event_type, envelope FROM read_outbox($1, $2, $3, $4)";
    let (tenant, kind, id) = (lease.tenant.uuid(), lease.key.kind.name(), lease.key.id);
    let limit = i64::from(limit);
    let (of_held, of_events): (Parameters<'_>, Parameters<'_>) =
        (&[&tenant, &kind, &id], &[&tenant, &kind, &id, &limit]);
    let (held, events) =
        tokio::try_join!(link.read(OPERATION, held, of_held), link.read(OPERATION, events, of_events))?;
    let destination = |row| {
        let columns = Columns { operation: OPERATION, row };
        Ok(Held { destination: columns.parsed(0, Name::new)?, is_resumed: columns.get(1)? })
    };
    let held = held.iter().map(destination).collect::<PortResult<_>>()?;
    Ok(Outbox { events: read_events(OPERATION, lease, &events)?, held })
}

fn read_events(operation: &'static str, lease: &Lease, rows: &[Row]) -> PortResult<Vec<PublishedEvent>> {
    let event = |row| {
        let columns = Columns { operation, row };
        Ok(PublishedEvent {
            id: EventId::from_uuid(columns.get(0)?),
            tenant: lease.tenant,
            aggregate_kind: lease.key.kind,
            aggregate_id: lease.key.id,
            sequence: columns.unsigned(1)?,
            event_type: columns.get(2)?,
            envelope: columns.get(3)?,
        })
    };
    rows.iter().map(event).collect()
}

pub(super) async fn published(
    link: &Link,
    lease: &Lease,
    sequence: u64,
    without: &BTreeSet<Name>,
) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_published";
    let sql = "SELECT is_present, not_held FROM outbox_published($1, $2, $3, $4, $5, $6, $7)";
    let without: Vec<&str> = without.iter().map(Name::as_str).collect();
    let row = only(OPERATION, changed(link, OPERATION, sql, lease, &[&number(sequence), &without]).await?)?;
    let columns = Columns { operation: OPERATION, row: &row };
    present_or_lost(lease, columns.get(0)?)?;
    match columns.get::<Option<String>>(1)? {
        None => Ok(()),
        Some(_) => Err(LeaseError::NotHeld { destination: columns.parsed(1, Name::new)? }),
    }
}

pub(super) async fn park(link: &Link, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
    let sql = "SELECT outbox_park($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let Parking { destination, sequence, reason, until, at } = parking;
    let (sequence, at) = (number(*sequence), present(*at));
    let parameters: Parameters<'_> = &[&destination.as_str(), &sequence, reason, &until.name(), &at];
    change(link, "store.outbox_park", sql, lease, parameters).await
}

pub(super) async fn missed(
    link: &Link,
    lease: &Lease,
    destination: &Name,
    limit: u32,
) -> PortResult<Vec<PublishedEvent>> {
    const OPERATION: &str = "store.outbox_missed";
    check_topic(lease, OPERATION)?;
    let sql = "SELECT event_id, sequence, event_type, envelope FROM read_missed($1, $2, $3, $4, $5)";
    let (tenant, kind, id) = (lease.tenant.uuid(), lease.key.kind.name(), lease.key.id);
    let parameters: Parameters<'_> = &[&tenant, &kind, &id, &destination.as_str(), &i64::from(limit)];
    read_events(OPERATION, lease, &link.read(OPERATION, sql, parameters).await?)
}

pub(super) async fn caught_up(
    link: &Link,
    lease: &Lease,
    destination: &Name,
    sequence: u64,
) -> Result<(), LeaseError> {
    let sql = "SELECT outbox_caught_up($1, $2, $3, $4, $5, $6, $7)";
    let next = number(sequence.saturating_add(1));
    change(link, "store.outbox_caught_up", sql, lease, &[&destination.as_str(), &next]).await
}

pub(super) async fn parked(link: &Link, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
    const OPERATION: &str = "store.outbox_parked";
    let after = query.position()?;
    let sql = "SELECT tenant, kind, id, destination, from_sequence, reason, parked_until, since
               FROM list_parked($1, $2, $3, $4, $5, $6, $7, $8)";
    let parameters: Parameters<'_> = &[
        &after.as_ref().map(|after| after.tenant.uuid()),
        &after.as_ref().map(|after| after.key.kind.name()),
        &after.as_ref().map(|after| after.key.id),
        &after.as_ref().map(|after| after.destination.as_str()),
        &query.tenant.map(|tenant| tenant.uuid()),
        &query.destination.as_ref().map(Name::as_str),
        &query.until.map(ParkedUntil::name),
        &i64::from(query.limit).saturating_add(1),
    ];
    let rows = link.read(OPERATION, sql, parameters).await?;
    let stream = |row| {
        let columns = Columns { operation: OPERATION, row };
        let kind = columns.parsed(1, str::parse::<AggregateKind>)?;
        Ok(ParkedStream {
            stream: StreamKey {
                tenant: TenantId::from_uuid(columns.get(0)?),
                key: AggregateKey { kind, id: columns.get(2)? },
                destination: columns.parsed(3, Name::new)?,
            },
            sequence: columns.unsigned(4)?,
            reason: columns.get(5)?,
            until: columns.parsed(6, ParkedUntil::named)?,
            since: timestamp(columns.get(7)?),
        })
    };
    let items = rows.iter().map(stream).collect::<PortResult<Vec<ParkedStream>>>()?;
    Ok(Page::of(items, query.limit, |last| last.stream.cursor()))
}

pub(super) async fn unpark(link: &Link, which: &Unpark) -> PortResult<u32> {
    const OPERATION: &str = "store.outbox_unpark";
    let (stream, destination) = match which {
        Unpark::One(stream) => (Some((stream.tenant, stream.key)), Some(&stream.destination)),
        Unpark::All { destination } => (None, destination.as_ref()),
    };
    let parameters: Parameters<'_> = &[
        &stream.map(|(tenant, _)| tenant.uuid()),
        &stream.map(|(_, key)| key.kind.name()),
        &stream.map(|(_, key)| key.id),
        &destination.map(Name::as_str),
    ];
    let rows = link.read(OPERATION, "SELECT outbox_unpark($1, $2, $3, $4)", parameters).await?;
    let many: i64 = column(OPERATION, &only(OPERATION, rows)?, 0)?;
    Ok(u32::try_from(many).unwrap_or(u32::MAX))
}

pub(super) async fn is_handled(links: &Links, tenant: TenantId, entry: &InboxEntry) -> PortResult<bool> {
    const OPERATION: &str = "store.is_handled";
    let parameters: Parameters<'_> = &[&tenant.uuid(), &entry.consumer.as_str(), &entry.event.uuid()];
    let rows = links.read(OPERATION, "SELECT is_handled($1, $2, $3)", parameters).await?;
    column(OPERATION, &only(OPERATION, rows)?, 0)
}

/// Calls a function that changes a stream under its lease, whose first five parameters tell the lease apart.
async fn change(
    link: &Link,
    operation: &'static str,
    sql: &'static str,
    lease: &Lease,
    others: Parameters<'_>,
) -> Result<(), LeaseError> {
    let rows = changed(link, operation, sql, lease, others).await?;
    present_or_lost(lease, column(operation, &only(operation, rows)?, 0)?)
}

/// Calls a function that changes a stream under a lease.
async fn changed(
    link: &Link,
    operation: &'static str,
    sql: &'static str,
    lease: &Lease,
    others: Parameters<'_>,
) -> PortResult<Vec<Row>> {
    check_topic(lease, operation)?;
    let (tenant, kind, id) = (lease.tenant.uuid(), lease.key.kind.name(), lease.key.id);
    let (host, token) = (lease.host.uuid(), number(lease.token.0));
    let own: [&(dyn ToSql + Sync); 5] = [&tenant, &kind, &id, &host, &token];
    let parameters: Vec<_> = own.into_iter().chain(others.iter().copied()).collect();
    link.call(operation, sql, &parameters).await.map_err(|error| error.into_port(operation))
}

fn present_or_lost(lease: &Lease, is_held: bool) -> Result<(), LeaseError> {
    if is_held { Ok(()) } else { Err(LeaseError::Lost { key: lease.key }) }
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
