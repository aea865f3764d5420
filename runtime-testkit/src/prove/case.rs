//! One case: a story, and ways to spoil what was stored of it.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use crate::plan::Step;
use crate::prove::Provable;
use crate::prove::spoil::{Spoil, spoils};
use crate::strategy::json::hostile_json;

/// All that one case plays.
#[derive(Debug, Clone)]
pub(super) struct Case<P> {
    pub(super) steps: Vec<Step<P>>,
    /// Done to the stored form at the end of the story, one at a time.
    pub(super) spoils: Vec<Spoil>,
    /// Read as a record and as an event.
    pub(super) junk: Value,
}

pub(super) fn cases<A: Provable>() -> BoxedStrategy<Case<A::Plan>> {
    (A::stories(), vec(spoils(), 1..4), hostile_json())
        .prop_map(|(steps, spoils, junk)| Case { steps, spoils, junk })
        .boxed()
}
