//! Tokens and certificates that must be refused, and those that must not; keys that rotate, and issuers that misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod certificates;
mod conformance;
mod issuers;
mod keys;
mod misconfigured;
mod properties;
mod provider;
mod rotation;
mod tokens;
mod world;
