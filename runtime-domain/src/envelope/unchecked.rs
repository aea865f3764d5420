//! What came from a wire.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Deserializer};

use crate::envelope::AttributeValue;

/// An event as it came in CloudEvents' JSON format, before anything about it is known to be right. A `null` is an absence.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(bound = "D: Deserialize<'de>")]
pub struct UncheckedEnvelope<D> {
    /// The version of CloudEvents.
    #[serde(default)]
    pub specversion: Option<String>,
    /// The event's identifier.
    #[serde(default)]
    pub id: Option<String>,
    /// Where it came from.
    #[serde(default)]
    pub source: Option<String>,
    /// Its type.
    #[serde(default, rename = "type")]
    pub event_type: Option<String>,
    /// What it is about.
    #[serde(default)]
    pub subject: Option<String>,
    /// When it happened.
    #[serde(default)]
    pub time: Option<String>,
    /// The media type of the data.
    #[serde(default)]
    pub datacontenttype: Option<String>,
    /// The schema of the data.
    #[serde(default)]
    pub dataschema: Option<String>,
    /// The tenant.
    #[serde(default)]
    pub tenantid: Option<String>,
    /// The environment.
    #[serde(default)]
    pub environmentid: Option<String>,
    /// The chain of work.
    #[serde(default)]
    pub correlationid: Option<String>,
    /// The event that caused it.
    #[serde(default)]
    pub causationid: Option<String>,
    /// The trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Its number within the aggregate.
    #[serde(default)]
    pub sequence: Option<String>,
    /// What happened. `null` is data where `D` reads it so.
    #[serde(default = "nothing", deserialize_with = "present")]
    pub data: Option<D>,
    /// Every other attribute.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Option<AttributeValue>>,
}

fn nothing<D>() -> Option<D> {
    None
}

fn present<'de, T: Deserializer<'de>, D: Deserialize<'de>>(deserializer: T) -> Result<Option<D>, T::Error> {
    D::deserialize(deserializer).map(Some)
}
