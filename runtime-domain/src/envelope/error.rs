//! Why an envelope was refused.

use alloc::string::String;

/// Why what came from a wire is not an envelope. Texts that came with it are shortened and freed of control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is of another version of CloudEvents.
    #[error("specversion `{found}` is not supported: send CloudEvents 1.0")]
    SpecVersion {
        /// The version that it is of.
        found: String,
    },
    /// An attribute is missing, or empty.
    #[error("attribute `{attribute}` is missing: every event of this runtime carries it")]
    Missing {
        /// Which.
        attribute: &'static str,
    },
    /// An attribute cannot be read.
    #[error("attribute `{attribute}` is `{found}`: write {expected}")]
    Malformed {
        /// Which.
        attribute: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An extension attribute has a name that CloudEvents does not allow.
    #[error("`{found}` is not an attribute's name: write lower-case letters and digits only")]
    Name {
        /// The name.
        found: String,
    },
}

impl EnvelopeError {
    pub(super) fn malformed(attribute: &'static str, found: &str, expected: &'static str) -> Self {
        Self::Malformed { attribute, found: shown(found), expected }
    }

    pub(super) fn spec_version(found: &str) -> Self {
        Self::SpecVersion { found: shown(found) }
    }

    pub(super) fn name(found: &str) -> Self {
        Self::Name { found: shown(found) }
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .take(80)
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect()
}
