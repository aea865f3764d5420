//! A valid envelope.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::aggregate::DomainEvent;
use crate::envelope::{AttributeValue, EnvelopeError, EventType, TraceParent, UncheckedEnvelope};
use crate::id::{AggregateKind, CorrelationId, EnvironmentId, EventId, TenantId};
use crate::time::Timestamp;

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

/// Who, where, why and in which order: all that an envelope says besides what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventOrigin {
    /// The event: consumers deduplicate on it.
    pub id: EventId,
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The kind of aggregate that it happened to.
    pub aggregate_kind: AggregateKind,
    /// The aggregate that it happened to.
    pub aggregate_id: Uuid,
    /// Its number within the aggregate, from 1.
    pub sequence: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The chain of work.
    pub correlation: CorrelationId,
    /// The event that caused it, if one did.
    pub causation: Option<EventId>,
    /// The trace that it is part of, if it is part of one.
    pub trace: Option<TraceParent>,
}

/// An event in its canonical envelope. Always valid; serde reads and writes CloudEvents' JSON format.
///
/// Written, the sequence has twenty digits, so that it is ordered as a text, too, as CloudEvents' sequence extension asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<D> {
    event_type: EventType,
    source: String,
    schema: String,
    origin: EventOrigin,
    extensions: BTreeMap<String, AttributeValue>,
    data: D,
}

impl<E: DomainEvent> Envelope<E> {
    /// Puts a published event into its envelope; `None` for an event that does not leave its context.
    pub fn of(origin: EventOrigin, event: E) -> Option<Self> {
        let event_type = EventType::new(event.name(), event.published()?)?;
        Some(Self {
            source: format!("/factory/runtime/environments/{}", origin.environment),
            schema: event_type.schema(),
            event_type,
            origin,
            extensions: BTreeMap::new(),
            data: event,
        })
    }
}

impl<D> Envelope<D> {
    /// What kind of event it is.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// Where it came from, as a URI reference.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The schema of the data, as a URI.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// What it is about: `RuntimeEnvironment/` and the aggregate's UUID.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.origin.aggregate_kind, self.origin.aggregate_id.as_simple())
    }

    /// Who, where, why and in which order.
    pub fn origin(&self) -> &EventOrigin {
        &self.origin
    }

    /// Extension attributes that this library gives no meaning to.
    pub fn extensions(&self) -> &BTreeMap<String, AttributeValue> {
        &self.extensions
    }

    /// What happened.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// What happened, and nothing else.
    pub fn into_data(self) -> D {
        self.data
    }
}

impl<D: Serialize> Serialize for Envelope<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let origin = &self.origin;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", SPEC_VERSION)?;
        map.serialize_entry("id", &origin.id)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("type", &self.event_type.to_string())?;
        map.serialize_entry("subject", &self.subject())?;
        map.serialize_entry("time", &origin.at)?;
        map.serialize_entry("datacontenttype", CONTENT_TYPE)?;
        map.serialize_entry("dataschema", &self.schema)?;
        map.serialize_entry("tenantid", &origin.tenant)?;
        map.serialize_entry("environmentid", &origin.environment)?;
        map.serialize_entry("correlationid", &origin.correlation)?;
        if let Some(causation) = &origin.causation {
            map.serialize_entry("causationid", causation)?;
        }
        if let Some(trace) = &origin.trace {
            map.serialize_entry("traceparent", trace.as_str())?;
        }
        map.serialize_entry("sequence", &format!("{:020}", origin.sequence))?;
        for (name, value) in &self.extensions {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("data", &self.data)?;
        map.end()
    }
}

impl<'de, D: Deserialize<'de>> Deserialize<'de> for Envelope<D> {
    fn deserialize<T: Deserializer<'de>>(deserializer: T) -> Result<Self, T::Error> {
        Self::try_from(UncheckedEnvelope::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<D> TryFrom<UncheckedEnvelope<D>> for Envelope<D> {
    type Error = EnvelopeError;

    fn try_from(unchecked: UncheckedEnvelope<D>) -> Result<Self, EnvelopeError> {
        let version = required("specversion", unchecked.specversion)?;
        if version != SPEC_VERSION {
            return Err(EnvelopeError::spec_version(&version));
        }
        let (aggregate_kind, aggregate_id) = subject(&required("subject", unchecked.subject)?)?;
        let origin = EventOrigin {
            id: parsed("id", &required("id", unchecked.id)?, "evt_ and 32 hexadecimal digits")?,
            tenant: parsed(
                "tenantid",
                &required("tenantid", unchecked.tenantid)?,
                "ten_ and 32 hexadecimal digits",
            )?,
            environment: parsed(
                "environmentid",
                &required("environmentid", unchecked.environmentid)?,
                "env_ and 32 hexadecimal digits",
            )?,
            aggregate_kind,
            aggregate_id,
            sequence: sequence(&required("sequence", unchecked.sequence)?)?,
            at: time(&required("time", unchecked.time)?)?,
            correlation: parsed(
                "correlationid",
                &required("correlationid", unchecked.correlationid)?,
                "cor_ and 32 hexadecimal digits",
            )?,
            causation: unchecked
                .causationid
                .map(|text| parsed("causationid", &text, "evt_ and 32 hexadecimal digits"))
                .transpose()?,
            trace: unchecked.traceparent.map(|text| text.parse()).transpose()?,
        };
        check_content_type(&required("datacontenttype", unchecked.datacontenttype)?)?;
        Ok(Self {
            event_type: required("type", unchecked.event_type)?.parse()?,
            source: uri(
                "source",
                required("source", unchecked.source)?,
                "a URI reference without white space",
            )?,
            schema: schema(required("dataschema", unchecked.dataschema)?)?,
            origin,
            extensions: extensions(unchecked.extensions)?,
            data: unchecked.data.ok_or(EnvelopeError::Missing { attribute: "data" })?,
        })
    }
}

fn required(attribute: &'static str, value: Option<String>) -> Result<String, EnvelopeError> {
    value.filter(|text| !text.is_empty()).ok_or(EnvelopeError::Missing { attribute })
}

fn parsed<T: FromStr>(
    attribute: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<T, EnvelopeError> {
    text.parse().map_err(|_| EnvelopeError::malformed(attribute, text, expected))
}

fn subject(text: &str) -> Result<(AggregateKind, Uuid), EnvelopeError> {
    text.split_once('/')
        .and_then(|(kind, id)| Some((kind.parse().ok()?, Uuid::try_parse(id).ok()?)))
        .ok_or_else(|| EnvelopeError::malformed("subject", text, "an aggregate's kind, `/` and its UUID"))
}

fn sequence(text: &str) -> Result<u64, EnvelopeError> {
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|number: &u64| *number > 0)
        .ok_or_else(|| EnvelopeError::malformed("sequence", text, "a whole number from 1, in decimal digits"))
}

fn time(text: &str) -> Result<Timestamp, EnvelopeError> {
    chrono::DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| {
        EnvelopeError::malformed("time", text, "a time as in RFC 3339, such as 2026-11-21T09:30:00Z")
    })
}

fn uri(attribute: &'static str, text: String, expected: &'static str) -> Result<String, EnvelopeError> {
    let is_legal = text.len() <= 2_048 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_legal { Ok(text) } else { Err(EnvelopeError::malformed(attribute, &text, expected)) }
}

fn schema(text: String) -> Result<String, EnvelopeError> {
    let expected = "a URI with its scheme, such as urn:factory:runtime:schema:RuntimeTenantBound:v1";
    let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    if has_scheme {
        uri("dataschema", text, expected)
    } else {
        Err(EnvelopeError::malformed("dataschema", &text, expected))
    }
}

fn check_content_type(text: &str) -> Result<(), EnvelopeError> {
    let media_type = text.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(CONTENT_TYPE) {
        Ok(())
    } else {
        Err(EnvelopeError::malformed("datacontenttype", text, CONTENT_TYPE))
    }
}

fn extensions(
    unchecked: BTreeMap<String, Option<AttributeValue>>,
) -> Result<BTreeMap<String, AttributeValue>, EnvelopeError> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if let Some(name) = unchecked.keys().find(|name| !is_name(name)) {
        return Err(EnvelopeError::name(name));
    }
    Ok(unchecked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}
