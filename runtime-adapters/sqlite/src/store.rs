//! The store, and its handles for tenants and operators.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::retention::Pruned;
use runtime_ports::store::{
    AggregateKey, Arrivals, Commit, CommitError, CommitReceipt, Due, HistoryEntry, InboxEntry, Lease,
    LeaseError, LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream, Parking,
    Query, Store, StoredAggregate, TenantStore, Unpark, Watch,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::connection::open_writer;
use crate::error::During;
use crate::lock::OwnerLock;
use crate::options::SqliteOptions;
use crate::readers::Readers;
use crate::writer::{Flush, Writer};

mod artifacts;
mod commit;
mod health_results;
mod integrity;
mod lease;
mod outbox;
mod read;
mod row;
mod snapshots;
mod turn;

use commit::Prepared;
pub use integrity::{IntegrityDepth, IntegrityFinding, IntegrityReport, IntegrityRule};
use turn::Turns;

/// A store in one SQLite file. Clones are the same store.
///
/// Its methods need a tokio runtime. Dropping the last clone and handle finishes the queued commits, waits for them and lets go of the
/// file; [`SqliteStore::close`] does so without blocking the thread.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    options: SqliteOptions,
    readers: Readers,
    writer: Writer,
    arrivals: Arc<Arrivals>,
    turns: Arc<Turns>,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, which is created where it is absent, with the default options. Its folder must exist.
    ///
    /// It blocks while it opens the file and brings the schema up to date: call it once, when the host starts.
    ///
    /// # Errors
    /// - [`Unavailable`](PortErrorKind::Unavailable): another store, of this process or another, has the file open.
    /// - [`Unsupported`](PortErrorKind::Unsupported): a newer version wrote it, or SQLite is older than 3.51.3.
    /// - [`Invalid`](PortErrorKind::Invalid): it is another application's database.
    /// - [`Corrupt`](PortErrorKind::Corrupt): it is damaged, or no database at all.
    /// - [`Denied`](PortErrorKind::Denied), [`Exhausted`](PortErrorKind::Exhausted): the system refused.
    pub fn open(path: impl AsRef<Path>) -> PortResult<Self> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// As [`SqliteStore::open`], with other options.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> PortResult<Self> {
        let (lock, path) = OwnerLock::acquire(path.as_ref())?;
        let connection = open_writer(&path, &options)?;
        let readers = Readers::new(path.clone(), options.clone());
        let turns = Arc::new(Turns::default());
        let kept = Arc::clone(&turns);
        let writer = Writer::start(connection, options.durability, lock, move || kept.forget())?;
        let shared = Shared { path, options, readers, writer, arrivals: Arc::default(), turns };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Finishes the commits that are queued, closes the file and lets go of it: it can be opened again. What is called afterwards, on any
    /// clone or handle, fails with [`Unavailable`](PortErrorKind::Unavailable). Closing twice is not an error.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        self.shared.writer.close().await;
    }

    /// Looks whether the file is whole, and whether what must hold of its rows does, as of one moment, while the store is in use. It reads the
    /// whole file, with one of the readers.
    ///
    /// # Errors
    /// [`Corrupt`](PortErrorKind::Corrupt) where the file is too damaged to look; [`Unavailable`](PortErrorKind::Unavailable) where it cannot be
    /// read, or the store is closed. What is found is no error.
    pub async fn check_integrity(&self, depth: IntegrityDepth) -> PortResult<IntegrityReport> {
        let check = move |connection: &rusqlite::Connection| integrity::check(connection, depth);
        self.shared.readers.read("store.check_integrity", check).await
    }

    /// Writes a copy of the store, as of one moment, to a new file, while the store is in use. The copy appears complete or not at all, and
    /// can be opened as a store.
    ///
    /// # Errors
    /// - [`Invalid`](PortErrorKind::Invalid): `destination` exists.
    /// - [`Exhausted`](PortErrorKind::Exhausted), [`Denied`](PortErrorKind::Denied), [`Unavailable`](PortErrorKind::Unavailable): the file
    ///   could not be written, or the store is closed.
    pub async fn backup(&self, destination: impl AsRef<Path>) -> PortResult<()> {
        const OPERATION: &str = "store.backup";
        let (path, options) = (self.shared.path.clone(), self.shared.options.clone());
        let destination = destination.as_ref().to_owned();
        let copy = move || {
            let refused = |kind, message: &str| Err(PortError::new(kind, OPERATION, message));
            if destination.exists() {
                return refused(PortErrorKind::Invalid, "the destination exists: name a new file");
            }
            let mut partial = destination.clone().into_os_string();
            partial.push(".partial");
            let partial = PathBuf::from(partial);
            let Some(text) = partial.to_str() else {
                return refused(
                    PortErrorKind::Invalid,
                    "the destination's name is not UTF-8: choose another",
                );
            };
            // What an interrupted backup left: SQLite would refuse to write over it.
            if partial.exists() {
                std::fs::remove_file(&partial).map_err(not_written)?;
            }
            // A connection of its own: `query_only` would refuse the copy too.
            let connection = rusqlite::Connection::open_with_flags(
                &path,
                rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )
            .during(OPERATION)?;
            connection.busy_timeout(options.busy_timeout.to_std()).during(OPERATION)?;
            connection.execute("VACUUM INTO ?1", [text]).during(OPERATION)?;
            std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(not_written)?;
            std::fs::rename(&partial, &destination).map_err(not_written)
        };
        // Through the readers, so that closing the store waits for the backup.
        self.shared.readers.read(OPERATION, move |_| copy()).await
    }
}

/// What a step of pruning came to: `left` asks whether anything older is left.
fn pruned(
    connection: &rusqlite::Connection,
    operation: &'static str,
    removed: rusqlite::Result<usize>,
    left: &str,
    before: Timestamp,
) -> PortResult<Pruned> {
    let removed = removed.during(operation)?;
    let goes_on = row::statement(connection, left)
        .and_then(|mut statement| statement.query_row([before.timestamp_micros()], |row| row.get(0)))
        .during(operation)?;
    Ok(Pruned { removed: u64::try_from(removed).unwrap_or(u64::MAX), goes_on })
}

fn not_written(error: std::io::Error) -> PortError {
    let message =
        "the backup could not be written: check the destination's folder, its rights and free space";
    PortError::new(PortErrorKind::Unavailable, "store.backup", message).caused_by(error)
}

#[async_trait]
impl Store for SqliteStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        Box::new(TenantHandle { shared: Arc::clone(&self.shared), scope: scope.clone() })
    }

    fn for_operator(&self, _scope: &OperatorScope) -> Box<dyn OperatorStore> {
        Box::new(OperatorHandle {
            watch: Watch::new(Arc::clone(&self.shared.arrivals)),
            shared: Arc::clone(&self.shared),
        })
    }

    async fn check(&self) -> PortResult<()> {
        const OPERATION: &str = "store.check";
        let read = |connection: &rusqlite::Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).during(OPERATION)
        };
        let version = self.shared.readers.read(OPERATION, read).await?;
        // Writing the number that is there is a real write: it fails where a commit would for want of a disk.
        let write = move |connection: &rusqlite::Connection| {
            connection.pragma_update(None, "user_version", version).during(OPERATION)
        };
        self.shared.writer.write(OPERATION, Flush::AsAsked, write).await
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
        let announcement = AnnounceWhenDropped(Due::by(&commit), Arc::clone(&self.shared.arrivals));
        let (turns, prepared) = (Arc::clone(&self.shared.turns), Prepared::new(commit));
        let work = move |connection: &rusqlite::Connection| {
            // Moved into the task, it is dropped after the commit is durable, even where nobody waits for the answer any more.
            let _ = &announcement;
            commit::perform(connection, &turns, tenant, &prepared)
        };
        self.shared.writer.write("store.commit", Flush::AsAsked, work).await
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        let (tenant, key) = (self.scope.tenant(), *key);
        self.shared.readers.read("store.load", move |connection| read::load(connection, tenant, key)).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        let (tenant, query) = (self.scope.tenant(), query.clone());
        self.shared
            .readers
            .read("store.query", move |connection| read::query(connection, tenant, &query))
            .await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        let (tenant, entry) = (self.scope.tenant(), entry.clone());
        let read = move |connection: &rusqlite::Connection| outbox::is_handled(connection, tenant, &entry);
        self.shared.readers.read("store.is_handled", read).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        let (tenant, key) = (self.scope.tenant(), *key);
        let read =
            move |connection: &rusqlite::Connection| read::history(connection, tenant, key, after, limit);
        self.shared.readers.read("store.history", read).await
    }
}

/// Wakes the workers when the task that owns it is over. Waking for a refused commit costs them one look.
struct AnnounceWhenDropped(Due, Arc<Arrivals>);

impl Drop for AnnounceWhenDropped {
    fn drop(&mut self) {
        self.1.announce(self.0);
    }
}

struct OperatorHandle {
    shared: Arc<Shared>,
    watch: Watch,
}

impl OperatorHandle {
    fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.shared.turns)
    }
}

#[async_trait]
impl OperatorStore for OperatorHandle {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        if self.shared.turns.nothing_waits(request) && !self.shared.writer.is_closed() {
            return Ok(Vec::new());
        }
        let take = |flush| {
            let (request, turns) = (request.clone(), self.turns());
            let work =
                move |connection: &rusqlite::Connection| lease::take(connection, &turns, &request, flush);
            self.shared.writer.write("store.take_leases", flush, work)
        };
        match take(Flush::Later).await? {
            Some(leases) => Ok(leases),
            None => take(Flush::Always).await.map(Option::unwrap_or_default),
        }
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        let (lease, turns) = (lease.clone(), self.turns());
        let work = move |connection: &rusqlite::Connection| lease::renew(connection, &turns, &lease, until);
        self.shared.writer.write("store.renew_lease", Flush::Later, work).await
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        let (lease, turns) = (lease.clone(), self.turns());
        let work = move |connection: &rusqlite::Connection| lease::release(connection, &turns, &lease);
        self.shared.writer.write("store.release_lease", Flush::Later, work).await
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        let (lease, turns) = (lease.clone(), self.turns());
        let work =
            move |connection: &rusqlite::Connection| lease::defer(connection, &turns, &lease, seen, wake_at);
        self.shared.writer.write("store.defer_lease", Flush::Later, work).await
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        let kinds = kinds.to_vec();
        self.shared
            .readers
            .read("store.next_due", move |connection| lease::next_due(connection, &kinds))
            .await
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        self.watch.arrived(Due::of(topic, kinds)).await;
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        let lease = lease.clone();
        self.shared
            .readers
            .read("store.outbox", move |connection| outbox::unpublished(connection, &lease, limit))
            .await
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        let (lease, turns, without) = (lease.clone(), self.turns(), without.clone());
        let work = move |connection: &rusqlite::Connection| {
            outbox::published(connection, &turns, &lease, sequence, &without)
        };
        self.shared.writer.write("store.outbox_published", Flush::Later, work).await
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        let (lease, parking, turns) = (lease.clone(), parking.clone(), self.turns());
        let work =
            move |connection: &rusqlite::Connection| outbox::park(connection, &turns, &lease, &parking);
        self.shared.writer.write("store.outbox_park", Flush::AsAsked, work).await
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        let (lease, destination) = (lease.clone(), destination.clone());
        let read =
            move |connection: &rusqlite::Connection| outbox::missed(connection, &lease, &destination, limit);
        self.shared.readers.read("store.outbox_missed", read).await
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        let (lease, destination, turns) = (lease.clone(), destination.clone(), self.turns());
        let work = move |connection: &rusqlite::Connection| {
            outbox::caught_up(connection, &turns, &lease, &destination, sequence)
        };
        self.shared.writer.write("store.outbox_caught_up", Flush::Later, work).await
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        let query = query.clone();
        let read = move |connection: &rusqlite::Connection| outbox::parked(connection, &query);
        self.shared.readers.read("store.outbox_parked", read).await
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        let (which, turns) = (which.clone(), self.turns());
        let work = move |connection: &rusqlite::Connection| outbox::unpark(connection, &turns, &which);
        let unparked = self.shared.writer.write("store.outbox_unpark", Flush::AsAsked, work).await?;
        if unparked > 0 {
            self.shared.arrivals.announce(Due::of(LeaseTopic::Outbox, &AggregateKind::ALL));
        }
        Ok(unparked)
    }
}
