//! What kept things are about, and how their content is known.

use std::fmt;
use std::str::FromStr;

use runtime_domain::id::EnvironmentId;
use sha2::{Digest, Sha256};

/// A name for what is kept: `deployment/dep_…/migrate`, `surface/cart`, `plan.json`.
///
/// One or more parts with `/` between them; each begins and ends with a lower-case letter or digit and holds those, `-`, `_` and `.`. At most
/// [`KeptName::LONGEST`] characters. So no name leads out of a folder, and none differs from another by its case alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptName(String);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name for what is kept: write 1 to {} lower-case letters, digits, `-`, `_`, `.` and `/`, every part between \
     slashes beginning and ending with a letter or digit",
    KeptName::LONGEST
)]
pub struct KeptNameError {
    /// The beginning of it, without what cannot be shown.
    text: String,
}

impl KeptName {
    /// The most characters of a name.
    pub const LONGEST: usize = 160;

    /// Parses a name.
    ///
    /// # Errors
    /// It breaks the rule above.
    pub fn new(text: &str) -> Result<Self, KeptNameError> {
        if text.len() <= Self::LONGEST && text.split('/').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        let shown = text.chars().take(64).map(|character| match character.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => character,
        });
        Err(KeptNameError { text: shown.collect() })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_plain = part.bytes().next().is_some_and(is_plain) && part.bytes().last().is_some_and(is_plain);
    ends_plain && part.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

impl FromStr for KeptName {
    type Err = KeptNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for KeptName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What snapshots and artifacts are about: something in one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The environment.
    pub environment: EnvironmentId,
    /// What in it.
    pub name: KeptName,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.environment, self.name)
    }
}

/// The SHA-256 of some bytes. `Display` and [`FromStr`] round-trip: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a digest: write `sha256:` followed by 64 lower-case hexadecimal digits")]
pub struct ContentDigestError;

impl ContentDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was kept as bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ContentDigest {
    type Err = ContentDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").ok_or(ContentDigestError)?;
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 64 || !digits.bytes().all(is_hexadecimal) {
            return Err(ContentDigestError);
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(place * 2..place * 2 + 2).ok_or(ContentDigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ContentDigestError)?;
        }
        Ok(Self(bytes))
    }
}

/// Digests what comes in parts.
#[derive(Debug, Clone, Default)]
pub struct Digesting(Sha256);

impl Digesting {
    /// Takes the next part.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything that was taken.
    pub fn digest(&self) -> ContentDigest {
        ContentDigest(self.0.clone().finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_or_more_plain_parts() {
        let longest = "a".repeat(KeptName::LONGEST);
        for text in ["a", "plan.json", "deployment/dep_00ff/step-1", "a.b_c-d/0", longest.as_str()] {
            assert_eq!(text.parse::<KeptName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        let too_long = "a".repeat(KeptName::LONGEST + 1);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/..",
            ".a",
            "a.",
            "-a",
            "a-",
            "A",
            "a b",
            "a\\b",
            "a\0b",
            "a\nb",
            "ä",
            "a:b",
            "~",
            "con ",
            too_long.as_str(),
        ] {
            let refused = KeptName::new(text).unwrap_err().to_string();
            assert!(refused.contains("lower-case"), "{refused}");
            assert!(!refused.chars().any(char::is_control), "{refused:?}");
        }
        // Ten megabytes are refused without being repeated.
        assert!(KeptName::new(&"x".repeat(10_000_000)).unwrap_err().to_string().len() < 400);
    }

    #[test]
    fn a_digest_round_trips_through_its_text_and_its_parts() {
        let digest = ContentDigest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((digest.to_string().as_str(), text.parse()), (text, Ok(digest)));
        let mut parts = Digesting::default();
        parts.update(b"a");
        parts.update(b"");
        parts.update(b"bc");
        assert_eq!(parts.digest(), digest);
        for text in
            ["", "sha256:", &text[..70], &text.to_uppercase(), &text.replace("sha256", "sha512"), "sha256:é"]
        {
            assert_eq!(text.parse::<ContentDigest>(), Err(ContentDigestError), "{text}");
        }
    }
}
