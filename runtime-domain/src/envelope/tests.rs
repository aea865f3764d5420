//! The structured JSON mode, by the shape of its specification's examples.

mod binary;
mod format;

use alloc::format;
use alloc::string::{String, ToString};

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::health::{HealthEvent, HealthStatus};
use crate::id::{AggregateKind, ServiceId};
use crate::inventory::InventoryEvent;

const ID: &str = "00000000000000000000000000000007";

fn structured() -> Value {
    json!({
        "specversion": "1.0",
        "type": "factory.runtime.RuntimeDeploymentCompleted.v1",
        "source": "/runtime/hosts/west-1",
        "subject": format!("RuntimeDeployment/{ID}"),
        "id": format!("evt_{ID}"),
        "time": "2026-11-02T09:30:00Z",
        "datacontenttype": "application/json",
        "dataschema": "https://schemas.example/runtime-deployment-completed.v1.json",
        "tenantid": format!("ten_{ID}"),
        "environmentid": format!("env_{ID}"),
        "correlationid": format!("cor_{ID}"),
        "causationid": format!("evt_{ID}"),
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "sequence": "00000000000000000012",
        "data": { "appinfoA": "abc", "appinfoB": 123, "appinfoC": true },
    })
}

fn with(attribute: &str, value: Value) -> Value {
    let mut envelope = structured();
    envelope[attribute] = value;
    envelope
}

fn without(attribute: &str) -> Value {
    let mut envelope = structured();
    envelope.as_object_mut().unwrap().remove(attribute);
    envelope
}

fn read(envelope: Value) -> Result<Envelope<Value>, EnvelopeError> {
    let text = envelope.to_string();
    Envelope::try_from(serde_json::from_str::<UncheckedEnvelope<Value>>(&text).unwrap())
}

/// Shows X-14.
#[test]
fn an_envelope_in_the_structured_mode_is_read_and_written_back_the_same() {
    let envelope = read(structured()).unwrap();
    assert_eq!(envelope.event_type, EventType::new("RuntimeDeploymentCompleted", 1).unwrap());
    assert_eq!(envelope.subject.kind, AggregateKind::RuntimeDeployment);
    assert_eq!(envelope.sequence, 12);
    assert_eq!(serde_json::to_value(&envelope).unwrap(), structured());
}

#[test]
fn every_attribute_name_that_is_written_is_legal() {
    let written = serde_json::to_value(read(structured()).unwrap()).unwrap();
    for name in written.as_object().unwrap().keys() {
        assert!(attribute::is_attribute_name(name), "{name}");
        assert!(name.len() <= 20, "{name} is longer than CloudEvents advises");
    }
}

#[test]
fn what_is_optional_may_be_absent_or_null_and_is_then_not_written() {
    for attribute in ["dataschema", "causationid", "traceparent"] {
        let absent = read(without(attribute)).unwrap();
        assert_eq!(read(with(attribute, Value::Null)), Ok(absent.clone()));
        assert_eq!(serde_json::to_value(&absent).unwrap(), without(attribute));
    }
    assert!(read(without("datacontenttype")).is_ok());
}

/// Shows X-14.
#[test]
fn what_is_required_may_be_neither_absent_nor_null() {
    for attribute in [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "tenantid",
        "environmentid",
        "correlationid",
        "sequence",
        "data",
    ] {
        let missing = Err(EnvelopeError::Missing { attribute });
        assert_eq!(read(without(attribute)), missing);
        assert_eq!(read(with(attribute, Value::Null)), missing);
    }
}

#[test]
fn attributes_that_are_not_known_are_passed_over_where_their_names_are_legal() {
    let known = read(structured()).unwrap();
    for (name, value) in
        [("comexampleextension1", json!("value")), ("comexampleothervalue", json!(5)), ("flag2", json!(true))]
    {
        assert_eq!(read(with(name, value)), Ok(known.clone()));
    }
    for name in ["comExample", "com_example", "com-example", "com.example", "", "ünknown"] {
        assert!(matches!(read(with(name, json!("value"))), Err(EnvelopeError::IllegalName(_))), "{name}");
    }
}

#[test]
fn hostile_values_are_refused_with_their_attribute_named() {
    for (attribute, value) in [
        ("id", "evt_7"),
        ("id", "dep_00000000000000000000000000000007"),
        ("source", ""),
        ("source", "with space"),
        ("source", "/bad%zzescape"),
        ("source", "/line\nbreak"),
        ("type", "factory.runtime.RuntimeDeploymentCompleted"),
        ("type", "factory.runtime.RuntimeDeploymentCompleted.v0"),
        ("type", "factory.runtime.RuntimeDeploymentCompleted.v01"),
        ("type", "factory.runtime.RuntimeDeploymentCompleted.v70000"),
        ("type", "factory.runtime.lower.v1"),
        ("type", "com.example.Event.v1"),
        ("subject", "RuntimeDeployment"),
        ("subject", "Nothing/00000000000000000000000000000007"),
        ("subject", "RuntimeDeployment/../x"),
        ("time", "yesterday"),
        ("time", "2026-13-02T09:30:00Z"),
        ("time", "2026-11-02T09:30:00"),
        ("time", "9999-12-31T23:59:59-23:59"),
        ("datacontenttype", "text/xml"),
        ("dataschema", "relative/schema.json"),
        ("tenantid", "env_00000000000000000000000000000007"),
        ("environmentid", ""),
        ("correlationid", "cor_"),
        ("causationid", "x"),
        ("traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
        ("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
        ("traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"),
        ("sequence", "0"),
        ("sequence", "-1"),
        ("sequence", "+1"),
        ("sequence", "000"),
        ("sequence", "0x7"),
        ("sequence", "18446744073709551616"),
    ] {
        let refused = read(with(attribute, json!(value)));
        let named =
            matches!(&refused, Err(EnvelopeError::Illegal { attribute: named, .. }) if *named == attribute);
        assert!(named, "{attribute} = {value}: {refused:?}");
    }
}

#[test]
fn another_version_of_cloudevents_is_refused() {
    let refused = read(with("specversion", json!("0.3")));
    assert_eq!(refused, Err(EnvelopeError::SpecVersion { given: "0.3".to_string() }));
}

#[test]
fn binary_data_is_refused() {
    let mut envelope = without("data");
    envelope["data_base64"] = json!("AAAA");
    assert_eq!(read(envelope), Err(EnvelopeError::BinaryData));
}

#[test]
fn an_attribute_that_is_there_twice_is_refused() {
    let text = structured().to_string().replacen('{', r#"{"tenantid":"ten_1","#, 1);
    let refused = serde_json::from_str::<Envelope<Value>>(&text).unwrap_err().to_string();
    assert!(refused.contains("duplicate field `tenantid`"), "{refused}");
}

#[test]
fn an_attribute_that_is_no_text_is_refused() {
    assert!(serde_json::from_value::<Envelope<Value>>(with("sequence", json!(12))).is_err());
}

#[test]
fn the_reason_for_a_refusal_survives_serde() {
    let refused = serde_json::from_value::<Envelope<Value>>(without("tenantid")).unwrap_err().to_string();
    assert_eq!(refused, "the envelope has no `tenantid`: add it");
}

#[test]
fn only_published_events_have_a_type() {
    let service_id = ServiceId::from_uuid(Uuid::from_u128(7));
    let (from, to) = (HealthStatus::Healthy, HealthStatus::Degraded);
    let degraded = EventType::of(&HealthEvent::HealthDegraded { service_id, from, to });
    assert_eq!(degraded.map(String::from).as_deref(), Some("factory.runtime.HealthDegraded.v1"));
    let seen = InventoryEvent::ServiceSeen { observed_at: Timestamp::UNIX_EPOCH };
    assert_eq!(EventType::of(&seen), None);
}

#[test]
fn a_trace_parent_tells_its_parts() {
    let parent = TraceParent::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    assert_eq!(parent.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(parent.parent_id(), "b7ad6b7169203331");
    assert!(parent.is_sampled());
    let unsampled = TraceParent::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02").unwrap();
    assert!(!unsampled.is_sampled());
}

#[test]
fn a_sequence_without_leading_zeros_is_read_too() {
    assert_eq!(read(with("sequence", json!("12"))).unwrap(), read(structured()).unwrap());
}

proptest! {
    #[test]
    fn sequences_are_ordered_as_texts_as_they_are_as_numbers(one in 1..=u64::MAX, shift in 0..64u32, other in 1..=u64::MAX) {
        let one = (one >> shift).max(1);
        let text = |sequence| {
            let envelope = Envelope { sequence, ..read(structured()).unwrap() };
            serde_json::to_value(&envelope).unwrap()["sequence"].as_str().unwrap().to_string()
        };
        prop_assert_eq!(text(one).cmp(&text(other)), one.cmp(&other));
    }

    #[test]
    fn an_envelope_round_trips_through_its_json(
        ids in any::<[u128; 5]>(),
        seconds in 0..4_000_000_000_i64,
        nanos in 0..1_000_000_000_u32,
        sequence in 1..=u64::MAX,
        kind in 0..AggregateKind::ALL.len(),
        name in "[A-Z][A-Za-z0-9]{0,79}",
        version in 1..=u16::MAX,
        data in "\\PC{0,40}",
    ) {
        let uuid = |index: usize| Uuid::from_u128(ids[index]);
        let envelope = Envelope {
            id: EventId::from_uuid(uuid(0)),
            source: Source::new("/runtime").unwrap(),
            event_type: EventType::new(&name, version).unwrap(),
            time: Timestamp::from_timestamp(seconds, nanos).unwrap(),
            subject: Subject { kind: AggregateKind::ALL[kind], id: uuid(1) },
            data_schema: None,
            tenant: TenantId::from_uuid(uuid(2)),
            environment: EnvironmentId::from_uuid(uuid(3)),
            correlation: CorrelationId::from_uuid(uuid(4)),
            causation: None,
            trace_parent: None,
            sequence,
            data,
        };
        let text = serde_json::to_string(&envelope).unwrap();
        prop_assert_eq!(serde_json::from_str::<Envelope<String>>(&text).unwrap(), envelope);
    }

    #[test]
    fn hostile_texts_are_refused_or_read_but_never_panic(
        attribute in prop_oneof![
            Just("id"), Just("source"), Just("type"), Just("subject"), Just("time"), Just("sequence"),
            Just("dataschema"), Just("traceparent"), Just("datacontenttype"), Just("specversion"),
        ],
        text in "\\PC{0,80}",
    ) {
        if let Ok(envelope) = read(with(attribute, json!(text))) {
            // What is read is written in a form that is read the same.
            let written = serde_json::to_value(&envelope).unwrap();
            prop_assert_eq!(read(written), Ok(envelope));
        }
    }
}
