//! What comes over a bus: envelopes in each mode and binding, and the events in them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::LazyLock;

use jsonschema::Validator;
use runtime_domain::aggregate::DomainEvent;
use runtime_domain::configuration::ConfigurationEvent;
use runtime_domain::deployment::DeploymentEvent;
use runtime_domain::drift::DriftEvent;
use runtime_domain::envelope::{Binding, Envelope, EnvelopeError, UncheckedEnvelope};
use runtime_domain::environment::EnvironmentEvent;
use runtime_domain::health::HealthEvent;
use runtime_domain::inventory::InventoryEvent;
use runtime_domain::scaling::ScalingEvent;
use runtime_domain::schema::published;
use runtime_domain::secrets::SecretEvent;
use runtime_domain::tenancy::TenancyEvent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::hold::{panic_of, text, writes_and_reads};

/// An envelope in the structured mode, as JSON; and its data as an event of each context.
pub fn envelope(data: &[u8]) -> bool {
    let is_event = [
        event::<EnvironmentEvent>(data),
        event::<DeploymentEvent>(data),
        event::<InventoryEvent>(data),
        event::<ConfigurationEvent>(data),
        event::<SecretEvent>(data),
        event::<TenancyEvent>(data),
        event::<HealthEvent>(data),
        event::<ScalingEvent>(data),
        event::<DriftEvent>(data),
    ];
    let Ok(unchecked) = serde_json::from_slice::<UncheckedEnvelope<Exact>>(data) else { return false };
    is_kept(Envelope::try_from(unchecked)) && is_event.contains(&true)
}

/// An envelope in the binary mode: the binding's name, headers a line each, an empty line, the body.
pub fn envelope_binary(data: &[u8]) -> bool {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (data.get(..end).unwrap_or_default(), data.get(end + 2..).unwrap_or_default()),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let binding = match lines.next() {
        Some(b"kafka") => Binding::Kafka,
        Some(b"amqp") => Binding::Amqp,
        _ => Binding::Http,
    };
    let headers = lines.filter_map(|line| {
        let colon = line.windows(2).position(|pair| pair == b": ")?;
        Some((text(line.get(..colon)?)?, line.get(colon + 2..)?))
    });
    is_kept(Envelope::<Exact>::from_binary(binding, headers, body))
}

/// Data that is JSON with whole numbers only: this JSON library reads other numbers to the last digit but one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(try_from = "Value")]
struct Exact(Value);

impl TryFrom<Value> for Exact {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        fn is_exact(value: &Value) -> bool {
            match value {
                Value::Number(number) => !number.is_f64(),
                Value::Array(items) => items.iter().all(is_exact),
                Value::Object(members) => members.values().all(is_exact),
                _ => true,
            }
        }
        if is_exact(&value) { Ok(Self(value)) } else { Err("a number is not whole") }
    }
}

/// Whether an envelope was believed. Where it was not, it is said why.
fn is_kept(read: Result<Envelope<Exact>, EnvelopeError>) -> bool {
    match &read {
        Ok(envelope) => in_every_mode(envelope),
        Err(refused) => assert!(!refused.to_string().trim().is_empty(), "{refused:?} says nothing"),
    }
    read.is_ok()
}

/// An envelope that was believed is the same after any way over any transport.
fn in_every_mode<D: Serialize + DeserializeOwned + PartialEq + Clone + Debug>(envelope: &Envelope<D>) {
    writes_and_reads(envelope);
    assert!(envelope.sequence > 0, "an event is numbered from 1");
    for binding in Binding::ALL {
        let binary = envelope.to_binary(binding);
        let Ok(binary) = &binary else { panic_of(format!("{envelope:?} is not written: {binary:?}")) };
        for (name, value) in &binary.headers {
            let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
            assert!(name.bytes().all(|byte| is_plain(byte) && byte != b' '), "{name:?} is no header's name");
            let is_safe = binding != Binding::Http || value.bytes().all(is_plain);
            assert!(is_safe, "{name} cannot be sent: {value:?}");
        }
        let headers = binary.headers.iter().map(|(name, value)| (name, value));
        let read = Envelope::<D>::from_binary(binding, headers, &binary.body);
        assert_eq!(read.as_ref(), Ok(envelope), "in the binary mode of {binding:?}");
        // Names are read in any case, and come in any order.
        let shouted = binary.headers.iter().rev().map(|(name, value)| (name.to_ascii_uppercase(), value));
        let read = Envelope::<D>::from_binary(binding, shouted, &binary.body);
        assert_eq!(read.as_ref(), Ok(envelope), "in the binary mode of {binding:?}, shouted");
    }
}

/// An event that is believed is written and read as the same, and where it is published it is of its schema.
fn event<E: DomainEvent>(data: &[u8]) -> bool {
    static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
        let validator = |schema: &Value| {
            jsonschema::validator_for(schema).unwrap_or_else(|error| panic_of(format!("no schema: {error}")))
        };
        published().iter().map(|it| (it.event_type.to_string(), validator(&it.schema))).collect()
    });
    let Some(event) = event_in::<E>(data) else { return false };
    writes_and_reads(&event);
    let Some(version) = event.published() else { return true };
    let name = format!("factory.runtime.{}.v{version}", event.name());
    let Some(schema) = SCHEMAS.get(&name) else { panic_of(format!("{name} is published without a schema")) };
    let written = serde_json::to_value(&event).unwrap_or_default();
    if let Err(error) = schema.validate(&written) {
        panic_of(format!("{name} is not of its schema, at {}: {error}", error.instance_path()));
    }
    true
}

/// An event by itself, or as the data of an envelope.
fn event_in<E: DomainEvent>(data: &[u8]) -> Option<E> {
    #[derive(serde::Deserialize)]
    #[serde(bound(deserialize = "D: serde::Deserialize<'de>"))]
    struct Enveloped<D> {
        data: D,
    }
    serde_json::from_slice::<E>(data)
        .or_else(|_| serde_json::from_slice::<Enveloped<E>>(data).map(|envelope| envelope.data))
        .ok()
}
