//! The canonical event envelope, legal and hostile.

use proptest::option;
use proptest::prelude::*;
use runtime_domain::envelope::{Envelope, EventType, SchemaUri, Source, Subject, TraceParent};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::strategy::json::hostile_json;
use crate::strategy::text::hostile_text;
use crate::strategy::value::{made, valid_aggregate_kind, valid_id, valid_timestamp};

/// The type of an event.
pub fn valid_event_type() -> BoxedStrategy<EventType> {
    ("[A-Z][A-Za-z0-9]{0,30}", 1..=u16::MAX)
        .prop_filter_map("an event type", |(name, version)| EventType::new(&name, version).ok())
        .boxed()
}

/// Which aggregate an event is about.
pub fn valid_subject() -> BoxedStrategy<Subject> {
    (valid_aggregate_kind(), any::<u128>())
        .prop_map(|(kind, id)| Subject { kind, id: Uuid::from_u128(id) })
        .boxed()
}

/// Who raised an event.
pub fn valid_source() -> BoxedStrategy<Source> {
    made("/[a-z0-9._/-]{1,40}", |text| Source::new(text).ok())
}

/// Where a schema is published.
pub fn valid_schema_uri() -> BoxedStrategy<SchemaUri> {
    made("https://[a-z0-9.]{1,20}/[a-zA-Z0-9._/-]{1,40}", |text| SchemaUri::new(text).ok())
}

/// A trace.
pub fn valid_trace_parent() -> BoxedStrategy<TraceParent> {
    made("00-[1-9a-f][0-9a-f]{31}-[1-9a-f][0-9a-f]{15}-0[01]", |text| TraceParent::new(text).ok())
}

/// A whole envelope with this data.
pub fn valid_envelope<D: Clone + std::fmt::Debug + 'static>(
    data: impl Strategy<Value = D> + 'static,
) -> BoxedStrategy<Envelope<D>> {
    let what = (valid_id(), valid_source(), valid_event_type(), valid_timestamp(), valid_subject());
    let whose = (valid_id(), valid_id(), valid_id(), option::of(valid_id()));
    let rest = (option::of(valid_schema_uri()), option::of(valid_trace_parent()), 1..=u64::MAX);
    (what, whose, rest, data)
        .prop_map(|(what, whose, (data_schema, trace_parent, sequence), data)| {
            let (id, source, event_type, time, subject) = what;
            let (tenant, environment, correlation, causation) = whose;
            Envelope {
                id,
                source,
                event_type,
                time,
                subject,
                data_schema,
                tenant,
                environment,
                correlation,
                causation,
                trace_parent,
                sequence,
                data,
            }
        })
        .boxed()
}

/// An envelope's JSON with one attribute missing, wrong, or too many.
pub fn hostile_envelope() -> BoxedStrategy<Value> {
    const NAMES: [&str; 16] = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "tenantid",
        "environmentid",
        "correlationid",
        "causationid",
        "traceparent",
        "sequence",
        "data",
        "data_base64",
    ];
    let name =
        prop_oneof![9 => proptest::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => hostile_text()];
    let legal = valid_envelope(hostile_json())
        .prop_map(|envelope| serde_json::to_value(envelope).unwrap_or_default());
    (legal, name, option::of(hostile_json()))
        .prop_map(|(legal, name, value)| {
            let mut fields = match legal {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
            match value {
                Some(value) => drop(fields.insert(name, value)),
                None => drop(fields.remove(&name)),
            }
            Value::Object(fields)
        })
        .boxed()
}
