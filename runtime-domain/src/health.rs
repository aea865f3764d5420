//! Health: one immutable record per evaluation of a running service, and what follows from the newest ones.
//!
//! ```text
//! (none) ─► Completed
//! ```
//!
//! | command | Completed |
//! |---|---|
//! | Complete again, the same evaluation | same |
//! | Complete again, another evaluation of the same service and window | HLT-3 |
//! | Amend, Withdraw | HLT-1 |
//!
//! *same* means accepted and nothing changes.
//!
//! Invariants, each with the place that keeps it:
//! - **HLT-1** results are append-only and immutable: no event follows the completion (`evolve.rs`), every command is refused.
//! - **HLT-2** the status is the worst of the entries: computed, never given; checked when a record is loaded.
//! - **HLT-3** one result per service and window: [`Claim::health_window`](crate::claim::Claim::health_window), held for ever.
//!
//! Unknown is a value: without entries there is no result, and without a fresh result [`ServiceHealth`] is Unknown, never Healthy.

mod command;
mod decide;
mod entry;
mod event;
mod evolve;
mod record;
mod refusal;
mod service;
mod state;
#[cfg(test)]
mod tests;

pub use command::{CompleteHealthCheck, HealthCommand};
pub use entry::{
    CheckEntry, CheckEntryError, EvaluationWindow, HealthStatus, LatencyMs, ProbeKind, Requirement,
    WindowError,
};
pub use event::{HealthCheckCompleted, HealthEvent};
pub use record::HealthCheckResultRecord;
pub use refusal::HealthRefusal;
pub use service::{ServiceHealth, UnknownHealth};
pub use state::HealthCheckResult;

/// The most entries of one result: a bound on what a hostile probe plan can make the history hold.
pub const MOST_ENTRIES: usize = 64;
