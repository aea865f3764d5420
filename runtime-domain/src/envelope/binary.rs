//! The binary mode: attributes as a transport's headers, data as its body.
//!
//! | binding | an attribute | its value | the media type |
//! |---|---|---|---|
//! | [`Binding::Http`] | `ce-<name>` | percent-encoded | `content-type` |
//! | [`Binding::Kafka`] | `ce_<name>` | UTF-8 as it is | `content-type` |
//! | [`Binding::Amqp`] | `cloudEvents:<name>`, also read as `cloudEvents_<name>` | UTF-8 as it is | `content-type` |
//!
//! Names are read in any case. A header that carries no attribute is the transport's own, and is passed over.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use chrono::SecondsFormat;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::envelope::attribute::is_attribute_name;
use crate::envelope::{DATA_CONTENT_TYPE, Envelope, EnvelopeError, SPEC_VERSION, UncheckedEnvelope};
use crate::value::TextError;

const CONTENT_TYPE_HEADER: &str = "content-type";
const STRUCTURED: &str = "application/cloudevents";

/// The transport whose headers carry the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binding {
    /// HTTP: `ce-…`, values percent-encoded.
    Http,
    /// Kafka: `ce_…`, values in UTF-8.
    Kafka,
    /// AMQP: application properties `cloudEvents:…`, values in UTF-8; the media type is the message's `content-type` property.
    Amqp,
}

impl Binding {
    /// Every binding.
    pub const ALL: [Self; 3] = [Self::Http, Self::Kafka, Self::Amqp];

    /// What an attribute's name is written behind.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Http => "ce-",
            Self::Kafka => "ce_",
            Self::Amqp => "cloudEvents:",
        }
    }

    /// The attribute that a header carries, in lower case; `None` for a header of the transport's own.
    fn attribute(self, header: &str) -> Option<String> {
        let other = match self {
            Self::Amqp => "cloudEvents_",
            Self::Http | Self::Kafka => self.prefix(),
        };
        [self.prefix(), other].into_iter().find_map(|prefix| {
            let (head, name) = header.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then(|| name.to_ascii_lowercase())
        })
    }

    pub(super) fn encode(self, value: String) -> String {
        match self {
            Self::Http => percent_encoded(&value),
            Self::Kafka | Self::Amqp => value,
        }
    }

    pub(super) fn decode(self, value: &[u8]) -> Result<String, &'static str> {
        match self {
            Self::Http => percent_decoded(&unquoted(value)?),
            Self::Kafka | Self::Amqp => {
                core::str::from_utf8(value).map(ToOwned::to_owned).map_err(|_| "it is not UTF-8")
            }
        }
    }
}

/// An event in the binary mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryEvent {
    /// The headers' names and values: `content-type`, then the attributes in the order of the structured mode.
    pub headers: Vec<(String, String)>,
    /// The data, as JSON.
    pub body: Vec<u8>,
}

impl<D: Serialize> Envelope<D> {
    /// Writes the event in the binary mode.
    ///
    /// # Errors
    /// The data cannot be written as JSON.
    pub fn to_binary(&self, binding: Binding) -> Result<BinaryEvent, EnvelopeError> {
        let body = serde_json::to_vec(&self.data).map_err(|error| EnvelopeError::data(&error))?;
        let content_type = (CONTENT_TYPE_HEADER.to_owned(), DATA_CONTENT_TYPE.to_owned());
        let attributes = self.attributes().into_iter();
        let headers =
            attributes.map(|(name, value)| (format!("{}{name}", binding.prefix()), binding.encode(value)));
        Ok(BinaryEvent { headers: core::iter::once(content_type).chain(headers).collect(), body })
    }
}

impl<D: DeserializeOwned> Envelope<D> {
    /// Reads an event in the binary mode, as strictly as the structured mode is read.
    ///
    /// # Errors
    /// An attribute is absent, repeated, not legal or not decodable; the body is not JSON of the right shape; the content type is that
    /// of the structured mode.
    pub fn from_binary<N: AsRef<str>, V: AsRef<[u8]>>(
        binding: Binding,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
    ) -> Result<Self, EnvelopeError> {
        let mut unchecked = UncheckedEnvelope::<D>::empty();
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.eq_ignore_ascii_case(CONTENT_TYPE_HEADER) {
                let media_type = core::str::from_utf8(value).map_err(|_| EnvelopeError::Encoding {
                    attribute: "datacontenttype".to_owned(),
                    why: "it is not UTF-8",
                })?;
                unchecked.put("datacontenttype", media_type.to_owned())?;
            } else if let Some(attribute) = binding.attribute(name) {
                let reserved = ["data", "datacontenttype"].contains(&attribute.as_str());
                if reserved || !is_attribute_name(&attribute) {
                    let rule = "lower-case letters and digits, and neither `data` nor `datacontenttype`, \
                                which are the body and `content-type`";
                    return Err(EnvelopeError::IllegalName(TextError::new(
                        &attribute,
                        "an attribute name",
                        rule,
                    )));
                }
                let value = binding
                    .decode(value)
                    .map_err(|why| EnvelopeError::Encoding { attribute: shortened(&attribute), why })?;
                unchecked.put(&attribute, value)?;
            }
        }
        let structured = |text: &String| {
            text.trim_start()
                .get(..STRUCTURED.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(STRUCTURED))
        };
        if unchecked.datacontenttype.as_ref().is_some_and(structured) {
            return Err(EnvelopeError::NotBinary);
        }
        if !body.is_empty() {
            unchecked.data = serde_json::from_slice(body).map_err(|error| EnvelopeError::data(&error))?;
        }
        Self::try_from(unchecked)
    }
}

impl<D> Envelope<D> {
    /// Every attribute but the data's media type, in the order in which it is written.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let optional = |name, value: Option<String>| value.map(|value| (name, value));
        [
            Some(("specversion", SPEC_VERSION.to_owned())),
            Some(("id", self.id.to_string())),
            Some(("source", self.source.to_string())),
            Some(("type", self.event_type.to_string())),
            Some(("subject", self.subject.to_string())),
            Some(("time", self.time.to_rfc3339_opts(SecondsFormat::AutoSi, true))),
            optional("dataschema", self.data_schema.as_ref().map(ToString::to_string)),
            Some(("tenantid", self.tenant.to_string())),
            Some(("environmentid", self.environment.to_string())),
            Some(("correlationid", self.correlation.to_string())),
            optional("causationid", self.causation.as_ref().map(ToString::to_string)),
            optional("traceparent", self.trace_parent.as_ref().map(ToString::to_string)),
            Some(("sequence", format!("{:020}", self.sequence))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl<D> UncheckedEnvelope<D> {
    fn put(&mut self, attribute: &str, value: String) -> Result<(), EnvelopeError> {
        let place = match attribute {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.event_type,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.datacontenttype,
            "dataschema" => &mut self.dataschema,
            "tenantid" => &mut self.tenantid,
            "environmentid" => &mut self.environmentid,
            "correlationid" => &mut self.correlationid,
            "causationid" => &mut self.causationid,
            "traceparent" => &mut self.traceparent,
            "sequence" => &mut self.sequence,
            other => {
                return match self.others.insert(other.to_owned(), IgnoredAny) {
                    None => Ok(()),
                    Some(_) => Err(EnvelopeError::Repeated { attribute: shortened(other) }),
                };
            }
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(EnvelopeError::Repeated { attribute: attribute.to_owned() }),
        }
    }
}

fn shortened(attribute: &str) -> String {
    attribute.chars().take(40).collect()
}

/// As the HTTP binding says: space, `"`, `%` and whatever is not printable ASCII, in UTF-8 and upper-case digits; nothing else.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => encoded.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// One round of decoding, whatever was encoded without need included.
fn percent_decoded(bytes: &[u8]) -> Result<String, &'static str> {
    let digit = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or("a `%` is not followed by two hexadecimal digits")
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => decoded.push(digit(rest.next())? << 4 | digit(rest.next())?),
            b' '..=b'~' => decoded.push(byte),
            _ => return Err("it holds a byte that is not printable ASCII and is not percent-encoded"),
        }
    }
    String::from_utf8(decoded).map_err(|_| "what is percent-encoded is not UTF-8")
}

/// A quoted string without its quotes and escapes, as writers of earlier versions sent values with spaces; anything else as it is.
fn unquoted(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let Some(inner) = value.strip_prefix(b"\"") else { return Ok(value.to_vec()) };
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' if rest.len() == 0 => return Ok(text),
            b'"' => return Err("something follows the closing quote"),
            b'\\' => text.extend(rest.next()),
            _ => text.push(byte),
        }
    }
    Err("a quote is opened and not closed")
}
