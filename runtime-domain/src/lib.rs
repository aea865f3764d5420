//! The functional core of Factory Runtime.
//!
//! Everything here is a value or a pure function: no async, no I/O, no clock, no randomness, no logging.
//! Time and identifiers come in as arguments; what should happen in the world goes out as data.
//!
//! Each bounded context is a module of the same shape. An aggregate is changed in one way only:
//! a command is *decided* against the present state, which gives events or a refusal, and the events
//! *evolve* the state. So every command can be previewed for free, and replaying an aggregate's history
//! gives its state.
//!
//! | to find | look in |
//! |---|---|
//! | a context's rules | `<context>/decide.rs` |
//! | what a context stores, and what loading re-checks | `<context>/record.rs` |
//! | facts one aggregate proves to another | `<context>/evidence.rs` |
//! | how a release moves through the world | [`rollout`] |
//! | the vocabulary shared by all contexts | [`id`], [`scope`], [`time`], [`value`], [`component`] |
#![no_std]

extern crate alloc;

pub mod aggregate;
pub mod calendar;
pub mod claim;
pub mod component;
pub mod configuration;
pub mod deployment;
pub mod drift;
pub mod envelope;
pub mod environment;
pub mod health;
pub mod id;
pub mod inventory;
pub mod metric;
#[doc(hidden)]
pub mod museum;
pub mod promotion;
mod reason;
pub mod refusal;
pub mod rollout;
pub mod scaling;
pub mod schedule;
#[cfg(feature = "schema")]
pub mod schema;
pub mod scope;
pub mod secrets;
pub mod surface;
pub mod tenancy;
#[cfg(test)]
mod testing;
pub mod time;
pub mod value;
