//! Shows DRF-1, DRF-3.
//! What proves drift is of one observation, comes from no wire, and cannot be made of nothing.

use runtime_domain::drift::{Authoritative, DetectedDrift, InSync};

fn cloned<T: Clone>() {}
fn defaulted<T: Default>() {}
fn deserialised<T: serde::de::DeserializeOwned>() {}

fn main() {
    cloned::<Authoritative<u8>>();
    cloned::<DetectedDrift>();
    cloned::<InSync>();
    defaulted::<Authoritative<u8>>();
    defaulted::<DetectedDrift>();
    defaulted::<InSync>();
    deserialised::<Authoritative<u8>>();
    deserialised::<DetectedDrift>();
    deserialised::<InSync>();
}
