//! Small value objects that several contexts share. Each has one parser; serde goes through the same door.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::num::NonZeroU16;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the value it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: write {rule}")]
pub struct TextError {
    text: String,
    what: &'static str,
    rule: &'static str,
}

impl TextError {
    pub(crate) fn new(text: &str, what: &'static str, rule: &'static str) -> Self {
        let mut shown: String =
            text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if shown.len() < text.len() && text.chars().count() > 80 {
            shown.push('…');
        }
        Self { text: shown, what, rule }
    }
}

pub(crate) fn parsed_text(
    text: &str,
    what: &'static str,
    rule: &'static str,
    legal: impl FnOnce(&str) -> bool,
) -> Result<String, TextError> {
    if legal(text) { Ok(text.to_owned()) } else { Err(TextError::new(text, what, rule)) }
}

pub(crate) fn is_dns_label(text: &str, longest: usize) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && text.bytes().last().is_some_and(alphanumeric)
}

/// A name that every surface accepts: a lower-case DNS label of 1 to 40 characters that begins with a letter.
///
/// Names environments, modules, gates and jobs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")))]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The longest name, in bytes. It leaves room for a suffix within a surface's 63.
    pub const LONGEST: usize = 40;

    /// Parses a name.
    ///
    /// # Errors
    /// Not a lower-case DNS label of 1 to 40 characters that begins with a letter.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(
            text,
            "a name",
            "1 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen",
            |text| is_dns_label(text, Self::LONGEST),
        )
        .map(Self)
    }

    /// A name of a text that was built to be one.
    pub(crate) fn from_legal(text: String) -> Self {
        debug_assert!(is_dns_label(&text, Self::LONGEST));
        Self(text)
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl FromStr for Name {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Identifies a module of the generated product; one module runs as one component in an environment.
pub type ModuleId = Name;

/// How many times an aggregate has been written: 1 after its first commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of an aggregate's first commit.
    pub const FIRST: Self = Self(1);

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "r{}", self.0)
    }
}

/// A number of replicas that serve: at least one, so that no path scales what serves to nothing by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minimum" = 1, "maximum" = 1_000)))]
#[serde(try_from = "u16", into = "u16")]
pub struct Replicas(NonZeroU16);

impl Replicas {
    /// One replica.
    pub const ONE: Self = Self(NonZeroU16::MIN);
    /// The most replicas of one component.
    pub const MOST: u16 = 1_000;

    /// A count from 1 to 1,000.
    ///
    /// # Errors
    /// Zero, or more than 1,000.
    pub fn new(count: u16) -> Result<Self, RangeError> {
        NonZeroU16::new(count).filter(|count| count.get() <= Self::MOST).map(Self).ok_or(RangeError {
            what: "a replica count",
            value: i64::from(count),
            least: 1,
            most: i64::from(Self::MOST),
        })
    }

    /// The count.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for Replicas {
    type Error = RangeError;
    fn try_from(count: u16) -> Result<Self, Self::Error> {
        Self::new(count)
    }
}
impl From<Replicas> for u16 {
    fn from(replicas: Replicas) -> Self {
        replicas.get()
    }
}
impl fmt::Display for Replicas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A number outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not {what}: write a number from {least} to {most}")]
pub struct RangeError {
    what: &'static str,
    value: i64,
    least: i64,
    most: i64,
}

impl RangeError {
    pub(crate) fn sum_of_weights(sum: u32) -> Self {
        Self { what: "a sum of traffic weights", value: i64::from(sum), least: 100, most: 100 }
    }
}

/// A share of traffic in whole percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("maximum" = 100)))]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Half of it.
    pub const HALF: Self = Self(50);
    /// All of it.
    pub const ALL: Self = Self(100);

    /// A share from 0 to 100.
    ///
    /// # Errors
    /// More than 100.
    pub fn new(percent: u8) -> Result<Self, RangeError> {
        if percent <= 100 {
            Ok(Self(percent))
        } else {
            Err(RangeError { what: "a percentage", value: i64::from(percent), least: 0, most: 100 })
        }
    }

    /// The share as a number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// What is left of the whole.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(100 - self.0)
    }
}

impl TryFrom<u8> for Percent {
    type Error = RangeError;
    fn try_from(percent: u8) -> Result<Self, Self::Error> {
        Self::new(percent)
    }
}
impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}
impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

/// A measured or wanted quantity with six decimal places, exact: no rounding differs between machines.
///
/// Written in decimal, with twelve digits before the point at most: `0.05`, `250`, `-1.5`. The unit is the metric's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure {
    micros: i64,
}

impl Measure {
    /// The greatest, in millionths: a million millions less one millionth. The least is as far below zero.
    const MOST: i64 = 999_999_999_999_999_999;

    /// From millionths of a unit; beyond the range it is taken as the nearest end.
    pub const fn from_micros(micros: i64) -> Self {
        if micros > Self::MOST {
            Self { micros: Self::MOST }
        } else if micros < -Self::MOST {
            Self { micros: -Self::MOST }
        } else {
            Self { micros }
        }
    }

    /// From whole units; beyond the range it is taken as the nearest end.
    pub const fn from_units(units: i64) -> Self {
        Self::from_micros(units.saturating_mul(1_000_000))
    }

    /// `part` of `whole`, and `None` where the whole is nothing: no data is not zero.
    pub fn ratio(part: u64, whole: u64) -> Option<Self> {
        let micros = u128::from(part).checked_mul(1_000_000)?.checked_div(u128::from(whole))?;
        i64::try_from(micros).ok().filter(|micros| *micros <= Self::MOST).map(Self::from_micros)
    }

    /// The quantity in millionths.
    pub const fn micros(self) -> i64 {
        self.micros
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let size = self.micros.unsigned_abs();
        let (units, decimals) = (size / 1_000_000, size % 1_000_000);
        if decimals == 0 {
            write!(formatter, "{sign}{units}")
        } else {
            let text = format!("{decimals:06}");
            write!(formatter, "{sign}{units}.{}", text.trim_end_matches('0'))
        }
    }
}

impl fmt::Debug for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Measure {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            TextError::new(
                text,
                "a quantity",
                "a decimal number with at most twelve digits and six decimal places, such as 0.05",
            )
        };
        let (negative, size) = match text.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, text),
        };
        let (units, decimals) =
            size.split_once('.').map_or((size, None), |(units, decimals)| (units, Some(decimals)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units) || decimals.is_some_and(|part| !digits(part) || part.len() > 6) {
            return Err(refused());
        }
        let decimals = decimals.unwrap_or("");
        let joined = format!("{}{units}{decimals:0<6}", if negative { "-" } else { "" });
        let micros: i64 = joined.parse().map_err(|_| refused())?;
        if (-Self::MOST..=Self::MOST).contains(&micros) { Ok(Self { micros }) } else { Err(refused()) }
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A region of a cloud or a data centre, such as `westeurope` or `local`.
pub type Region = Name;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{assert_text, letters};

    proptest! {
        #[test]
        fn a_measure_round_trips_through_its_text(micros in any::<i64>()) {
            let measure = Measure::from_micros(micros);
            prop_assert_eq!(measure.to_string().parse::<Measure>(), Ok(measure));
        }

        #[test]
        fn hostile_names_are_refused_or_parsed_but_never_panic(text in "\\PC{0,60}") {
            if let Ok(name) = Name::new(&text) {
                prop_assert_eq!(name.as_str(), text.as_str());
                prop_assert!(!text.contains(['/', '.', '\\', ' ']));
            }
        }
    }

    #[test]
    fn a_ratio_of_nothing_is_unknown_and_not_zero() {
        assert_eq!(Measure::ratio(0, 0), None);
        assert_eq!(Measure::ratio(1, 20), "0.05".parse().ok());
        assert_eq!(Measure::ratio(u64::MAX, 1), None, "a quantity beyond the range is not known either");
    }

    #[test]
    fn zero_replicas_cannot_be_built() {
        assert!(Replicas::new(0).is_err());
        assert!(Replicas::new(1_001).is_err());
        assert_eq!(Replicas::new(1), Ok(Replicas::ONE));
        let most = Replicas::new(1_000).unwrap();
        assert_eq!((most.get(), u16::from(most), most.to_string().as_str()), (1_000, 1_000, "1000"));
        assert_eq!(Replicas::try_from(2).map(Replicas::get), Ok(2));
        let refused = Replicas::new(0).unwrap_err().to_string();
        assert_eq!(refused, "0 is not a replica count: write a number from 1 to 1000");
    }

    #[test]
    fn a_share_is_at_most_all_of_it() {
        assert_eq!((Percent::new(0), Percent::new(100)), (Ok(Percent::NONE), Ok(Percent::ALL)));
        let refused = Percent::new(101).unwrap_err().to_string();
        assert_eq!(refused, "101 is not a percentage: write a number from 0 to 100");
        let share = Percent::try_from(30).unwrap();
        assert_eq!((share.get(), u8::from(share), share.rest().get()), (30, 30, 70));
        assert_eq!(share.to_string(), "30%");
    }

    #[test]
    fn a_name_is_a_label_that_every_surface_takes() {
        let shown = |name: &Name| alloc::vec![name.to_string(), name.as_str().to_owned()];
        let longest = letters(40);
        let refused = ["", "A", "1a", "-a", "a-", "a.b", "a_b", "ä", " a", &letters(41)];
        assert_text(shown, &["a", "a1", "a-1", "shop-2", &longest], &refused);
    }

    #[test]
    fn a_refusal_shows_the_beginning_of_the_text_and_no_control_characters() {
        let shown = |text: &str| TextError::new(text, "a name", "letters").to_string();
        assert_eq!(shown("a\nb"), "`a\u{fffd}b` is not a name: write letters");
        assert_eq!(shown(&letters(80)), alloc::format!("`{}` is not a name: write letters", letters(80)));
        assert_eq!(shown(&letters(81)), alloc::format!("`{}…` is not a name: write letters", letters(80)));
        let wide = "ä".repeat(80);
        assert_eq!(shown(&wide), alloc::format!("`{wide}` is not a name: write letters"));
    }

    #[test]
    fn revisions_count_from_one() {
        assert_eq!((Revision::FIRST.next(), Revision::FIRST.to_string().as_str()), (Revision(2), "r1"));
        assert_eq!(Revision(u64::MAX).next(), Revision(u64::MAX));
    }

    #[test]
    fn a_measure_is_written_as_people_write_decimals() {
        for (micros, text) in [
            (0, "0"),
            (50_000, "0.05"),
            (250_000_000, "250"),
            (-1_500_000, "-1.5"),
            (1, "0.000001"),
            (-1, "-0.000001"),
        ] {
            let measure = Measure::from_micros(micros);
            assert_eq!((measure.to_string().as_str(), text.parse()), (text, Ok(measure)));
            assert_eq!(alloc::format!("{measure:?}"), text);
            assert_eq!(serde_json::to_value(measure).unwrap(), text);
            assert_eq!(serde_json::from_value::<Measure>(text.into()).unwrap(), measure);
        }
        for text in ["", "-", ".5", "1.", "1.0000001", "+1", "1e3", "1,5", "0x1", "1000000000000", "--1"] {
            assert!(text.parse::<Measure>().is_err(), "{text}");
        }
        assert_eq!(Measure::from_units(3).micros(), 3_000_000);
        for most in [Measure::from_micros(i64::MAX), Measure::from_units(i64::MAX)] {
            assert_eq!("999999999999.999999".parse(), Ok(most), "what is beyond is the nearest end");
        }
        assert_eq!("-999999999999.999999".parse(), Ok(Measure::from_units(i64::MIN)));
    }
}
