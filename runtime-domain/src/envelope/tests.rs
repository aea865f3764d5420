//! The envelope on the wire.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::envelope::*;
use crate::environment::EnvironmentEvent;
use crate::id::AggregateKind;
use crate::testing::{at, id};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn origin() -> EventOrigin {
    EventOrigin {
        id: id(1),
        tenant: id(2),
        environment: id(3),
        aggregate_kind: AggregateKind::RuntimeEnvironment,
        aggregate_id: id::<crate::id::kind::Environment>(3).uuid(),
        sequence: 4,
        at: at(0),
        correlation: id(5),
        causation: Some(id(6)),
        trace: Some(TRACE.parse().unwrap()),
    }
}

fn decommissioned() -> EnvironmentEvent {
    EnvironmentEvent::RuntimeEnvironmentDecommissioned { environment_id: id(3), reason: "moved".to_string() }
}

fn wire() -> Value {
    serde_json::to_value(Envelope::of(origin(), decommissioned()).unwrap()).unwrap()
}

fn refused(tamper: impl FnOnce(&mut Value)) -> EnvelopeError {
    let mut wire = wire();
    tamper(&mut wire);
    let unchecked: UncheckedEnvelope<EnvironmentEvent> = serde_json::from_value(wire.clone()).unwrap();
    let error = Envelope::try_from(unchecked).unwrap_err();
    let through_serde = serde_json::from_value::<Envelope<EnvironmentEvent>>(wire).unwrap_err();
    assert_eq!(through_serde.to_string(), error.to_string());
    error
}

#[test]
fn the_wire_form_is_cloud_events_in_structured_mode() {
    assert_eq!(
        wire(),
        json!({
            "specversion": "1.0",
            "id": "evt_00000000000000000000000000000001",
            "source": "/factory/runtime/environments/env_00000000000000000000000000000003",
            "type": "factory.runtime.RuntimeEnvironmentDecommissioned.v1",
            "subject": "RuntimeEnvironment/00000000000000000000000000000003",
            "time": "2027-01-15T08:00:00Z",
            "datacontenttype": "application/json",
            "dataschema": "urn:factory:runtime:schema:RuntimeEnvironmentDecommissioned:v1",
            "tenantid": "ten_00000000000000000000000000000002",
            "environmentid": "env_00000000000000000000000000000003",
            "correlationid": "cor_00000000000000000000000000000005",
            "causationid": "evt_00000000000000000000000000000006",
            "traceparent": TRACE,
            "sequence": "00000000000000000004",
            "data": {
                "event": "RuntimeEnvironmentDecommissioned",
                "environment_id": "env_00000000000000000000000000000003",
                "reason": "moved",
            },
        })
    );
}

#[test]
fn every_attribute_name_is_one_that_cloud_events_allows() {
    for name in wire().as_object().unwrap().keys() {
        assert!(name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
    }
}

#[test]
fn an_event_that_is_not_published_has_no_envelope() {
    assert!(Envelope::of(origin(), EnvironmentEvent::EnvironmentProtected).is_none());
}

#[test]
fn a_missing_attribute_is_named() {
    let required = [
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
        "sequence",
        "data",
    ];
    for attribute in required {
        let error = refused(|wire| drop(wire.as_object_mut().unwrap().remove(attribute)));
        assert_eq!(error, EnvelopeError::Missing { attribute });
        if attribute != "data" {
            assert_eq!(refused(|wire| wire[attribute] = json!(null)), EnvelopeError::Missing { attribute });
            assert_eq!(refused(|wire| wire[attribute] = json!("")), EnvelopeError::Missing { attribute });
        }
    }
}

#[test]
fn an_optional_attribute_may_be_missing_or_null() {
    for attribute in ["causationid", "traceparent"] {
        for absent in [true, false] {
            let mut wire = wire();
            if absent {
                wire.as_object_mut().unwrap().remove(attribute);
            } else {
                wire[attribute] = json!(null);
            }
            assert!(serde_json::from_value::<Envelope<EnvironmentEvent>>(wire).is_ok());
        }
    }
}

#[test]
fn another_version_of_cloud_events_is_refused() {
    for found in ["0.3", "1.1", "2.0"] {
        let error = refused(|wire| wire["specversion"] = json!(found));
        assert_eq!(error, EnvelopeError::SpecVersion { found: found.to_string() });
    }
}

#[test]
fn a_malformed_attribute_is_named_and_told_how_to_be() {
    let long = "x".repeat(3_000);
    let cases: &[(&str, &[&str])] = &[
        ("id", &["evt_1", "dep_00000000000000000000000000000001", "1"]),
        ("source", &["a b", "a\nb", &long]),
        (
            "type",
            &[
                "factory.runtime.X.v0",
                "factory.runtime.X",
                "other.X.v1",
                "factory.runtime.x.v1",
                "factory.runtime.X.v01",
            ],
        ),
        (
            "subject",
            &["RuntimeEnvironment", "Unheard/00000000000000000000000000000003", "RuntimeEnvironment/3"],
        ),
        ("time", &["yesterday", "2027-01-15", "2027-13-15T08:00:00Z"]),
        ("datacontenttype", &["text/plain", "application/jsonx"]),
        ("dataschema", &["no scheme", "urn:", ":x", "/relative"]),
        ("tenantid", &["env_00000000000000000000000000000003"]),
        ("environmentid", &["x"]),
        ("correlationid", &["x"]),
        ("causationid", &["", "x"]),
        ("sequence", &["0", "-1", "+1", "1.5", "99999999999999999999999"]),
    ];
    for (attribute, texts) in cases {
        for text in *texts {
            match refused(|wire| wire[*attribute] = json!(text)) {
                EnvelopeError::Malformed { attribute: named, found, expected } => {
                    assert_eq!(named, *attribute);
                    assert!(found.chars().count() <= 80 && !found.contains('\n'));
                    assert!(!expected.is_empty());
                }
                other => panic!("{attribute} = {text}: {other}"),
            }
        }
    }
}

#[test]
fn a_bad_trace_parent_is_refused_and_a_good_one_is_read() {
    let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let zero_parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
    let bad: Vec<String> = vec![
        String::new(),
        "00".to_string(),
        TRACE.to_uppercase(),
        TRACE.replacen("00", "ff", 1),
        format!("{TRACE}-more"),
        format!("{TRACE}0"),
        zero_trace,
        zero_parent,
        TRACE.replace('-', "_"),
    ];
    for text in bad {
        let error = refused(|wire| wire["traceparent"] = json!(text));
        assert!(matches!(error, EnvelopeError::Malformed { attribute: "traceparent", .. }), "{text}");
    }
    let trace: TraceParent = TRACE.parse().unwrap();
    assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(trace.parent_id(), "00f067aa0ba902b7");
    assert!(trace.is_sampled());
    assert!(!TRACE.replace("-01", "-00").parse::<TraceParent>().unwrap().is_sampled());
    // A later version may carry more.
    assert!(format!("{}-more", TRACE.replacen("00", "01", 1)).parse::<TraceParent>().is_ok());
}

#[test]
fn an_unknown_attribute_is_kept_and_an_impossible_one_refused() {
    let mut wire = wire();
    wire["partitionkey"] = json!("shop");
    wire["priority"] = json!(3);
    wire["replayed"] = json!(true);
    wire["nothing"] = json!(null);
    let envelope: Envelope<EnvironmentEvent> = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(envelope.extensions().len(), 3);
    wire.as_object_mut().unwrap().remove("nothing");
    assert_eq!(serde_json::to_value(&envelope).unwrap(), wire);

    for name in ["data_base64", "Tenant", "tenant-id", ""] {
        assert_eq!(refused(|wire| wire[name] = json!("x")), EnvelopeError::Name { found: name.to_string() });
    }
    wire["nested"] = json!({ "a": 1 });
    let error = serde_json::from_value::<Envelope<EnvironmentEvent>>(wire).unwrap_err().to_string();
    assert!(error.contains("an extension attribute must be"), "{error}");
}

#[test]
fn an_attribute_that_comes_twice_is_refused() {
    let text = serde_json::to_string(&wire()).unwrap();
    let twice = text.replacen('{', "{\"tenantid\":\"ten_00000000000000000000000000000009\",", 1);
    assert!(serde_json::from_str::<Envelope<EnvironmentEvent>>(&twice).is_err());
}

#[test]
fn another_producers_sequence_source_and_parameters_are_understood() {
    let mut wire = wire();
    wire["sequence"] = json!("4");
    wire["source"] = json!("https://runtime.example.com/eu");
    wire["datacontenttype"] = json!("Application/JSON; charset=utf-8");
    wire["time"] = json!("2027-01-15T09:00:00+01:00");
    let envelope: Envelope<EnvironmentEvent> = serde_json::from_value(wire).unwrap();
    assert_eq!(envelope.origin(), &origin());
    assert_eq!(envelope.source(), "https://runtime.example.com/eu");
    assert_eq!(envelope.event_type().name(), "RuntimeEnvironmentDecommissioned");
    assert_eq!(envelope.event_type().version(), 1);
    assert_eq!(envelope.into_data(), decommissioned());
}

proptest! {
    #[test]
    fn an_envelope_round_trips(ids in any::<[u128; 5]>(), sequence in 1..u64::MAX, millis in 0..4_000_000_000_000u64, has_cause: bool) {
        let origin = EventOrigin {
            id: id(ids[0]),
            tenant: id(ids[1]),
            environment: id(ids[2]),
            aggregate_id: uuid::Uuid::from_u128(ids[3]),
            sequence,
            at: crate::time::Span::from_millis(millis).after(crate::time::Timestamp::UNIX_EPOCH),
            correlation: id(ids[4]),
            causation: has_cause.then(|| id(ids[0])),
            trace: None,
            ..origin()
        };
        let envelope = Envelope::of(origin, decommissioned()).unwrap();
        let text = serde_json::to_string(&envelope).unwrap();
        prop_assert_eq!(serde_json::from_str::<Envelope<EnvironmentEvent>>(&text).unwrap(), envelope);
    }

    #[test]
    fn sequences_are_ordered_as_texts_as_they_are_as_numbers(one in 1..u64::MAX, other in 1..u64::MAX) {
        let text = |sequence| {
            let envelope = Envelope::of(EventOrigin { sequence, ..origin() }, decommissioned()).unwrap();
            serde_json::to_value(envelope).unwrap()["sequence"].as_str().unwrap().to_string()
        };
        prop_assert_eq!(text(one).cmp(&text(other)), one.cmp(&other));
    }

    #[test]
    fn hostile_attributes_are_refused_or_read_but_never_panic(
        attribute in proptest::sample::select(&["id", "source", "type", "subject", "time", "dataschema", "traceparent", "sequence"][..]),
        text in "\\PC{0,60}",
    ) {
        let mut wire = wire();
        wire[attribute] = json!(text);
        let _ = serde_json::from_value::<Envelope<EnvironmentEvent>>(wire);
    }
}
