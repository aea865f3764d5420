//! What users run against their own adapters, in their own CI.
//!
//! ```
//! # async fn example() {
//! use runtime_memory::MemoryStore;
//! use runtime_ports::PortResult;
//! use runtime_testkit::conformance::{self, StoreCapabilities, StoreFactory};
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl StoreFactory for Memory {
//!     type Store = MemoryStore;
//!     async fn fresh(&self) -> PortResult<MemoryStore> {
//!         Ok(MemoryStore::new())
//!     }
//!     // Neither of these is called without the capability.
//!     async fn reopen(&self, store: MemoryStore) -> PortResult<MemoryStore> {
//!         Ok(store)
//!     }
//!     async fn beside(&self, store: &MemoryStore) -> PortResult<MemoryStore> {
//!         Ok(store.clone())
//!     }
//! }
//!
//! conformance::store(Memory, StoreCapabilities::new()).await.assert_passed();
//! # }
//! ```
//!
//! | module | what it offers |
//! |---|---|
//! | [`conformance`] | one suite of named trials per port |
//! | [`canary`] | a known secret, looked for wherever no secret may be |
//! | [`faults`] | every port, failing on purpose at the call of your choice |
//! | [`prove()`](fn@prove) | the property suite of each aggregate, in one line |
//! | [`strategy`] | proptest strategies for every public value, legal and hostile |
//! | [`model`] | independent reference models of the aggregates |
//! | [`plan`] | what stories ask, as plain data |
//! | [`world`] | surfaces, vaults and engines in memory, which record what is done to them |
//! | [`sample`] | identifiers, scopes, times and commits for tests |

pub mod canary;
pub mod conformance;
mod dice;
pub mod faults;
#[cfg(feature = "proptest1")]
pub mod model;
#[cfg(feature = "proptest1")]
pub mod plan;
#[cfg(feature = "proptest1")]
pub mod prove;
pub mod sample;
#[cfg(feature = "proptest1")]
pub mod strategy;
pub mod world;

#[cfg(feature = "proptest1")]
pub use prove::{Cases, prove};
