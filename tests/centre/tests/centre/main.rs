//! The Runtime Centre, as people use it: a real Chromium before a host with real workloads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so"
)]

mod browser;
mod connection;
mod host;
mod observed;
mod reading;
mod rollouts;
