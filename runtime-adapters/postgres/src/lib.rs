//! The shared store: PostgreSQL 15 or later, used by any number of hosts.
//!
//! ```text
//!   commit ──► queue ──► one writer ──► one call for many commits of a tenant ──► one flush
//!   load, query, history ──► kept connections, a call each          (role: one tenant's rows)
//!   leases, outbox       ──► a kept connection, a call each         (role: no state, all tenants)
//!   work_arrived         ◄── LISTEN, for other hosts' commits
//! ```
//!
//! Begin with [`migrate`], run by the schema's owner when a version is installed; then every host opens a [`PostgresStore`] with a login that
//! owns nothing.
//!
//! # Guarantees
//! - Everything that [`Store`](runtime_ports::store::Store) promises. A commit that has returned `Ok` is as durable as the server's
//!   `synchronous_commit` says; it is on (PostgreSQL's default) unless someone turned it off.
//! - **Batched commits**: commits that wait together reach the server as one call per tenant in one transaction, and become durable by one
//!   flush. Several on one aggregate, each expecting what the one before it makes, are one row's update. Where one of a batch is refused, each
//!   is tried alone: a refusal never spoils another's commit.
//! - Health results, snapshots and artifacts (of up to 4 MiB) as their ports promise, on connections of their own, so that they hold up no
//!   decision. Health results lie in a partition for every day, which is dropped whole when it is older than is kept.
//! - **One tenant's rows**: forced row-level security on every table, by the tenant of the handle, set for the one call. The roles that hosts
//!   take on own nothing and cannot bypass it; a store refuses to open where they could.
//! - **A lost connection** is made anew by itself. A read is tried again. Where the answer to a commit is lost, its
//!   session is ended and the commit's events are looked for, so that the answer is exact after all; only where the server stays out of
//!   reach for five seconds is it [`OutcomeUnknown`](runtime_ports::Retry::OutcomeUnknown). Nothing that was begun on a connection is ever
//!   continued on another.
//! - A future that is dropped leaves its commit wholly done or not begun.
//!
//! # Refused when opened
//! A server older than 15, a schema that is missing, older or newer than this version's, a login that is a superuser or may bypass row-level
//! security, one that is not a member of the two roles.
//!
//! # Caveats
//! Statements are prepared on kept connections, so a pooler in between must pool sessions. Time limits are the server's
//! (`statement_timeout`, `lock_timeout`) with a wait for the answer behind them.

mod batch;
mod connection;
mod error;
mod link;
mod listener;
mod migration;
mod options;
mod ordinary;
mod row;
mod store;
mod writer;

pub use migration::migrate;
pub use options::{Password, Passwords, PostgresOptions, Tls};
pub use store::PostgresStore;
