//! What is given back: leases, and when their aggregates are due next.

use async_trait::async_trait;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::Lease;
use tokio::time::Duration;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::together::{Batch, insistently};
use crate::link::{Link, column, only};
use crate::row::{future, number, topic};

/// The parameters of the function `release_leases`.
#[derive(Debug, Default)]
pub(super) struct Releases {
    tenants: Vec<Uuid>,
    topics: Vec<&'static str>,
    kinds: Vec<&'static str>,
    ids: Vec<Uuid>,
    hosts: Vec<Uuid>,
    tokens: Vec<i64>,
}

#[async_trait]
impl Batch for Releases {
    type Item = Lease;
    type Answer = ();
    // Somebody may wait for what is given back.
    const PACE: Duration = Duration::ZERO;

    fn push(&mut self, lease: Lease) {
        self.tenants.push(lease.tenant.uuid());
        self.topics.push(topic(lease.topic));
        self.kinds.push(lease.key.kind.name());
        self.ids.push(lease.key.id);
        self.hosts.push(lease.host.uuid());
        self.tokens.push(number(lease.token.0));
    }

    async fn call(&self, link: &Link) -> PortResult<Vec<()>> {
        let sql = "SELECT release_leases($1, $2, $3, $4, $5, $6)";
        insistently(
            link,
            "store.release_lease",
            sql,
            &[&self.tenants, &self.topics, &self.kinds, &self.ids, &self.hosts, &self.tokens],
        )
        .await?;
        Ok(vec![(); self.ids.len()])
    }
}

/// A lease that is deferred, as columns.
#[derive(Debug)]
pub(super) struct Deferral {
    tenant: Uuid,
    kind: &'static str,
    id: Uuid,
    host: Uuid,
    token: i64,
    seen: i64,
    wake_at: i64,
}

impl Deferral {
    pub(super) fn new(lease: &Lease, seen: Revision, wake_at: Timestamp) -> Self {
        Self {
            tenant: lease.tenant.uuid(),
            kind: lease.key.kind.name(),
            id: lease.key.id,
            host: lease.host.uuid(),
            token: number(lease.token.0),
            seen: number(seen.0),
            wake_at: future(wake_at),
        }
    }

    /// Waits for whoever is writing the aggregate.
    async fn call_alone(&self, link: &Link) -> PortResult<()> {
        let sql = "SELECT defer_lease($1, 'work', $2, $3, $4, $5, $6, $7)";
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&self.tenant, &self.kind, &self.id, &self.host, &self.token, &self.seen, &self.wake_at];
        insistently(link, DEFER, sql, &parameters).await.map(drop)
    }
}

const DEFER: &str = "store.defer_lease";

/// Those that are deferred by one call of the function `defer_leases`.
#[derive(Debug, Default)]
pub(super) struct Deferrals(Vec<Deferral>);

impl Deferrals {
    fn column<T>(&self, of: impl Fn(&Deferral) -> T) -> Vec<T> {
        self.0.iter().map(of).collect()
    }
}

#[async_trait]
impl Batch for Deferrals {
    type Item = Deferral;
    type Answer = ();
    const PACE: Duration = Duration::from_millis(10);

    fn push(&mut self, deferral: Deferral) {
        self.0.push(deferral);
    }

    async fn call(&self, link: &Link) -> PortResult<Vec<()>> {
        if let [only] = &*self.0 {
            return only.call_alone(link).await.map(|()| vec![()]);
        }
        let (tenants, kinds) = (self.column(|it| it.tenant), self.column(|it| it.kind));
        let (ids, hosts) = (self.column(|it| it.id), self.column(|it| it.host));
        let (tokens, seen) = (self.column(|it| it.token), self.column(|it| it.seen));
        let wake_ats = self.column(|it| it.wake_at);
        let sql = "SELECT defer_leases($1, $2, $3, $4, $5, $6, $7)";
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&tenants, &kinds, &ids, &hosts, &tokens, &seen, &wake_ats];
        let rows = insistently(link, DEFER, sql, &parameters).await?;
        let passed_over: Vec<i32> = column(DEFER, &only(DEFER, rows)?, 0)?;
        for place in passed_over {
            let index = usize::try_from(place).unwrap_or(0).wrapping_sub(1);
            if let Some(deferral) = self.0.get(index) {
                deferral.call_alone(link).await?;
            }
        }
        Ok(vec![(); self.0.len()])
    }
}
