//! Images: references as people write them, and digests that name exactly one content.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::value::{TextError, parsed_text};

/// What a pattern says of a repository.
#[cfg(feature = "schema")]
macro_rules! repository {
    () => {
        "[a-z0-9]+([._-][a-z0-9]+)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])/[a-z0-9]+([._-][a-z0-9]+)*)?(/[a-z0-9]+([._-][a-z0-9]+)*)*"
    };
}
#[cfg(feature = "schema")]
const TAGGED: &str = concat!("^", repository!(), ":[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$");
#[cfg(feature = "schema")]
const PINNED: &str =
    concat!("^", repository!(), "(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?@sha256:[0-9a-f]{64}$");

/// The digest of an image: `sha256:` and 64 lower-case hexadecimal digits. It names exactly one content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$")))]
#[serde(try_from = "String", into = "String")]
pub struct ImageDigest(String);

impl ImageDigest {
    const LENGTH: usize = "sha256:".len() + 64;

    /// Parses a digest.
    ///
    /// # Errors
    /// Not `sha256:` followed by 64 lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(text, "an image digest", "`sha256:` and 64 lower-case hexadecimal digits", |text| {
            text.strip_prefix("sha256:").is_some_and(|hex| {
                hex.len() == 64
                    && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            })
        })
        .map(Self)
    }

    /// The whole digest, algorithm included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        self.0.get(7..).unwrap_or_default()
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }
}

impl TryFrom<String> for ImageDigest {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl FromStr for ImageDigest {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl From<ImageDigest> for String {
    fn from(digest: ImageDigest) -> Self {
        digest.0
    }
}
impl fmt::Display for ImageDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A reference to an image as people write it: `shop/cart:1.4.2`, `shop/cart@sha256:…`, with or without a registry.
///
/// A tag can move; a deployment resolves it to an [`ImageDigest`] once, when it is requested.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("anyOf" = [{ "pattern": TAGGED, "maxLength": Self::LONGEST_TAGGED }, { "pattern": PINNED, "maxLength": Self::LONGEST }])))]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    repository: String,
    tag: Option<String>,
    digest: Option<ImageDigest>,
}

impl ImageReference {
    /// The longest reference, in bytes, its digest included.
    pub const LONGEST: usize = 255;
    /// The longest that has a tag only, in bytes: there is room for the digest that it is resolved to, so that what can be read can be pinned,
    /// and then still be read.
    const LONGEST_TAGGED: usize = Self::LONGEST - ImageDigest::LENGTH - 1;

    /// Parses a reference: a repository (with an optional registry host and port), then `:tag`, `@digest` or both.
    ///
    /// # Errors
    /// Upper-case letters, empty path parts, `..`, a bad tag or digest, neither tag nor digest, or more than 255 characters
    /// with a digest, 183 without one.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let refused = || {
            TextError::new(
                text,
                "an image reference",
                "repository:tag or repository@sha256:digest, the repository in lower case, such as shop/cart:1.4.2",
            )
        };
        let longest = if text.contains('@') { Self::LONGEST } else { Self::LONGEST_TAGGED };
        if text.len() > longest {
            return Err(refused());
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(ImageDigest::new(digest).map_err(|_| refused())?)),
            None => (text, None),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (rest, None),
        };
        let legal =
            is_repository(repository) && tag.is_none_or(is_tag) && (tag.is_some() || digest.is_some());
        if !legal {
            return Err(refused());
        }
        Ok(Self { repository: repository.to_string(), tag: tag.map(ToString::to_string), digest })
    }

    /// The repository, with its registry host where one was given.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&ImageDigest> {
        self.digest.as_ref()
    }

    /// The same repository and tag, pinned to `digest`.
    #[must_use]
    pub fn pinned(&self, digest: ImageDigest) -> PinnedImage {
        PinnedImage { reference: Self { digest: Some(digest.clone()), ..self.clone() }, digest }
    }
}

fn is_repository(text: &str) -> bool {
    let mut parts = text.split('/');
    let Some(first) = parts.next() else { return false };
    let (host, port) = first.split_once(':').map_or((first, None), |(host, port)| (host, Some(port)));
    let port_is_legal = port.is_none_or(|port| {
        text.contains('/')
            && port.starts_with(|digit| matches!(digit, '1'..='9'))
            && port.parse::<u16>().is_ok()
    });
    port_is_legal && is_path_part(host) && parts.all(is_path_part)
}

fn is_path_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !part.is_empty()
        && part.bytes().all(|byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && part.bytes().next().is_some_and(alphanumeric)
        && part.bytes().last().is_some_and(alphanumeric)
        && !part.contains("..")
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}
impl TryFrom<String> for ImageReference {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl FromStr for ImageReference {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

/// An image whose content is known: a reference that carries its digest. What runs is always one of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = PINNED)))]
#[serde(try_from = "ImageReference", into = "ImageReference")]
pub struct PinnedImage {
    reference: ImageReference,
    digest: ImageDigest,
}

impl PinnedImage {
    /// The reference, which carries the digest.
    pub fn reference(&self) -> &ImageReference {
        &self.reference
    }

    /// The digest.
    pub fn digest(&self) -> &ImageDigest {
        &self.digest
    }
}

impl TryFrom<ImageReference> for PinnedImage {
    type Error = TextError;
    fn try_from(reference: ImageReference) -> Result<Self, Self::Error> {
        match reference.digest.clone() {
            Some(digest) => Ok(Self { reference, digest }),
            None => Err(TextError::new(
                &reference.to_string(),
                "a pinned image",
                "repository@sha256:digest, since a tag can move",
            )),
        }
    }
}
impl From<PinnedImage> for ImageReference {
    fn from(image: PinnedImage) -> Self {
        image.reference
    }
}
impl fmt::Display for PinnedImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::assert_text;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn image_references_parse_as_registries_read_them() {
        for text in [
            "cart:1",
            "shop/cart:1.4.2",
            "localhost:5000/cart:1",
            "localhost:65535/cart:1",
            "shop/cart:latest",
        ] {
            assert_eq!(ImageReference::new(text).map(|it| it.to_string()).as_deref(), Ok(text));
        }
        let pinned = format!("shop/cart@{DIGEST}");
        assert_eq!(ImageReference::new(&pinned).map(|it| it.to_string()), Ok(pinned));
    }

    #[test]
    fn image_references_that_could_escape_or_mislead_are_refused() {
        for text in [
            "",
            "cart",
            "../cart:1",
            "shop/../cart:1",
            "Shop/cart:1",
            "cart:",
            "/cart:1",
            "cart@sha256:12",
            "a:0/b:1",
            "a:+80/b:1",
            "a:080/b:1",
            "a:65536/b:1",
        ] {
            assert!(ImageReference::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_digest_is_sha256_in_lower_case() {
        let shown = |digest: &ImageDigest| alloc::vec![digest.to_string(), digest.as_str().to_string()];
        let upper = DIGEST.replace('a', "A");
        let (short, long) = (&DIGEST[..70], format!("{DIGEST}a"));
        let others = [DIGEST.replace("256", "512"), DIGEST.replace(':', ""), DIGEST.replace("aaaa", "ag0z")];
        let refused = ["", &upper, short, &long, &others[0], &others[1], &others[2]];
        assert_text(shown, &[DIGEST, &DIGEST.replace("aa", "9f")], &refused);
        let digest: ImageDigest = DIGEST.parse().unwrap();
        assert_eq!((digest.hex(), digest.short()), (&DIGEST[7..], "aaaaaaaaaaaa"));
        assert!("latest".parse::<ImageDigest>().is_err());
    }

    #[test]
    fn a_reference_tells_its_parts() {
        let reference = ImageReference::new(&format!("localhost:5000/shop/cart:1.4@{DIGEST}")).unwrap();
        assert_eq!(reference.repository(), "localhost:5000/shop/cart");
        assert_eq!(
            (reference.tag(), reference.digest().map(ImageDigest::as_str)),
            (Some("1.4"), Some(DIGEST))
        );
        let floating: ImageReference = "cart:1".parse().unwrap();
        assert_eq!((floating.tag(), floating.digest()), (Some("1"), None));
        assert!("cart".parse::<ImageReference>().is_err());
    }

    #[test]
    fn a_reference_is_refused_just_beyond_its_limits() {
        let long = |count: usize| format!("{}:1", "a".repeat(count));
        let tag = |count: usize| format!("a:{}", "t".repeat(count));
        let shown = |reference: &ImageReference| alloc::vec![reference.to_string()];
        let legal = ["a:1", "a:_x", "a:A.b-c_d", "a.b_c-d/e:1", "a:65535/b:1", &long(181), &tag(128)];
        let refused = [
            &long(182),
            &tag(129),
            "a:.x",
            "a:-x",
            "a:x!",
            "a:65536/b:1",
            "a:1:1",
            ".a:1",
            "a.:1",
            "a_/b:1",
            "a/-b:1",
            "a..b:1",
            "a/:1",
            "a b:1",
            "a:1@sha256:1",
        ];
        assert_text(shown, &legal, &refused);
    }

    #[test]
    fn only_an_image_with_its_digest_is_pinned() {
        let digest = ImageDigest::new(DIGEST).unwrap();
        let floating = ImageReference::new("cart:1").unwrap();
        let refused = PinnedImage::try_from(floating.clone()).unwrap_err().to_string();
        assert!(refused.contains("since a tag can move"), "{refused}");
        let pinned = floating.pinned(digest.clone());
        assert_eq!(pinned.to_string(), format!("cart:1@{DIGEST}"));
        assert_eq!((pinned.reference().to_string(), pinned.digest()), (pinned.to_string(), &digest));
        assert_eq!(PinnedImage::try_from(ImageReference::from(pinned.clone())), Ok(pinned));
    }

    #[test]
    fn the_longest_reference_can_be_pinned_and_then_be_read() {
        let longest = ImageReference::new(&format!("{}:1", "a".repeat(181))).unwrap();
        let pinned = longest.pinned(ImageDigest::new(DIGEST).unwrap()).to_string();
        assert_eq!(pinned.len(), ImageReference::LONGEST);
        assert_eq!(ImageReference::new(&pinned).map(|it| it.to_string()), Ok(pinned));
    }

    proptest! {
        #[test]
        fn hostile_references_never_panic_and_what_parses_round_trips(text in "[a-zA-Z0-9:/@._-]{0,80}") {
            if let Ok(reference) = ImageReference::new(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
