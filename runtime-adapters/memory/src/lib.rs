//! A store and an event bus in this process's memory.
//!
//! | type | port | for |
//! |---|---|---|
//! | [`MemoryStore`] | [`Store`](runtime_ports::store::Store) | tests, simulation, trying things out |
//! | [`InProcessBus`] | [`EventPublisher`](runtime_ports::publisher::EventPublisher) | hosts whose consumers live in the same process: it shows them what is published |
//!
//! # Guarantees
//! - [`MemoryStore`] keeps every guarantee of the store port but durability: what it holds ends with the process.
//! - Equal calls give equal answers: only ordered collections inside, no clock, no randomness, and no method ever waits for another
//!   but [`work_arrived`](runtime_ports::store::OperatorStore::work_arrived). The simulator rests on it.
//! - [`InProcessBus`] never waits for an observer: who lags is told how many events it missed. What must not be missed is handled by a
//!   [subscriber](runtime_ports::subscriber::Subscriber).

mod bus;
mod store;

pub use bus::{InProcessBus, Observation, Observed};
pub use store::MemoryStore;
