//! Health: immutable results of evaluations, and what follows from them for a service and for a product.
//!
//! A result is recorded once and never changed. What a reader gets is never a result alone but a view of it that knows how old
//! it is: an absent or stale result is Unknown, not Healthy.
//!
//! One result does not make a verdict: what is believed of a service changes only after several in a row ([`Verdict`]), and
//! [`HealthDegraded`](HealthEvent::HealthDegraded) tells that the verdict is worse.
//!
//! Invariants, each with the place that keeps it:
//! - **HLT-1** (type): results are append-only and immutable: there is no command on an existing result, and a second
//!   [`HealthCheckCompleted`](HealthEvent::HealthCheckCompleted) does not apply to it (`evolve.rs`).
//! - **HLT-2** (type, check): the status is the worst of the entries: computed in `state.rs`, never given; checked again when the event is applied
//!   and when a record is loaded.
//! - **HLT-3** (claim): one service and one window: [`Claim::health_window`](crate::claim::Claim::health_window), held for ever, and
//!   [`EvaluationWindow`], which cannot be empty.

mod command;
mod decide;
mod event;
mod evolve;
mod record;
mod refusal;
mod state;
#[cfg(test)]
mod tests;
mod verdict;
mod view;

pub use command::RecordHealthCheck;
pub use event::{Completed as HealthCheckCompleted, HealthEvent};
pub use record::HealthCheckResultRecord;
pub use refusal::{EntryFault, HealthRefusal};
pub use state::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthStatus, LatencyMs, ProbeKind, WindowError,
};
pub use verdict::{Thresholds, Verdict};
pub use view::{HealthReason, ProductHealth, ProductStatus, ServiceHealth};
