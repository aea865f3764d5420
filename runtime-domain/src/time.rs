//! Points in time and spans of time. The domain is told what time it is; it never asks.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// A span of time in whole milliseconds, from zero to about 49,000 years.
///
/// Written with units, largest first: `1h30m`, `45s`, `250ms`, `0s`. `Display` and [`FromStr`] round-trip; serde uses the
/// same text, so that a manifest reads as a person would write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    millis: u64,
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest span: a timestamp plus this never leaves the calendar's range.
const LONGEST_MILLIS: u64 = 36_500 * 86_400_000;

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self { millis: 0 };

    /// A span of whole milliseconds; longer than 36,500 days is taken as 36,500 days.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis: if millis > LONGEST_MILLIS { LONGEST_MILLIS } else { millis } }
    }

    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    /// The span in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// True for the empty span.
    pub const fn is_zero(self) -> bool {
        self.millis == 0
    }

    /// The point this far after `start`; the end of the calendar where there is no such point.
    pub fn after(self, start: Timestamp) -> Timestamp {
        start
            .checked_add_signed(chrono::TimeDelta::milliseconds(self.millis as i64))
            .unwrap_or(Timestamp::MAX_UTC)
    }

    /// The point this far before `end`; the beginning of the calendar where there is no such point.
    pub fn before(self, end: Timestamp) -> Timestamp {
        end.checked_sub_signed(chrono::TimeDelta::milliseconds(self.millis as i64))
            .unwrap_or(Timestamp::MIN_UTC)
    }

    /// How long from `start` to `end`; zero where `end` is the earlier, so a clock that jumps back never makes a span negative.
    pub fn between(start: Timestamp, end: Timestamp) -> Self {
        Self::from_millis(u64::try_from((end - start).num_milliseconds()).unwrap_or(0))
    }

    /// This span `times` over.
    pub const fn times(self, times: u64) -> Self {
        Self::from_millis(self.millis.saturating_mul(times))
    }

    /// The span as the standard library's duration, for an adapter's timer.
    pub const fn to_std(self) -> core::time::Duration {
        core::time::Duration::from_millis(self.millis)
    }
}

impl core::ops::Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::from_millis(self.millis.saturating_add(other.millis))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.millis;
        for (unit, size) in UNITS {
            if rest >= size {
                write!(formatter, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why a text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a span of time: write numbers with units, largest first, such as `1h30m`, `45s` or `250ms`"
)]
pub struct SpanError {
    text: String,
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .filter(|millis| *millis <= LONGEST_MILLIS)
            .map(|millis| Self { millis })
            .ok_or_else(|| SpanError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let wanted = rest.get(..letters)?;
        // Advancing one shared iterator keeps units in descending order and each at most once.
        let (_, size) = units.find(|(unit, _)| *unit == wanted)?;
        total = total.checked_add(number.checked_mul(*size)?)?;
        rest = rest.get(letters..)?;
    }
    Some(total)
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: SpanError| serde::de::Error::custom(format!("{error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_span_round_trips_through_its_text(millis in 0..LONGEST_MILLIS) {
            let span = Span::from_millis(millis);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn hostile_texts_are_refused_or_parsed_but_never_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Span>();
        }
    }

    #[test]
    fn units_must_be_known_and_descend() {
        for text in ["", "5", "s", "5m1h", "1s1s", "-1s", "1 s", "1y", "99999999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("1h30m".parse::<Span>(), Ok(Span::from_secs(5_400)));
    }

    #[test]
    fn a_clock_that_jumps_back_gives_an_empty_span() {
        let earlier = Timestamp::UNIX_EPOCH;
        let later = Span::from_secs(5).after(earlier);
        assert_eq!(Span::between(later, earlier), Span::ZERO);
    }
}
