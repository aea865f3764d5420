//! Where in a source the desired state of an environment is.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::value::{TextError, parsed_text};

/// A folder within a source of desired state, such as `shop/staging`; `.` is the whole.
///
/// It cannot lead out of the source: parts are separated by single slashes, each begins with a letter or digit and has letters, digits,
/// dots, hyphens and underscores. At most 256 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DesiredStatePath(String);

impl DesiredStatePath {
    /// The longest path, in bytes.
    pub const LONGEST: usize = 256;

    /// Parses a path.
    ///
    /// # Errors
    /// Empty, absolute, too long, with a part that begins with a dot, or with other characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let legal_part = |part: &str| {
            part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        };
        parsed_text(
            text,
            "a folder of desired state",
            "a relative path such as shop/staging, of letters, digits, dots, hyphens and underscores, each part beginning with a letter or \
             digit; `.` is the whole source",
            |text| text == "." || (text.len() <= Self::LONGEST && text.split('/').all(legal_part)),
        )
        .map(Self)
    }

    /// The whole source.
    pub fn whole() -> Self {
        Self(".".into())
    }

    /// Its parts, from the outermost; none where it is the whole.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| *part != ".")
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DesiredStatePath {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl FromStr for DesiredStatePath {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl From<DesiredStatePath> for String {
    fn from(path: DesiredStatePath) -> Self {
        path.0
    }
}
impl fmt::Display for DesiredStatePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
