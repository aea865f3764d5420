//! The operating system as [`Clock`](runtime_ports::clock::Clock) and as source of identifiers.
//!
//! These are the only two places of the library that ask the machine for the time or for randomness; everything else is told.
//!
//! - [`SystemClock`]: UTC in whole microseconds, and waits that notice when the wall clock is set.
//! - [`UuidV7Generator`]: UUIDs of version 7, which sort by the time they were made.

mod clock;
mod identifier;

pub use crate::clock::SystemClock;
pub use crate::identifier::UuidV7Generator;
