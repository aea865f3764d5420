//! The live inventory: which instances of each component exist, at which version, on which surface, for which tenant.
//!
//! ```text
//! registered ─► starting ─► running ◄─► degraded ◄─► unavailable
//!                   │           └───────────┴────────────┘
//!                   └─► unknown ◄── nothing seen for too long (from any of them, and back)
//!                          any of them ─► retired ─► starting, where a later deployment brings it again
//! ```
//!
//! Nobody sets a status: it is concluded from what a surface showed, and from silence only ever *unknown* is concluded.
//!
//! | command | Starting, Running, Degraded, Unavailable | Unknown | Retired |
//! |---|---|---|---|
//! | RecordDeployedVersion | yes | yes | another version begins it anew |
//! | RecordObservation | yes | yes | ignored |
//! | MarkUnobserved | yes | same | ignored |
//! | RetireService | yes | yes | same |
//!
//! *same* means accepted and nothing changes; *ignored* means that a late report changes nothing.
//!
//! Invariants, each with the place that keeps it:
//! - **SVC-1** (evidence): the version is one that a deployment brought: registering and recording consume a
//!   [`DeployedVersion`](crate::deployment::DeployedVersion), which only a deployment hands out.
//! - **SVC-2** (type, check): never Running without a ready instance: concluded in `state.rs`, checked again when the event is applied and when a
//!   record is loaded.
//! - **SVC-3** (check): the tenant never changes: no event carries another one, and foreign evidence is refused in `decide.rs`.
//! - One record per environment and module: [`Claim::service`](crate::claim::Claim::service), held until it is retired; its
//!   identifier follows from both, so that secrets and policies can name it before its first deployment (X-3).

mod command;
mod decide;
mod event;
mod evolve;
mod record;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use command::{InventoryCommand, RegisterService};
pub use event::{InventoryEvent, InventoryUpdate, Registered};
pub use record::RuntimeServiceRecord;
pub use refusal::InventoryRefusal;
pub use state::{
    Degraded, EndpointBinding, FRESHNESS, HEARTBEAT, RecordedVersion, Retired, Running, RuntimeService,
    RuntimeStatus, ServiceInstance, ServiceState, Snapshot, Starting, Unavailable, Unknown,
};
