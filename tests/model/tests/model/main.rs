//! The protocol of leases, fences, commits and the outbox, searched exhaustively at small sizes, and played on real stores.
//!
//! `MODEL=whole` searches larger sizes, and plays a path to every state: some minutes, optimised.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first fault, and says how much it searched"
)]

mod guards;
mod replay;
mod search;

use factory_runtime_model::{Guards, Protocol};

/// Two hosts, one clock a tick ahead, two jobs: takeovers, late effects, and a newer job whose effect an older one could replace.
fn work() -> Protocol {
    Protocol { clocks: vec![0, 1], jobs: 2, leases: 3, messages: 2, is_relayed: false, guards: Guards::ALL }
}

/// Two hosts, one job, and its three events relayed beside it.
fn relayed() -> Protocol {
    Protocol { jobs: 1, leases: 3, messages: 1, is_relayed: true, ..work() }
}

/// Whether the long form was asked for.
fn is_whole() -> bool {
    std::env::var("MODEL").is_ok_and(|size| size == "whole")
}
