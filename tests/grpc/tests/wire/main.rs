//! The gRPC contract against the catalogue, and whole calls by clients that know it by reflection or by generated code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod both;
mod callers;
mod calls;
mod client;
mod contract;
mod world;

/// A client as it is generated from the contract.
mod typed {
    #![allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        missing_docs,
        unused_qualifications,
        reason = "it is generated"
    )]
    include!(concat!(env!("OUT_DIR"), "/factory.runtime.v1.rs"));
}
