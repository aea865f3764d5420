//! Identifiers and the small value objects that several contexts share.

use proptest::prelude::*;
use runtime_domain::id::{AggregateKind, Id, IdKind};
use runtime_domain::scope::Actor;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Measure, Name, Percent, Replicas, Revision};
use uuid::Uuid;

/// An identifier of any kind.
pub fn valid_id<K: IdKind>() -> BoxedStrategy<Id<K>> {
    prop_oneof![1 => 0..8_u128, 3 => any::<u128>(), 1 => Just(u128::MAX)]
        .prop_map(|number| Id::from_uuid(Uuid::from_u128(number)))
        .boxed()
}

/// A name: a lower-case DNS label of 1 to [`Name::LONGEST`] characters that begins with a letter. Modules and regions are names, too.
pub fn valid_name() -> BoxedStrategy<Name> {
    made("[a-z]([a-z0-9-]{0,38}[a-z0-9])?", |text| Name::new(text).ok())
}

/// Who acts.
pub fn valid_actor() -> BoxedStrategy<Actor> {
    made("[!-~]{1,128}", |text| Actor::new(text).ok())
}

/// A point in time between 1970 and 2100, in whole milliseconds.
pub fn valid_timestamp() -> BoxedStrategy<Timestamp> {
    (0..4_102_444_800_000_u64)
        .prop_map(|millis| Span::from_millis(millis).after(Timestamp::UNIX_EPOCH))
        .boxed()
}

/// A span of time, short ones often.
pub fn valid_span() -> BoxedStrategy<Span> {
    prop_oneof![Just(0_u64), 0..10_000_u64, 0..86_400_000_u64, any::<u64>()]
        .prop_map(Span::from_millis)
        .boxed()
}

/// A number of replicas, small ones often.
pub fn valid_replicas() -> BoxedStrategy<Replicas> {
    prop_oneof![4 => 1..6_u16, 1 => 1..=Replicas::MOST]
        .prop_filter_map("a replica count", |count| Replicas::new(count).ok())
        .boxed()
}

/// A share in whole percent.
pub fn valid_percent() -> BoxedStrategy<Percent> {
    (0..=100_u8).prop_filter_map("a percentage", |percent| Percent::new(percent).ok()).boxed()
}

/// A measured quantity, the ends of its range included.
pub fn valid_measure() -> BoxedStrategy<Measure> {
    prop_oneof![any::<i64>(), -2_000_000..2_000_000_i64, Just(i64::MIN), Just(i64::MAX)]
        .prop_map(Measure::from_micros)
        .boxed()
}

/// A stored revision.
pub fn valid_revision() -> BoxedStrategy<Revision> {
    (1..1_000_000_u64).prop_map(Revision).boxed()
}

/// A kind of aggregate.
pub fn valid_aggregate_kind() -> BoxedStrategy<AggregateKind> {
    proptest::sample::select(AggregateKind::ALL.to_vec()).boxed()
}

/// What `parse` makes of texts that match `pattern`; every one should parse.
pub(crate) fn made<T: std::fmt::Debug + 'static>(
    pattern: &'static str,
    parse: impl Fn(&str) -> Option<T> + 'static,
) -> BoxedStrategy<T> {
    pattern.prop_filter_map(pattern, move |text| parse(&text)).boxed()
}
