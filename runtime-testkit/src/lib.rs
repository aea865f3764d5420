//! What users run against their own adapters, in their own CI.
//!
//! ```
//! # async fn example() {
//! use runtime_memory::MemoryStore;
//! use runtime_ports::PortResult;
//! use runtime_testkit::conformance::{self, Persistence, StoreFactory};
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl StoreFactory for Memory {
//!     type Store = MemoryStore;
//!     fn persistence(&self) -> Persistence {
//!         Persistence::Volatile
//!     }
//!     async fn fresh(&self) -> PortResult<MemoryStore> {
//!         Ok(MemoryStore::new())
//!     }
//!     async fn reopen(&self, store: MemoryStore) -> PortResult<MemoryStore> {
//!         Ok(store)
//!     }
//! }
//!
//! conformance::store(Memory).await.assert_passed();
//! # }
//! ```
//!
//! | module | what it offers |
//! |---|---|
//! | [`conformance`] | one suite of named trials per port |
//! | [`sample`] | identifiers, scopes, times and commits for tests |

pub mod conformance;
pub mod sample;
