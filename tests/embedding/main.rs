//! What somebody meets who links the library: hosts of some contexts, the examples, the reference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod contexts;
mod custom_surface;
mod examples;
mod guide;
mod host_guide;
mod reference;
mod source;

// The settings of the example `host`, with their tests.
#[allow(dead_code, reason = "the example reads every setting, the tests some")]
#[path = "../../examples/host/configuration.rs"]
mod configuration;

// The example's own rooms, to be tried as an adapter is.
#[path = "../../examples/custom_surface/endpoint.rs"]
mod endpoint;
#[path = "../../examples/custom_surface/instance.rs"]
mod instance;
#[path = "../../examples/custom_surface/surface.rs"]
mod surface;
