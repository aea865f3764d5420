//! What a host offers from outside, asked as a wire would ask it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod authorisation;
mod commands;
mod description;
mod world;
