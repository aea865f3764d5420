//! The embedded store: one SQLite file, owned by one process.
//!
//! ```text
//!   commit, leases, outbox ──► queue ──► one writer thread ──► one transaction for many commits ──► one flush
//!   load, query, history   ─────────────► a few readers, which never wait for the writer
//! ```
//!
//! # Guarantees
//! - Everything that [`Store`](runtime_ports::store::Store) promises. A commit that has returned `Ok` survives a crash of the process, and
//!   with [`Durability::Full`] (the default) one of the machine.
//! - Health results, snapshots and artifacts (of up to 4 MiB) in the same file, as their ports promise. An observation that shows what was
//!   seen before never reaches the writer.
//! - **Group commit**: commits that wait together become durable by one flush. Each is judged before it writes, so a refused one does not
//!   spoil the others, and is answered only after the flush.
//! - **Fair leases**, as X-9 says: a share for every tenant before anybody's second share, who was served longest ago first. What a call costs grows with
//!   what it gives and with the tenants who have something due, not with anybody's backlog.
//! - **One owner**: a second process that opens the file is refused, by a lock file beside it that the operating system releases when its
//!   holder dies. Nothing has to be removed by hand after a crash.
//! - **A full disk** refuses the commit with [`Exhausted`](runtime_ports::PortErrorKind::Exhausted), leaves the state as it was and the
//!   store usable.
//! - A future that is dropped leaves its commit wholly done or not begun.
//!
//! # Refused when opened
//! SQLite older than 3.51.3 (it can damage a database in WAL mode), a file that is not ours, one written by a newer version.
//!
//! # Caveats
//! Not for network file systems: neither their locks nor their flushes can be relied on.

mod connection;
mod error;
mod lock;
mod options;
mod readers;
mod store;
mod writer;

pub use options::{Durability, SqliteOptions};
pub use store::{IntegrityDepth, IntegrityFinding, IntegrityReport, IntegrityRule, SqliteStore};
