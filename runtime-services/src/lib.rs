//! The services of Factory Runtime and their reconcilers.
//!
//! A service method loads, gathers evidence, decides and commits; it changes nothing in the world. What is to be done in the world is
//! done by reconcilers, which take what is due, ask the aggregate for its next actions, make the intention durable, carry it out through
//! a port, and record the outcome. After a crash another host takes the lease and asks again.
//!
//! ```text
//!   caller ──► service ──► Commit ──► store ──► lease ──► reconciler ──► port ──► world
//!                                       ▲                     │
//!                                       └──── record ◄────────┘
//!                                       └──► outbox ──► relay ──► bus, and the other contexts of this host
//! ```
//!
//! | to find | look in |
//! |---|---|
//! | what a caller may ask | [`environments`], [`promotion`], [`deployments`], [`configuration`], [`secrets`], [`inventory`], [`health`], [`tenancy`], [`scaling`], [`drift`] |
//! | what happens by itself | `reconcile/` |
//! | which contexts a host runs | [`context`] |
//! | leases, fairness, draining | `worker.rs` |
//! | how a tenant moves into a silo of its own | [`relocation`] |
//! | whether the audit trail is what was written | [`audit`] |
//! | how events leave, who subscribes, what is parked | [`relay`] |
//! | what is kept for a time, and how it goes | [`records`], `upkeep.rs`, `health/recorder.rs` |
//! | whether a host is ready and live | `vitals.rs` |
//! | what a host tells of itself: spans and measurements | `observed.rs` |
//! | what is committed, told as it happens | `feed.rs` |
//! | how a decision becomes a commit, and on which terms of its caller | `unit.rs`, `existing.rs`, [`terms`] |
//! | how a caller's command is done once | `request.rs` |

pub mod audit;
pub mod configuration;
pub mod context;
pub mod deployments;
pub mod drift;
pub mod environments;
pub mod error;
pub mod health;
pub mod host;
pub mod inventory;
pub mod promotion;
pub mod records;
pub mod relay;
pub mod relocation;
pub mod scaling;
pub mod secrets;
pub mod services;
pub mod tenancy;
pub mod terms;

mod events;
mod existing;
mod feed;
mod insist;
mod lane;
mod observed;
mod reconcile;
mod request;
#[cfg(test)]
mod testing;
mod unit;
mod upkeep;
mod vitals;
mod worker;

pub use context::Context;
pub use error::CommandError;
pub use feed::Changed;
pub use host::{Host, HostOptions, Ports};
pub use records::{Records, Retention};
pub use relocation::TenancyPorts;
pub use request::RequestKey;
pub use runtime_ports::manifest;
pub use services::Services;
pub use terms::Terms;
pub use unit::Done;
pub use vitals::{Liveness, Readiness};
