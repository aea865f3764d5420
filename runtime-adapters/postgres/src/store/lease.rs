//! Leases.

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, Lease, LeaseError, LeaseRequest};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::read::Columns;
use crate::link::{Link, column, only};
use crate::row::{future, number, present, timestamp, topic};

/// What a lease is told apart by: tenant, topic, kind, aggregate, host and token.
struct Held(Uuid, &'static str, &'static str, Uuid, Uuid, i64);

impl Held {
    fn of(lease: &Lease) -> Self {
        let (tenant, host) = (lease.tenant.uuid(), lease.host.uuid());
        Self(tenant, topic(lease.topic), lease.key.kind.name(), lease.key.id, host, number(lease.token.0))
    }

    fn and<'p>(&'p self, others: &[&'p (dyn ToSql + Sync)]) -> Vec<&'p (dyn ToSql + Sync)> {
        let own: [&(dyn ToSql + Sync); 6] = [&self.0, &self.1, &self.2, &self.3, &self.4, &self.5];
        own.into_iter().chain(others.iter().copied()).collect()
    }
}

pub(super) fn names(kinds: &[AggregateKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.name()).collect()
}

pub(super) async fn take(link: &Link, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
    const OPERATION: &str = "store.take_leases";
    let sql = "SELECT tenant, kind, id, token, previous, revision FROM take_leases($1, $2, $3, $4, $5, $6)";
    let mut kinds = names(&request.kinds);
    kinds.sort_unstable();
    kinds.dedup();
    let rows = link
        .call(
            OPERATION,
            sql,
            &[
                &topic(request.topic),
                &kinds,
                &request.host.uuid(),
                &present(request.now),
                &future(request.until),
                &i64::from(request.limit),
            ],
        )
        .await
        .map_err(|error| error.into_port(OPERATION))?;
    let lease = |row| {
        let columns = Columns { operation: OPERATION, row };
        let kind = columns.parsed(1, str::parse::<AggregateKind>)?;
        Ok(Lease {
            topic: request.topic,
            tenant: TenantId::from_uuid(columns.get(0)?),
            key: AggregateKey { kind, id: columns.get(2)? },
            host: request.host,
            token: FencingToken(columns.unsigned(3)?),
            previous: columns
                .get::<Option<i64>>(4)?
                .and_then(|token| u64::try_from(token).ok())
                .map(FencingToken),
            revision: columns
                .get::<Option<i64>>(5)?
                .and_then(|revision| u64::try_from(revision).ok())
                .map(Revision),
            until: request.until,
        })
    };
    rows.iter().map(lease).collect()
}

/// Calls a function that says whether the lease was held.
pub(super) async fn was_held(
    link: &Link,
    operation: &'static str,
    sql: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> PortResult<bool> {
    let rows = link.call(operation, sql, parameters).await.map_err(|error| error.into_port(operation))?;
    column(operation, &only(operation, rows)?, 0)
}

pub(super) async fn renew(link: &Link, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
    let sql = "SELECT renew_lease($1, $2, $3, $4, $5, $6, $7)";
    let held = Held::of(lease);
    if was_held(link, "store.renew_lease", sql, &held.and(&[&future(until)])).await? {
        Ok(Lease { until, ..lease.clone() })
    } else {
        Err(LeaseError::Lost { key: lease.key })
    }
}

pub(super) async fn next_due(link: &Link, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
    const OPERATION: &str = "store.next_due";
    let rows = link.read(OPERATION, "SELECT next_due($1)", &[&names(kinds)]).await?;
    Ok(column::<Option<i64>>(OPERATION, &only(OPERATION, rows)?, 0)?.map(timestamp))
}
