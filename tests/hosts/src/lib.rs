//! A world outside of the hosts, the surface through which they act on it, and a host's ports.
//!
//! The world keeps what runs, refuses tokens that are older than one it has seen, and records every effect with its identifier, its host
//! and whether it changed anything: what hosts did twice is read from that record, and not from what they say.

mod ports;
mod surface;
mod world;

pub use ports::ports;
pub use surface::WorldSurface;
pub use world::{Performed, Running, World};
