//! A host on a hostile network: what any client can send ends within a bounded time and memory, breaks nothing, and costs others nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod certificates;
mod connections;
mod content;
mod frames;
mod framing;
mod heads;
mod host;
mod tokens;
