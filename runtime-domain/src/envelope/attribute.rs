//! The attributes' values, each with one parser.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::DomainEvent;
use crate::id::AggregateKind;
use crate::value::{TextError, parsed_text};

const TYPE_PREFIX: &str = "factory.runtime.";
const LONGEST_URI: usize = 1_024;

/// What happened, and in which version of its schema. Written `factory.runtime.RuntimeDeploymentCompleted.v1`; parses back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType {
    name: String,
    version: u16,
}

impl EventType {
    /// The type of an event name and a schema version.
    ///
    /// # Errors
    /// The name is not 1 to 80 letters and digits that begin with a capital, or the version is 0.
    pub fn new(name: &str, version: u16) -> Result<Self, TextError> {
        let rule =
            "an event name of 1 to 80 letters and digits that begins with a capital, and a version from 1";
        let legal = |name: &str| {
            (1..=80).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && name.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
                && version > 0
        };
        parsed_text(name, "an event type", rule, legal).map(|name| Self { name, version })
    }

    /// The type of an event that leaves its context; `None` for one that does not.
    pub fn of<E: DomainEvent>(event: &E) -> Option<Self> {
        event.published().and_then(|version| Self::new(event.name(), version).ok())
    }

    /// The event's name: `RuntimeDeploymentCompleted`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of its schema, from 1.
    pub fn version(&self) -> u16 {
        self.version
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{TYPE_PREFIX}{}.v{}", self.name, self.version)
    }
}

impl FromStr for EventType {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            TextError::new(
                text,
                "an event type",
                "`factory.runtime.`, an event name, `.v` and a version from 1",
            )
        };
        let (name, version) =
            text.strip_prefix(TYPE_PREFIX).and_then(|rest| rest.split_once(".v")).ok_or_else(refused)?;
        let version = decimal(version).and_then(|version| u16::try_from(version).ok()).ok_or_else(refused)?;
        Self::new(name, version).map_err(|_| refused())
    }
}

impl TryFrom<String> for EventType {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.to_string()
    }
}

/// The aggregate that an event happened to. Written `RuntimeDeployment/01926e9c7b0a7cc0a7f0c0ffee000001`; parses back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject {
    /// Its kind.
    pub kind: AggregateKind,
    /// Its identifier.
    pub id: Uuid,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id.as_simple())
    }
}

impl FromStr for Subject {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            TextError::new(text, "a subject", "an aggregate's kind, `/` and 32 lower-case hexadecimal digits")
        };
        let (kind, id) = text.split_once('/').ok_or_else(refused)?;
        if !is_hex(id, 32) {
            return Err(refused());
        }
        Ok(Self {
            kind: kind.parse().map_err(|_| refused())?,
            id: Uuid::try_parse(id).map_err(|_| refused())?,
        })
    }
}

impl TryFrom<String> for Subject {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// Who raised an event: a URI reference such as `/runtime/hosts/west-1` or `urn:factory:runtime`, 1 to 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(String);

impl Source {
    /// Parses a source.
    ///
    /// # Errors
    /// Empty, too long, or with a character that a URI reference cannot have.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let rule = "a URI reference of 1 to 1,024 bytes, such as `/runtime/hosts/west-1`";
        parsed_text(text, "an event source", rule, is_uri_reference).map(Self)
    }

    /// The source's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Source {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.0
    }
}
impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a schema is published: a URI with a scheme, at most 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaUri(String);

impl SchemaUri {
    /// Parses a schema's address.
    ///
    /// # Errors
    /// Without a scheme, too long, or with a character that a URI cannot have.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let rule =
            "a URI with a scheme, at most 1,024 bytes, such as `https://schemas.example/event.v1.json`";
        parsed_text(text, "a schema address", rule, |text| is_uri_reference(text) && has_scheme(text))
            .map(Self)
    }

    /// The address's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SchemaUri {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<SchemaUri> for String {
    fn from(uri: SchemaUri) -> Self {
        uri.0
    }
}
impl fmt::Display for SchemaUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A W3C trace context's `traceparent`, version 00: `00-<trace>-<parent>-<flags>` in lower-case hexadecimal digits.
///
/// A later version is refused: a trace is restarted rather than continued by guessing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

impl TraceParent {
    /// Parses a trace parent.
    ///
    /// # Errors
    /// Another form or version, or a trace or parent of nothing but zeros.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let rule = "`00-`, 32, `-`, 16, `-` and 2 lower-case hexadecimal digits, the trace and the parent not all zeros";
        let is_id = |part: &str, digits| is_hex(part, digits) && part.bytes().any(|byte| byte != b'0');
        parsed_text(text, "a trace parent", rule, |text| {
            let mut parts = text.split('-');
            parts.next() == Some("00")
                && parts.next().is_some_and(|trace| is_id(trace, 32))
                && parts.next().is_some_and(|parent| is_id(parent, 16))
                && parts.next().is_some_and(|flags| is_hex(flags, 2))
                && parts.next().is_none()
        })
        .map(Self)
    }

    /// The whole text, for a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace's identifier: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }

    /// The identifier of the span that caused this: 16 hexadecimal digits.
    pub fn parent_id(&self) -> &str {
        self.0.get(36..52).unwrap_or_default()
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        let flags = self.0.get(53..).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.0
    }
}
impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a text can name an attribute: lower-case letters and digits, as CloudEvents demands.
pub(super) fn is_attribute_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A number from 1, in decimal, without sign or leading zeros.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number > 0 && format!("{number}") == text).then_some(number)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_uri_reference(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let mut escapes = text.split('%').skip(1);
    (1..=LONGEST_URI).contains(&text.len())
        && text.bytes().all(allowed)
        && escapes.all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}
