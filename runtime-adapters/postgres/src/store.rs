//! The store, and its handles for tenants and operators.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::retention::Pruned;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, Due, HistoryEntry, InboxEntry, Lease, LeaseError,
    LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream, Parking, Query, Store,
    StoredAggregate, TenantStore, Unpark, Watch,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::load::Loaders;
use self::release::{Deferral, Deferrals, Releases};
use self::together::Together;
use crate::connection::{Dialler, Role};
use crate::error::closed;
use crate::link::{CallError, Link, Parameters, column, only};
use crate::listener;
use crate::migration;
use crate::options::PostgresOptions;
use crate::writer::{self, Heralds, Writer};

mod artifacts;
mod health_results;
mod lease;
mod load;
mod outbox;
mod read;
mod release;
mod snapshots;
mod together;

/// A store in a PostgreSQL database. Clones are the same store.
///
/// It works on the tokio runtime that it was opened on. Dropping the last clone and handle ends its connections; [`PostgresStore::close`]
/// finishes the queued commits first.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Writer,
    committing: Vec<Arc<Link>>,
    /// For decisions: always the primary.
    loaders: Loaders,
    /// For lists and histories.
    readers: Links,
    /// For what is kept beside the aggregates, so that writing it holds up no decision.
    records: Links,
    operators: Arc<Link>,
    releases: Together<Releases>,
    deferrals: Together<Deferrals>,
    heralds: Heralds,
    closing: CancellationToken,
    _closed_when_dropped: DropGuard,
}

/// Kept connections of one kind, used in turn.
#[derive(Debug)]
struct Links {
    links: Vec<Link>,
    next: AtomicUsize,
}

impl Links {
    fn new(count: usize, link: impl Fn() -> Link) -> Self {
        Self { links: (0..count).map(|_| link()).collect(), next: AtomicUsize::new(0) }
    }

    async fn read(
        &self,
        operation: &'static str,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> PortResult<Vec<tokio_postgres::Row>> {
        match self.next() {
            Some(link) => link.read(operation, sql, parameters).await,
            None => Err(closed(operation)),
        }
    }

    async fn call(
        &self,
        operation: &'static str,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, CallError> {
        match self.next() {
            Some(link) => link.call(operation, sql, parameters).await,
            None => Err(CallError::NotAsked(closed(operation))),
        }
    }

    fn next(&self) -> Option<&Link> {
        self.links.get(self.turn())
    }

    /// Whose turn it is.
    fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.links.len().max(1)
    }

    async fn close(&self) {
        for link in &self.links {
            link.close().await;
        }
    }
}

/// How many connections write what is kept beside the aggregates; made when they are first needed.
const RECORDS: usize = 2;

impl PostgresStore {
    /// Opens the store. The database must have been migrated ([`migrate`](crate::migrate)).
    ///
    /// # Errors
    /// - [`Unavailable`](PortErrorKind::Unavailable), [`TimedOut`](PortErrorKind::TimedOut): the server cannot be reached.
    /// - [`Unsupported`](PortErrorKind::Unsupported): it is older than 15, or its schema is not of this version.
    /// - [`Denied`](PortErrorKind::Denied): the login is refused, not a member of the store's roles, or could bypass row-level security.
    /// - [`NotFound`](PortErrorKind::NotFound): there is no such database.
    pub async fn open(options: PostgresOptions) -> PortResult<Self> {
        let primary = Dialler::primary(&options)?;
        let lists = Dialler::for_lists(&options)?;
        migration::check(&primary).await?;
        let link = |dialler: &Dialler, role| Link::new(dialler.clone(), role, options.statement_timeout);
        let committing: Vec<_> =
            (0..writer::CONNECTIONS).map(|_| Arc::new(link(&primary, Role::Tenant))).collect();
        let operators = Arc::new(link(&primary, Role::Operator));
        // A login that may not take on the roles is told so now.
        for link in &committing {
            link.live("store.open").await?;
        }
        operators.live("store.open").await?;

        let heralds = Heralds::default();
        let closing = CancellationToken::new();
        let background = [
            tokio::spawn(
                closing
                    .clone()
                    .run_until_cancelled_owned(listener::listen(primary.clone(), Arc::clone(&heralds.here))),
            ),
            tokio::spawn(closing.clone().run_until_cancelled_owned(listener::tell(
                Arc::clone(&operators),
                Arc::clone(&heralds.elsewhere),
            ))),
        ];
        drop(background);
        Ok(Self {
            shared: Arc::new(Shared {
                writer: Writer::start(committing.clone(), heralds.clone()),
                committing,
                loaders: Loaders::new(Links::new(options.readers, || link(&primary, Role::Tenant))),
                readers: Links::new(options.readers, || link(&lists, Role::Tenant)),
                records: Links::new(RECORDS, || link(&primary, Role::Tenant)),
                operators,
                releases: Together::default(),
                deferrals: Together::default(),
                heralds,
                _closed_when_dropped: closing.clone().drop_guard(),
                closing,
            }),
        })
    }

    /// Finishes the commits that are queued and ends every connection. What is called afterwards, on any clone or handle, fails with
    /// [`Unavailable`](PortErrorKind::Unavailable). Closing twice is not an error.
    pub async fn close(&self) {
        self.shared.writer.close().await;
        self.shared.closing.cancel();
        for link in &self.shared.committing {
            link.close().await;
        }
        self.shared.operators.close().await;
        self.shared.loaders.links.close().await;
        self.shared.readers.close().await;
        self.shared.records.close().await;
    }
}

/// One step of pruning.
async fn pruned(
    shared: &Shared,
    operation: &'static str,
    sql: &'static str,
    before: Timestamp,
    most: u32,
) -> PortResult<Pruned> {
    shared.open(operation)?;
    let most = i64::from(most.max(1));
    let rows = shared.operators.read(operation, sql, &[&before.timestamp_micros(), &most]).await?;
    let row = only(operation, rows)?;
    let columns = read::Columns { operation, row: &row };
    Ok(Pruned { removed: columns.unsigned(0)?, goes_on: columns.get(1)? })
}

impl Shared {
    fn open(&self, operation: &'static str) -> PortResult<()> {
        if self.closing.is_cancelled() { Err(closed(operation)) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(TenantHandle { shared: Arc::clone(&self.shared), scope: scope.clone() })
    }

    fn for_operator(&self, _scope: &OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(OperatorHandle {
            watch: Watch::new(Arc::clone(&self.shared.heralds.here)),
            shared: Arc::clone(&self.shared),
        })
    }

    async fn check(&self) -> PortResult<()> {
        const OPERATION: &str = "store.check";
        self.shared.open(OPERATION)?;
        let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
        let reads_only = only(OPERATION, self.shared.loaders.links.read(OPERATION, sql, &[]).await?)?;
        if column::<bool>(OPERATION, &reads_only, 0)? {
            let message = "the server only reads, as a replica does: name the primary";
            return Err(PortError::new(PortErrorKind::Unavailable, OPERATION, message));
        }
        self.shared.operators.read(OPERATION, "SELECT 1", &[]).await.map(drop)
    }
}

struct TenantHandle {
    shared: Arc<Shared>,
    scope: TenantScope,
}

#[async_trait]
impl TenantStore for TenantHandle {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let tenant = self.scope.tenant();
        commit.check(tenant)?;
        self.shared.writer.commit(tenant, commit).await
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.shared.open("store.load")?;
        self.shared.loaders.load(self.scope.tenant(), *key).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.shared.open("store.query")?;
        read::query(&self.shared.readers, self.scope.tenant(), query).await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.shared.open("store.is_handled")?;
        outbox::is_handled(&self.shared.loaders.links, self.scope.tenant(), entry).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.shared.open("store.history")?;
        read::history(&self.shared.readers, self.scope.tenant(), *key, after, limit).await
    }
}

struct OperatorHandle {
    shared: Arc<Shared>,
    watch: Watch,
}

impl OperatorHandle {
    fn link(&self, operation: &'static str) -> PortResult<&Link> {
        self.shared.open(operation)?;
        Ok(&self.shared.operators)
    }
}

#[async_trait]
impl OperatorStore for OperatorHandle {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        lease::take(self.link("store.take_leases")?, request).await
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        lease::renew(self.link("store.renew_lease")?, lease, until).await
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        self.shared.releases.perform(self.link("store.release_lease")?, || lease.clone()).await
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        let link = self.link("store.defer_lease")?;
        if lease.topic != LeaseTopic::Work {
            return Ok(());
        }
        self.shared.deferrals.perform(link, || Deferral::new(lease, seen, wake_at)).await
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        lease::next_due(self.link("store.next_due")?, kinds).await
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        self.watch.arrived(Due::of(topic, kinds)).await;
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        outbox::unpublished(self.link("store.outbox")?, lease, limit).await
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        outbox::published(self.link("store.outbox_published")?, lease, sequence, without).await
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        outbox::park(self.link("store.outbox_park")?, lease, parking).await
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        outbox::missed(self.link("store.outbox_missed")?, lease, destination, limit).await
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        outbox::caught_up(self.link("store.outbox_caught_up")?, lease, destination, sequence).await
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        outbox::parked(self.link("store.outbox_parked")?, query).await
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        let unparked = outbox::unpark(self.link("store.outbox_unpark")?, which).await?;
        if unparked > 0 {
            self.shared.heralds.announce(Due::of(LeaseTopic::Outbox, &AggregateKind::ALL));
        }
        Ok(unparked)
    }
}
