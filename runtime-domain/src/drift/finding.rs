//! What a divergence is, and what makes two of them one.

use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::drift::compare::{NonEmptyDiff, ShownValue};
use crate::id::{EnvironmentId, ServiceId};
use crate::value::{ModuleId, Name, TextError, parsed_text};

/// What diverges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A component of a release.
    Component(ModuleId),
    /// A resource that is no component: a queue, a network rule.
    Resource(Name),
}

impl Subject {
    /// Its name.
    pub const fn name(&self) -> &Name {
        match self {
            Self::Component(name) | Self::Resource(name) => name,
        }
    }

    /// The component, where it is one.
    pub const fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::Component(module) => Some(module),
            Self::Resource(_) => None,
        }
    }

    /// The service in `environment`, where it is one.
    pub fn service(&self, environment: EnvironmentId) -> Option<ServiceId> {
        self.module().map(|module| ServiceId::of(environment, module))
    }

    const fn noun(&self) -> &'static str {
        match self {
            Self::Component(_) => "component",
            Self::Resource(_) => "resource",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.noun(), self.name())
    }
}

/// How what runs diverges from what is desired.
///
/// | kind | severity unless the policy says otherwise |
/// |---|---|
/// | ImageVersionMismatch | high |
/// | ReplicaMismatch | medium |
/// | ConfigDrift | medium |
/// | MissingResource | critical |
/// | UnmanagedResource | low |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum DriftKind {
    /// Another image runs.
    ImageVersionMismatch,
    /// More or fewer replicas run.
    ReplicaMismatch,
    /// It runs with another configuration.
    ConfigDrift,
    /// It is desired and not there.
    MissingResource,
    /// It is there and nothing desires it.
    UnmanagedResource,
}

impl DriftKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::ImageVersionMismatch,
        Self::ReplicaMismatch,
        Self::ConfigDrift,
        Self::MissingResource,
        Self::UnmanagedResource,
    ];

    /// The kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageVersionMismatch => "ImageVersionMismatch",
            Self::ReplicaMismatch => "ReplicaMismatch",
            Self::ConfigDrift => "ConfigDrift",
            Self::MissingResource => "MissingResource",
            Self::UnmanagedResource => "UnmanagedResource",
        }
    }

    /// How grave it is unless the policy says otherwise.
    pub const fn severity(self) -> Severity {
        match self {
            Self::MissingResource => Severity::Critical,
            Self::ImageVersionMismatch => Severity::High,
            Self::ReplicaMismatch | Self::ConfigDrift => Severity::Medium,
            Self::UnmanagedResource => Severity::Low,
        }
    }
}

impl fmt::Display for DriftKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How grave a divergence is, the least grave first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Known and meant; kept for the record.
    Info,
    /// Nothing is served worse.
    Low,
    /// Something may be served worse.
    Medium,
    /// Something else is served than is desired.
    High,
    /// Something is not served.
    Critical,
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What makes two findings one (DRF-2): SHA-256 over environment, subject, kind and difference, as 64 hexadecimal digits.
///
/// Neither the time nor the desired revision is part of it: the same divergence stays one finding while commits pass that do not
/// touch it. Secrets are hashed as redacted, so that the hash tells nothing about them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct FindingHash(String);

impl FindingHash {
    /// The hash of a divergence.
    pub fn of(environment: EnvironmentId, subject: &Subject, kind: DriftKind, diff: &NonEmptyDiff) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"factory.runtime/drift-finding/1\0");
        hash.update(environment.uuid().as_bytes());
        let mut text = |part: &str| {
            // Each part says its length, so that no two sequences of parts read the same.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        };
        text(subject.noun());
        text(subject.name().as_str());
        text(kind.name());
        for entry in diff.entries() {
            text(&entry.path);
            for side in [&entry.desired, &entry.actual] {
                match side {
                    ShownValue::Absent => text("absent"),
                    ShownValue::Redacted => text("redacted"),
                    ShownValue::Text(shown) => {
                        text("text");
                        text(shown);
                    }
                }
            }
        }
        hash.update(diff.omitted().to_be_bytes());
        Self(hex(&hash.finalize()))
    }

    /// The hash's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FindingHash {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        parsed_text(&text, "a finding's hash", "64 lower-case hexadecimal digits", |text| {
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
        .map(Self)
    }
}
impl From<FindingHash> for String {
    fn from(hash: FindingHash) -> Self {
        hash.0
    }
}
impl fmt::Display for FindingHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
