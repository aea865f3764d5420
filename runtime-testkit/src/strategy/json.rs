//! Hostile JSON.

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use crate::strategy::text::hostile_text;

/// Any JSON at all: hostile texts, numbers at every edge, wrong shapes, and nesting up to and beyond what a parser takes.
pub fn hostile_json() -> BoxedStrategy<Value> {
    let nested = leaf().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            hash_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    });
    prop_oneof![8 => leaf(), 4 => nested, 1 => (1..200_usize).prop_map(deep)].boxed()
}

fn leaf() -> BoxedStrategy<Value> {
    let edges = prop_oneof![
        Just(0_i64),
        Just(1),
        Just(-1),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(255),
        Just(256),
        Just(65_535),
        Just(65_536),
        Just(4_294_967_295),
        Just(4_294_967_296),
    ];
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => edges.prop_map(Value::from),
        1 => Just(Value::from(u64::MAX)),
        // Fractions that every parser reads exactly: what is written is then what was read.
        1 => any::<i32>().prop_map(|number| {
            Number::from_f64(f64::from(number) / 8.0).map_or(Value::Null, Value::Number)
        }),
        1 => Just(Value::from(1e300)),
        1 => any::<i64>().prop_map(Value::from),
        2 => times().prop_map(Value::from),
        3 => hostile_text().prop_map(Value::from),
        1 => Just(Value::Array(Vec::new())),
        1 => Just(Value::Object(Map::new())),
    ]
    .boxed()
}

/// Points in time at the edges of the calendar.
fn times() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("+262142-12-31T23:59:59.999999999Z"),
        Just("-262143-01-01T00:00:00Z"),
        Just("1970-01-01T00:00:00Z"),
        Just("0000-00-00T00:00:00Z"),
        Just("9999-12-31T23:59:60Z"),
        Just("2027-01-15T08:00:00+14:00"),
    ]
}

/// So many arrays, one in another.
fn deep(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}
