//! Types of attributes.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::envelope::EnvelopeError;

const PREFIX: &str = "factory.runtime.";

/// The type of an event and the version of its schema: `factory.runtime.RuntimeDeploymentCompleted.v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType {
    name: String,
    version: u16,
}

impl EventType {
    /// The type of the event with this name, letters and digits only, and this version, from 1.
    pub(super) fn new(name: &str, version: u16) -> Option<Self> {
        let is_name = name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_name && version > 0).then(|| Self { name: name.to_owned(), version })
    }

    /// The event's name: `RuntimeDeploymentCompleted`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of its schema, from 1.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Where its schema is published by name.
    pub fn schema(&self) -> String {
        format!("urn:factory:runtime:schema:{}:v{}", self.name, self.version)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}.v{}", self.name, self.version)
    }
}

impl FromStr for EventType {
    type Err = EnvelopeError;

    fn from_str(text: &str) -> Result<Self, EnvelopeError> {
        let parsed = text.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once(".v"));
        parsed
            .filter(|(_, version)| !version.starts_with(['0', '+']))
            .and_then(|(name, version)| Self::new(name, version.parse().ok()?))
            .ok_or_else(|| {
                EnvelopeError::malformed(
                    "type",
                    text,
                    "factory.runtime.<EventName>.v<version>, the version from 1",
                )
            })
    }
}

/// The value of an extension attribute that this library gives no meaning to. It is kept, so that passing an event on loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an extension attribute must be a text, a whole number of 32 bits or a boolean"
)]
pub enum AttributeValue {
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// A text, which CloudEvents' other types are written as.
    Text(String),
}
