//! Proptest strategies: `valid_*` for every public value of the domain, `hostile_*` for what must be refused or legal and never panic, and
//! stories, the command sequences of each aggregate.
//!
//! ```
//! use proptest::prelude::*;
//! use runtime_domain::value::Name;
//! use runtime_testkit::strategy::{text::hostile_text, value::valid_name};
//!
//! proptest!(|(name in valid_name(), text in hostile_text())| {
//!     prop_assert_eq!(Name::new(name.as_str()), Ok(name));
//!     if let Ok(name) = Name::new(&text) {
//!         prop_assert_eq!(name.as_str(), text);
//!     }
//! });
//! ```

use proptest::collection::vec;
use proptest::prelude::*;

use crate::plan::Step;

pub mod calendar;
pub mod component;
pub mod configuration;
pub mod deployment;
pub mod drift;
pub mod envelope;
pub mod environment;
pub mod health;
pub mod inventory;
pub mod json;
pub mod rollout;
pub mod scaling;
pub mod secrets;
pub mod surface;
pub mod tenancy;
pub mod text;
pub mod value;

/// A story: something legal first, mostly, then up to `most` steps, with time between them that now and then jumps back.
pub(crate) fn story<P: Clone + std::fmt::Debug + 'static>(
    begin: impl Strategy<Value = P> + 'static,
    plans: impl Strategy<Value = P> + 'static,
    most: usize,
) -> BoxedStrategy<Vec<Step<P>>> {
    let step = (seconds(), plans).prop_map(|(seconds, plan)| Step { seconds, plan });
    (begin, vec(step, 0..=most))
        .prop_map(|(plan, steps)| std::iter::once(Step { seconds: 0, plan }).chain(steps).collect())
        .boxed()
}

/// Mostly nothing or little, often exactly as long as some limit of the domain, and now and then back.
pub(crate) fn seconds() -> impl Strategy<Value = i64> {
    let limits = proptest::sample::select(vec![5_i64, 30, 59, 60, 61, 180, 181, 600, 3_600, 14_400, 86_400]);
    prop_oneof![8 => Just(0_i64), 12 => 1..10_i64, 5 => limits, 3 => 60..600_i64, 2 => -30..0_i64]
}

/// A reason as people and engines write it: mostly legal.
pub(crate) fn reason() -> BoxedStrategy<String> {
    prop_oneof![
        6 => "[a-z]{1,6}",
        1 => Just("  ".to_owned()),
        1 => Just("x".repeat(2_000)),
        1 => Just("x".repeat(2_001)),
        1 => Just("é".repeat(1_001)),
        1 => text::hostile_text(),
    ]
    .boxed()
}
