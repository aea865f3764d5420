//! The checksum of a version's content.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt::{self, Write};
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::configuration::{ConfigurationEntry, ConfigurationValue};
use crate::value::{TextError, parsed_text};

/// The SHA-256 of a content's canonical form, written `sha256:` and 64 lower-case hexadecimal digits.
///
/// The canonical form is stable across versions of this library: the line `factory-runtime/configuration/1`, then every entry in order
/// of scope (environment, services by name, tenants by identifier) and key, each as four netstrings (`length:bytes,`): scope, key, type
/// (`text`, `number`, `boolean`, `json`, `secret`) and value. A number is its canonical decimal, JSON its canonical text, a secret
/// reference the binding and, where a version is pinned, `@` and the version. Text is taken as its UTF-8 bytes: Unicode is not
/// normalised, so two texts that look alike and are encoded otherwise differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(String);

impl Checksum {
    /// Parses a checksum.
    ///
    /// # Errors
    /// Not `sha256:` followed by 64 lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, ChecksumError> {
        // What is not a checksum may be anything that was pasted: it is not repeated.
        let legal = text.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        if legal { Ok(Self(text.to_owned())) } else { Err(ChecksumError) }
    }

    /// The checksum of entries that are in order.
    pub(super) fn of(entries: &[ConfigurationEntry]) -> Self {
        let mut canonical = Canonical(Sha256::new());
        canonical.0.update(b"factory-runtime/configuration/1\n");
        for entry in entries {
            canonical.part(&entry.scope);
            canonical.part(entry.key.as_str());
            canonical.part(entry.value.type_name());
            match &entry.value {
                ConfigurationValue::Text(text) => canonical.part(text),
                ConfigurationValue::Number(number) => canonical.part(number.as_str()),
                ConfigurationValue::Boolean(boolean) => canonical.part(boolean),
                ConfigurationValue::Json(document) => canonical.part(document),
                ConfigurationValue::Secret(reference) => canonical.part(reference),
            }
        }
        let mut text = String::with_capacity("sha256:".len() + 64);
        text.push_str("sha256:");
        for byte in canonical.0.finalize() {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The whole checksum, algorithm included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A canonical form, hashed as it is written, so that no copy of the content is made.
struct Canonical(Sha256);

impl Canonical {
    /// A netstring of what `value` displays as.
    fn part(&mut self, value: impl fmt::Display) {
        let mut length = Length(0);
        // Neither counting nor hashing can fail.
        let _ = write!(length, "{value}");
        let _ = write!(self, "{}:{value},", length.0);
    }
}

impl Write for Canonical {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// A text is not a checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a checksum: write `sha256:` and 64 lower-case hexadecimal digits")]
pub struct ChecksumError;

impl FromStr for Checksum {
    type Err = ChecksumError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl TryFrom<String> for Checksum {
    type Error = ChecksumError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.0
    }
}
impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The number of a configuration version within its environment, from 1. Displayed as `v7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u32", into = "u32")]
pub struct ConfigVersion(core::num::NonZeroU32);

impl ConfigVersion {
    /// The first version of an environment.
    pub const FIRST: Self = Self(core::num::NonZeroU32::MIN);

    /// A version by its number.
    ///
    /// # Errors
    /// Zero.
    pub fn new(number: u32) -> Result<Self, TextError> {
        core::num::NonZeroU32::new(number).map(Self).ok_or_else(|| {
            TextError::new("0", "a configuration version", "a whole number from 1 to 4294967295")
        })
    }

    /// The version after this one; `None` after the last that can be written.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}
impl TryFrom<u32> for ConfigVersion {
    type Error = TextError;
    fn try_from(number: u32) -> Result<Self, Self::Error> {
        Self::new(number)
    }
}
impl From<ConfigVersion> for u32 {
    fn from(version: ConfigVersion) -> Self {
        version.get()
    }
}
impl fmt::Display for ConfigVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}", self.get())
    }
}

/// A consumer's name within its module, such as an instance or a revision: 1 to 128 letters, digits and any of `.-_@:/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerName(String);

impl ConsumerName {
    /// Parses a name.
    ///
    /// # Errors
    /// Empty, longer than 128 characters, or with other characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(text, "a consumer's name", "1 to 128 letters, digits and any of .-_@:/", |text| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@:/".contains(&byte))
        })
        .map(Self)
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for ConsumerName {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<ConsumerName> for String {
    fn from(name: ConsumerName) -> Self {
        name.0
    }
}
impl fmt::Display for ConsumerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
