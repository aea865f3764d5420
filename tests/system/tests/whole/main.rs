//! The whole at work: the rules that callers meet, and bad input.
//!
//! Bad input: each is told clearly, harms nothing that is stored or serves, and does not stand in the way of good input afterwards.
//!
//! Every test begins with version 1.0.0 serving. Where bad input is refused or rolled back, it ends with `Bench::is_unharmed`: 1.0.0
//! still answers, nothing is left in flight, and a good release goes through.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

mod audit;
mod bench;
mod configuration;
mod drift;
mod environments;
mod health;
mod images;
mod machine;
mod manifests;
mod rollouts;
mod rules;
mod tenancy;
mod workloads;
