//! Exact decimal numbers.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::configuration::EntryError;

/// An exact decimal number of at most [`Decimal::MOST_DIGITS`] digits, kept as its canonical text: `1.50` is `1.5`, `-0` is `0`.
///
/// Written as a minus sign where it is negative, an integer part without leading zeros, and decimal places where there are any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal(String);

impl Decimal {
    /// The most digits before and after the point together, zeros at either end not counted.
    pub const MOST_DIGITS: usize = 38;
    /// The longest text that is looked at, in bytes.
    const LONGEST: usize = 64;

    /// Parses a number without an exponent.
    ///
    /// # Errors
    /// Leading zeros, a sign other than one minus, an exponent, no digits on a side of the point, or too many digits.
    pub fn new(text: &str) -> Result<Self, EntryError> {
        if text.len() > Self::LONGEST {
            return Err(EntryError::Number);
        }
        let (sign, size) = text.strip_prefix('-').map_or(("", text), |size| ("-", size));
        let (whole, places) = size.split_once('.').unwrap_or((size, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || !digits(places) || leads_with_zero {
            return Err(EntryError::Number);
        }
        Self::canonical(sign, whole, places)
    }

    /// Parses a number as JSON writes it: as [`Decimal::new`], and with an exponent, which is multiplied out.
    ///
    /// # Errors
    /// Not a JSON number, or too many digits once multiplied out.
    pub fn from_json(text: &str) -> Result<Self, EntryError> {
        let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return Self::new(text) };
        let mantissa = Self::new(mantissa)?;
        let digits = exponent.strip_prefix('+').unwrap_or(exponent);
        let bare = digits.strip_prefix('-').unwrap_or(digits);
        if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) || exponent.starts_with("+-") {
            return Err(EntryError::Number);
        }
        if mantissa.0 == "0" {
            return Ok(mantissa);
        }
        let shift: i32 = digits.parse().map_err(|_| EntryError::Number)?;
        // A shift beyond this leaves more digits than a number may have, whatever the mantissa.
        if shift.unsigned_abs() as usize > 2 * Self::MOST_DIGITS {
            return Err(EntryError::Number);
        }
        mantissa.shifted(shift)
    }

    fn shifted(&self, shift: i32) -> Result<Self, EntryError> {
        let (sign, size) = self.0.strip_prefix('-').map_or(("", self.0.as_str()), |size| ("-", size));
        let (whole, places) = size.split_once('.').unwrap_or((size, ""));
        let by = shift.unsigned_abs() as usize;
        let zeros = "0".repeat(by);
        let (digits, point) = if shift < 0 {
            // The point moves left, into zeros put in front: it ends where the integer part now ends.
            ([zeros.as_str(), whole, places].concat(), whole.len())
        } else {
            ([whole, places, zeros.as_str()].concat(), whole.len() + by)
        };
        let (whole, places) = digits.split_at_checked(point).ok_or(EntryError::Number)?;
        Self::canonical(sign, whole, places)
    }

    fn canonical(sign: &str, whole: &str, places: &str) -> Result<Self, EntryError> {
        let whole = whole.trim_start_matches('0');
        let places = places.trim_end_matches('0');
        if whole.len() + places.len() > Self::MOST_DIGITS {
            return Err(EntryError::Number);
        }
        Ok(Self(match (whole, places) {
            ("", "") => "0".to_string(),
            (whole, "") => [sign, whole].concat(),
            ("", places) => [sign, "0.", places].concat(),
            (whole, places) => [sign, whole, ".", places].concat(),
        }))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = EntryError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl TryFrom<String> for Decimal {
    type Error = EntryError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<Decimal> for String {
    fn from(number: Decimal) -> Self {
        number.0
    }
}
impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
