//! Reading: from whatever came over the wire to an [`Envelope`], or to why not.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use chrono::Datelike;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::envelope::attribute::{decimal, is_attribute_name};
use crate::envelope::{Envelope, SPEC_VERSION, SchemaUri, Source, TraceParent};
use crate::time::Timestamp;
use crate::value::TextError;

/// An envelope as it came: of the right shape, with nothing in it checked yet.
///
/// A null attribute counts as an absent one, as CloudEvents demands.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub struct UncheckedEnvelope<D> {
    pub(super) specversion: Option<String>,
    pub(super) id: Option<String>,
    pub(super) source: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) time: Option<String>,
    pub(super) datacontenttype: Option<String>,
    pub(super) dataschema: Option<String>,
    pub(super) tenantid: Option<String>,
    pub(super) environmentid: Option<String>,
    pub(super) correlationid: Option<String>,
    pub(super) causationid: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) sequence: Option<String>,
    pub(super) data: Option<D>,
    data_base64: Option<IgnoredAny>,
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, IgnoredAny>,
}

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// An attribute, or the data, is absent.
    #[error("the envelope has no `{attribute}`: add it")]
    Missing {
        /// Its name.
        attribute: &'static str,
    },
    /// The version of CloudEvents is not known.
    #[error("`specversion` is `{given}`: write `{SPEC_VERSION}`")]
    SpecVersion {
        /// What it is, shortened.
        given: String,
    },
    /// An attribute's value is not legal.
    #[error("`{attribute}` is not legal: {why}")]
    Illegal {
        /// Its name.
        attribute: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// An attribute's name is not legal.
    #[error(transparent)]
    IllegalName(TextError),
    /// The data is not JSON.
    #[error("the data is in `data_base64`: write it as JSON in `data`")]
    BinaryData,
    /// A header's value cannot be decoded.
    #[error("`{attribute}` cannot be decoded: {why}; percent-encode UTF-8 as the binding says")]
    Encoding {
        /// The attribute's name, shortened.
        attribute: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two headers carry one attribute.
    #[error("`{attribute}` is given more than once: give it once")]
    Repeated {
        /// The attribute's name, shortened.
        attribute: String,
    },
    /// The body is not JSON, or not of the shape that is read.
    #[error(
        "the data cannot be read or written as JSON (line {line}, column {column}): send the event's data in its schema"
    )]
    Data {
        /// Where the fault is.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// The content type is that of the structured mode.
    #[error("the content type is that of a whole envelope: read it in the structured mode")]
    NotBinary,
}

impl EnvelopeError {
    /// Where the data is not as it should be; not what is there, which may be confidential.
    pub(super) fn data(error: &serde_json::Error) -> Self {
        Self::Data { line: error.line(), column: error.column() }
    }
}

impl<D> UncheckedEnvelope<D> {
    pub(super) fn empty() -> Self {
        Self {
            specversion: None,
            id: None,
            source: None,
            event_type: None,
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            tenantid: None,
            environmentid: None,
            correlationid: None,
            causationid: None,
            traceparent: None,
            sequence: None,
            data: None,
            data_base64: None,
            others: BTreeMap::new(),
        }
    }
}

impl<D> TryFrom<UncheckedEnvelope<D>> for Envelope<D> {
    type Error = EnvelopeError;

    fn try_from(unchecked: UncheckedEnvelope<D>) -> Result<Self, Self::Error> {
        match unchecked.specversion.as_deref() {
            None => return Err(EnvelopeError::Missing { attribute: "specversion" }),
            Some(SPEC_VERSION) => {}
            Some(other) => {
                return Err(EnvelopeError::SpecVersion { given: other.chars().take(16).collect() });
            }
        }
        if unchecked.data_base64.is_some() {
            return Err(EnvelopeError::BinaryData);
        }
        if let Some(name) = unchecked.others.keys().find(|name| !is_attribute_name(name)) {
            let rule = "lower-case letters and digits";
            return Err(EnvelopeError::IllegalName(TextError::new(name, "an attribute name", rule)));
        }
        optional("datacontenttype", unchecked.datacontenttype, json_content)?;
        Ok(Self {
            id: required("id", unchecked.id, |text| text.parse())?,
            source: required("source", unchecked.source, Source::new)?,
            event_type: required("type", unchecked.event_type, |text| text.parse())?,
            time: required("time", unchecked.time, rfc_3339)?,
            subject: required("subject", unchecked.subject, |text| text.parse())?,
            data_schema: optional("dataschema", unchecked.dataschema, SchemaUri::new)?,
            tenant: required("tenantid", unchecked.tenantid, |text| text.parse())?,
            environment: required("environmentid", unchecked.environmentid, |text| text.parse())?,
            correlation: required("correlationid", unchecked.correlationid, |text| text.parse())?,
            causation: optional("causationid", unchecked.causationid, |text| text.parse())?,
            trace_parent: optional("traceparent", unchecked.traceparent, TraceParent::new)?,
            sequence: required("sequence", unchecked.sequence, sequence)?,
            data: unchecked.data.ok_or(EnvelopeError::Missing { attribute: "data" })?,
        })
    }
}

fn required<T, E: ToString>(
    attribute: &'static str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, EnvelopeError> {
    optional(attribute, text, parse)?.ok_or(EnvelopeError::Missing { attribute })
}

fn optional<T, E: ToString>(
    attribute: &'static str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, EnvelopeError> {
    text.map(|text| parse(&text))
        .transpose()
        .map_err(|error| EnvelopeError::Illegal { attribute, why: error.to_string() })
}

/// `*/json` or `*/*+json`, whatever parameters follow.
fn json_content(text: &str) -> Result<(), TextError> {
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = media_type.split_once('/').is_some_and(|(kind, subtype)| {
        let suffixed = subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty());
        !kind.is_empty() && !subtype.contains('/') && (subtype == "json" || suffixed)
    });
    if is_json { Ok(()) } else { Err(TextError::new(text, "a JSON media type", "`application/json`")) }
}

fn rfc_3339(text: &str) -> Result<Timestamp, TextError> {
    chrono::DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.to_utc())
        // An offset can carry a legal year into one that RFC 3339 cannot write.
        .filter(|time| (0..=9_999).contains(&time.year()))
        .ok_or_else(|| TextError::new(text, "a time", "RFC 3339, such as 2026-11-02T09:30:00Z"))
}

fn sequence(text: &str) -> Result<u64, TextError> {
    decimal(text.trim_start_matches('0')).ok_or_else(|| {
        TextError::new(text, "a sequence", "a decimal number from 1, with or without leading zeros")
    })
}
