//! Secrets on real processes: bound, delivered, rotated under load, gone back.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

mod jobs;
mod output;
mod rotation;
mod stage;
mod wire;
