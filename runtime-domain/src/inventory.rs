//! The live inventory: which components run in an environment, at which version, and how they are seen to be.
//!
//! ```text
//! (none) ─► Unknown ◄──► Starting ─► Running ◄──► Degraded
//!              ▲  ▲                     ▲  │          ▲
//!              │  └──── too old ────────┼──┼──────────┤
//!              │                        ▼  ▼          ▼
//!              └────── a new version ── Unavailable ◄─┘        every one ─► Retired
//! ```
//!
//! A caller never sets the status: it records what a surface showed, and [`RuntimeService::decide`] derives the status from it.
//!
//! | command | Unknown, Starting, Running, Degraded, Unavailable | Retired |
//! |---|---|---|
//! | Register again, the same | same | LIFECYCLE |
//! | RecordDeployedVersion, the one that is recorded | same | LIFECYCLE |
//! | RecordDeployedVersion, another | yes, to Unknown | LIFECYCLE |
//! | RecordObservation, newer | yes where it shows a difference, or after a [`HEARTBEAT`]; else same | LIFECYCLE |
//! | RecordObservation, older than the last | same | LIFECYCLE |
//! | RecordObservation, older than [`FRESHNESS`] | yes, to Unknown; from Unknown as MarkUnobserved | LIFECYCLE |
//! | MarkUnobserved | yes, to Unknown after [`FRESHNESS`]; noted on the first look and after a [`HEARTBEAT`]; else same | LIFECYCLE |
//! | RetireService | yes | same |
//!
//! *same* means accepted and nothing changes. Evidence of another tenant is refused by SVC-3, of another environment or module by
//! SVC-1; an observation of another component by X-1.
//!
//! | what the newest fresh observation shows | status |
//! |---|---|
//! | as many ready instances as wanted, one of a known version, routed | Running |
//! | a ready instance, but too few, none of a known version, none routed, or trouble | Degraded |
//! | none ready, one starting, and it never was ready since it was Unknown | Starting |
//! | none ready otherwise | Unavailable |
//! | none, or none fresh | Unknown |
//!
//! Invariants, each with the place that keeps it:
//! - **SVC-1** its version is one that a known deployment brought: [`DeployedVersion`](crate::deployment::DeployedVersion) is the only
//!   way to set it. A running revision that no evidence told of is kept as [unmanaged](ServiceInstance::is_managed).
//! - **SVC-2** Running and Degraded need a ready instance: derived in `derive.rs`, checked when a record is loaded.
//! - **SVC-3** the tenant never changes: no event carries one but the first.

mod command;
mod decide;
mod derive;
mod event;
mod evolve;
mod record;
mod refusal;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use crate::time::Span;

pub use command::{InventoryCommand, RegisterService};
pub use event::{InventoryChange, InventoryEvent, ServiceRegistered};
pub use record::RuntimeServiceRecord;
pub use refusal::InventoryRefusal;
pub use state::{
    Degradation, Degraded, DeployedRevision, EndpointBinding, Observed, Retired, RuntimeService,
    RuntimeStatus, ServiceInstance, ServiceState, Unknown, UnknownCause,
};

/// How often an observation that shows nothing new is kept, so that history does not grow with polling; and how soon a service is
/// looked at again.
pub const HEARTBEAT: Span = Span::from_secs(30);

/// How old an observation may be before what it showed counts as unknown: three heartbeats, so that one that failed does no harm.
pub const FRESHNESS: Span = Span::from_secs(90);

/// How many versions are remembered, the present one included: instances of older ones may still be draining.
pub const REMEMBERED_VERSIONS: usize = 8;
