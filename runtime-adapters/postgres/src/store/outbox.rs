//! The outbox.

use runtime_domain::id::{AggregateKind, EventId};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{Lease, LeaseError, LeaseTopic};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::lease::{names, was_held};
use super::read::Columns;
use crate::link::{Link, column, only};
use crate::row::number;

pub(super) async fn unpublished(link: &Link, lease: &Lease, limit: u32) -> PortResult<Vec<PublishedEvent>> {
    const OPERATION: &str = "store.outbox";
    check_topic(lease, OPERATION)?;
    let sql = "SELECT event_id, sequence, event_type, envelope FROM read_outbox($1, $2, $3, $4)";
    let (tenant, kind, id) = (lease.tenant.uuid(), lease.key.kind.name(), lease.key.id);
    let rows = link.read(OPERATION, sql, &[&tenant, &kind, &id, &i64::from(limit)]).await?;
    let event = |row| {
        let columns = Columns { operation: OPERATION, row };
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

pub(super) async fn published(link: &Link, lease: &Lease, sequence: u64) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_published";
    check_topic(lease, OPERATION)?;
    let (tenant, kind, id) = (lease.tenant.uuid(), lease.key.kind.name(), lease.key.id);
    let (host, token, sequence) = (lease.host.uuid(), number(lease.token.0), number(sequence));
    let sql = "SELECT outbox_published($1, $2, $3, $4, $5, $6)";
    present(lease, was_held(link, OPERATION, sql, &[&tenant, &kind, &id, &host, &token, &sequence]).await?)
}

pub(super) async fn park(link: &Link, lease: &Lease, sequence: u64, reason: &str) -> Result<(), LeaseError> {
    const OPERATION: &str = "store.outbox_park";
    check_topic(lease, OPERATION)?;
    let (tenant, kind, id) = (lease.tenant.uuid(), lease.key.kind.name(), lease.key.id);
    let (host, token, sequence) = (lease.host.uuid(), number(lease.token.0), number(sequence));
    let sql = "SELECT outbox_park($1, $2, $3, $4, $5, $6, $7)";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&tenant, &kind, &id, &host, &token, &sequence, &reason];
    present(lease, was_held(link, OPERATION, sql, &parameters).await?)
}

pub(super) async fn unpark(link: &Link, kinds: &[AggregateKind]) -> PortResult<u32> {
    const OPERATION: &str = "store.outbox_unpark";
    let rows = link.read(OPERATION, "SELECT outbox_unpark($1)", &[&names(kinds)]).await?;
    let many: i64 = column(OPERATION, &only(OPERATION, rows)?, 0)?;
    Ok(u32::try_from(many).unwrap_or(u32::MAX))
}

fn present(lease: &Lease, is_held: bool) -> Result<(), LeaseError> {
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
