//! A host under load: what it keeps does not grow, a thousand who follow are all told, and it stops without losing what it was asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod client;
mod here;
mod idle;
mod memory;
mod process;
mod stop;
mod streams;
