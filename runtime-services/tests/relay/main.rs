//! The relay at work: what it promises of order, loss, repetition and load, with hosts that die, a bus that fails and subscribers that fail.
//!
//! Time is the paused clock of tokio: it moves on when nobody has anything to do, so that hours pass at once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so; a long one says what it found"
)]

mod load;
mod outage;
mod parking;
mod proof;
mod world;
