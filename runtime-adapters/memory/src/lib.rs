//! Stores and an event bus in this process's memory.
//!
//! | type | port | for |
//! |---|---|---|
//! | [`MemoryStore`] | [`Store`](runtime_ports::store::Store) | tests, simulation, trying things out |
//! | [`MemoryHealthResults`] | [`HealthResultStore`](runtime_ports::health_results::HealthResultStore) | the same |
//! | [`MemorySnapshots`] | [`SnapshotStore`](runtime_ports::snapshots::SnapshotStore) | the same |
//! | [`MemoryArtifacts`] | [`ArtifactStore`](runtime_ports::artifacts::ArtifactStore) | the same |
//! | [`InProcessBus`] | [`EventPublisher`](runtime_ports::publisher::EventPublisher) | hosts whose consumers live in the same process: it shows them what is published |
//!
//! # Guarantees
//! - Every store keeps every guarantee of its port but durability: what it holds ends with the process.
//! - Equal calls give equal answers: only ordered collections inside, no clock, no randomness, and no method ever waits for another
//!   but [`work_arrived`](runtime_ports::store::OperatorStore::work_arrived). The simulator rests on it.
//! - [`InProcessBus`] never waits for an observer: who lags is told how many events it missed. What must not be missed is handled by a
//!   [subscriber](runtime_ports::subscriber::Subscriber).

mod artifacts;
mod bus;
mod health_results;
mod snapshots;
mod store;

pub use artifacts::MemoryArtifacts;
pub use bus::{InProcessBus, Observation, Observed};
pub use health_results::MemoryHealthResults;
pub use snapshots::MemorySnapshots;
pub use store::MemoryStore;

/// The failure of a store that was left half changed.
pub(crate) fn poisoned(operation: &'static str) -> runtime_ports::PortError {
    let message = "a thread panicked while it changed the store: make a new one";
    runtime_ports::PortError::new(runtime_ports::PortErrorKind::Internal, operation, message)
}
