//! Proves the prover, aggregate by aggregate: one that forgets a rule of its own is caught.

#![expect(clippy::unwrap_used, reason = "what is made here is legal, or the test is wrong")]

mod broken;
mod configuration;
mod secrets;
