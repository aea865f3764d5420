//! The operations over real HTTP, on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod client;
mod contract;
mod events;
mod server;
mod world;
