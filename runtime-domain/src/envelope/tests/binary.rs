//! The binary mode, by the HTTP binding's own examples and rules.

use alloc::vec;
use alloc::vec::Vec;

use super::*;

fn written(binding: Binding) -> BinaryEvent {
    read(structured()).unwrap().to_binary(binding).unwrap()
}

fn from(event: &BinaryEvent, binding: Binding) -> Result<Envelope<Value>, EnvelopeError> {
    Envelope::from_binary(binding, event.headers.clone(), &event.body)
}

/// The source that is read from this header value.
fn source(header: &[u8]) -> Result<String, EnvelopeError> {
    let headers = written(Binding::Http).headers;
    let rest = headers.iter().filter(|(name, _)| name != "ce-source");
    let all = rest
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .chain([("ce-source", header)])
        .collect::<Vec<_>>();
    Envelope::<Value>::from_binary(Binding::Http, all, b"{}").map(|envelope| envelope.source.to_string())
}

fn extended(value: &[u8]) -> Result<Envelope<Value>, EnvelopeError> {
    let event = written(Binding::Http);
    let own = event.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Envelope::from_binary(Binding::Http, own.chain([("ce-someextension", value)]), &event.body)
}

fn refused_encoding(value: &[u8]) -> &'static str {
    match extended(value) {
        Err(EnvelopeError::Encoding { attribute, why }) => {
            assert_eq!(attribute, "someextension");
            why
        }
        other => panic!("{other:?}"),
    }
}

/// Shows X-14.
#[test]
fn attributes_become_headers_with_the_bindings_prefix_and_data_becomes_the_body() {
    let event = written(Binding::Http);
    let expected = [
        ("content-type", "application/json".to_string()),
        ("ce-specversion", "1.0".to_string()),
        ("ce-id", format!("evt_{ID}")),
        ("ce-source", "/runtime/hosts/west-1".to_string()),
        ("ce-type", "factory.runtime.RuntimeDeploymentCompleted.v1".to_string()),
        ("ce-subject", format!("RuntimeDeployment/{ID}")),
        ("ce-time", "2026-11-02T09:30:00Z".to_string()),
        ("ce-dataschema", "https://schemas.example/runtime-deployment-completed.v1.json".to_string()),
        ("ce-tenantid", format!("ten_{ID}")),
        ("ce-environmentid", format!("env_{ID}")),
        ("ce-correlationid", format!("cor_{ID}")),
        ("ce-causationid", format!("evt_{ID}")),
        ("ce-traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_string()),
        ("ce-sequence", "00000000000000000012".to_string()),
    ];
    let given: Vec<_> = event.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(given, expected);
    assert_eq!(serde_json::from_slice::<Value>(&event.body).unwrap(), structured()["data"]);
    assert_eq!(written(Binding::Kafka).headers[1].0, "ce_specversion");
    assert_eq!(written(Binding::Amqp).headers[1].0, "cloudEvents:specversion");
}

/// Shows X-14.
#[test]
fn the_bindings_own_example_of_a_value_is_encoded_and_decoded_as_it_says() {
    let (value, header) = ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80");
    assert_eq!(Binding::Http.encode(value.to_string()), header);
    assert_eq!(Binding::Http.decode(header.as_bytes()).unwrap(), value);
    assert_eq!(Binding::Http.decode(header.to_ascii_lowercase().as_bytes()).unwrap(), "euro € 😀");
    assert_eq!(Binding::Kafka.encode(value.to_string()), value);
    assert_eq!(Binding::Amqp.decode(value.as_bytes()).unwrap(), value);
}

#[test]
fn exactly_space_quote_percent_and_what_is_not_printable_ascii_is_encoded() {
    for byte in 0..=0x7F_u8 {
        let text = char::from(byte).to_string();
        let encoded = Binding::Http.encode(text.clone());
        let must = !(0x21..=0x7E).contains(&byte) || byte == b'"' || byte == b'%';
        assert_eq!(encoded, if must { format!("%{byte:02X}") } else { text.clone() }, "{byte}");
        assert_eq!(Binding::Http.decode(encoded.as_bytes()), Ok(text));
    }
}

#[test]
fn what_was_encoded_without_need_is_accepted_and_decoded_once() {
    assert_eq!(source(b"%2Fruntime%2fhosts"), Ok("/runtime/hosts".to_string()));
    assert_eq!(source(b"/a%2520b"), Ok("/a%20b".to_string()));
}

#[test]
fn an_overlong_or_broken_sequence_is_refused() {
    let not_utf8 = "what is percent-encoded is not UTF-8";
    assert_eq!(refused_encoding(b"%C0%A0"), not_utf8);
    assert_eq!(refused_encoding(b"%E2%82"), not_utf8);
    assert_eq!(refused_encoding(b"%ED%A0%80"), not_utf8);
    for broken in [&b"%"[..], b"%2", b"%zz", b"a%2g", b"%%20"] {
        assert!(refused_encoding(broken).starts_with("a `%`"), "{broken:?}");
    }
    for raw in ["€".as_bytes(), b"\x7F", b"a\nb", b"\xFF"] {
        assert!(refused_encoding(raw).starts_with("it holds a byte"), "{raw:?}");
    }
}

#[test]
fn quoted_values_of_earlier_writers_are_read() {
    assert_eq!(source(br#""/runtime/\hosts""#), Ok("/runtime/hosts".to_string()));
    assert_eq!(source(br#""/%72untime""#), Ok("/runtime".to_string()));
    assert!(extended(br#""a \"b\" c""#).is_ok());
    assert_eq!(refused_encoding(br#""a"#), "a quote is opened and not closed");
    assert_eq!(refused_encoding(br#""a\"#), "a quote is opened and not closed");
    assert_eq!(refused_encoding(br#""a"b"#), "something follows the closing quote");
}

#[test]
fn names_are_read_in_any_case_and_the_transports_own_headers_are_passed_over() {
    for binding in Binding::ALL {
        let mut event = written(binding);
        for (name, _) in &mut event.headers {
            *name = name.to_ascii_uppercase();
        }
        event.headers.push(("Host".to_string(), "x".to_string()));
        event.headers.push(("c".to_string(), "€".to_string()));
        event.headers.push((format!("{}newer", binding.prefix()), "passed%20over".to_string()));
        assert_eq!(from(&event, binding), read(structured()), "{binding:?}");
    }
    let mut event = written(Binding::Amqp);
    for (name, _) in &mut event.headers {
        *name = name.replace(':', "_");
    }
    assert_eq!(from(&event, Binding::Amqp), read(structured()));
    assert!(from(&event, Binding::Kafka).is_err());
}

#[test]
fn what_is_repeated_or_has_no_legal_name_is_refused() {
    let event = written(Binding::Http);
    for (name, value) in &event.headers {
        let mut twice = event.clone();
        twice.headers.push((name.to_ascii_uppercase(), value.clone()));
        assert!(matches!(from(&twice, Binding::Http), Err(EnvelopeError::Repeated { .. })), "{name}");
    }
    let mut twice = event.clone();
    twice.headers.extend(vec![("ce-newer".to_string(), "a".to_string()); 2]);
    let repeated = EnvelopeError::Repeated { attribute: "newer".to_string() };
    assert_eq!(from(&twice, Binding::Http), Err(repeated));
    for name in ["ce-", "ce-with-dash", "ce-é", "ce-data", "ce-datacontenttype"] {
        let mut odd = event.clone();
        odd.headers.push((name.to_string(), "a".to_string()));
        assert!(matches!(from(&odd, Binding::Http), Err(EnvelopeError::IllegalName(_))), "{name}");
    }
}

#[test]
fn every_required_attribute_is_required_here_too() {
    let event = written(Binding::Http);
    for (name, _) in &event.headers {
        let mut less = event.clone();
        less.headers.retain(|(given, _)| given != name);
        let optional = ["content-type", "ce-dataschema", "ce-causationid", "ce-traceparent"];
        assert_eq!(from(&less, Binding::Http).is_ok(), optional.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_body_is_json_and_the_content_type_says_so() {
    let with = |content_type: &str, body: &[u8]| {
        let mut event = written(Binding::Http);
        event.headers[0].1 = content_type.to_string();
        event.body = body.to_vec();
        from(&event, Binding::Http)
    };
    assert!(with("application/json; charset=utf-8", b"1").is_ok());
    assert_eq!(with("application/json", b""), Err(EnvelopeError::Missing { attribute: "data" }));
    assert_eq!(with("application/json", b"null"), Err(EnvelopeError::Missing { attribute: "data" }));
    assert_eq!(with("application/json", b"{\n!"), Err(EnvelopeError::Data { line: 2, column: 1 }));
    assert!(matches!(with("text/plain", b"1"), Err(EnvelopeError::Illegal { .. })));
    for whole in [CONTENT_TYPE, BATCH_CONTENT_TYPE, " Application/CloudEvents+json; charset=utf-8"] {
        assert_eq!(with(whole, b"1"), Err(EnvelopeError::NotBinary));
    }
    let broken = Envelope::<Value>::from_binary(Binding::Http, [("Content-Type", b"\xFF")], b"1");
    assert!(matches!(broken, Err(EnvelopeError::Encoding { .. })));
}

#[test]
fn several_envelopes_are_a_json_array_in_the_batched_mode() {
    assert_eq!(BATCH_CONTENT_TYPE, "application/cloudevents-batch+json");
    let batch: Vec<Envelope<Value>> =
        serde_json::from_value(json!([structured(), without("causationid")])).unwrap();
    assert_eq!(serde_json::to_value(&batch).unwrap(), json!([structured(), without("causationid")]));
    assert_eq!(serde_json::from_str::<Vec<Envelope<Value>>>("[]").unwrap(), Vec::new());
}

proptest! {
    /// Shows X-14.
    #[test]
    fn any_value_survives_the_encoding_in_printable_ascii(text in any::<String>()) {
        let encoded = Binding::Http.encode(text.clone());
        prop_assert!(encoded.bytes().all(|byte| (0x21..=0x7E).contains(&byte) && byte != b'"'));
        prop_assert_eq!(Binding::Http.decode(encoded.as_bytes()), Ok(text));
    }

    /// Shows X-14.
    #[test]
    fn structured_to_binary_and_back_is_the_same(
        schema in any::<bool>(), cause in any::<bool>(), trace in any::<bool>(),
        sequence in 1..=u64::MAX, nanos in 0..4_000_000_000_000_000_000_i64, data in any::<(String, i64, bool)>(),
    ) {
        let mut whole = structured();
        for (name, keep) in [("dataschema", schema), ("causationid", cause), ("traceparent", trace)] {
            if !keep {
                whole.as_object_mut().unwrap().remove(name);
            }
        }
        whole["sequence"] = json!(format!("{sequence:020}"));
        whole["time"] = serde_json::to_value(chrono::DateTime::from_timestamp_nanos(nanos)).unwrap();
        whole["source"] = json!("/a%20b");
        whole["data"] = json!({ "text": data.0, "number": data.1, "flag": data.2 });
        let envelope = read(whole.clone()).unwrap();
        for binding in Binding::ALL {
            let binary = envelope.to_binary(binding).unwrap();
            for (name, value) in binary.headers.iter().skip(1) {
                let name = name.strip_prefix(binding.prefix()).unwrap();
                prop_assert_eq!(&json!(binding.decode(value.as_bytes()).unwrap()), &whole[name]);
            }
            let back = from(&binary, binding).unwrap();
            prop_assert_eq!(&back, &envelope);
            prop_assert_eq!(serde_json::to_value(&back).unwrap(), whole.clone());
        }
    }

    #[test]
    fn hostile_headers_and_bodies_never_panic(
        names in prop::collection::vec("(ce[-_]|CE-|cloudEvents:|content-type|é)?(id|source|time|[a-z€-]{0,8})", 0..8),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 8),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for binding in Binding::ALL {
            let headers = names.iter().zip(&values);
            prop_assert!(Envelope::<Value>::from_binary(binding, headers, &body).is_err());
        }
    }
}
