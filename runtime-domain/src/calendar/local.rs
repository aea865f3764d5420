//! Local times, and which moments they are.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::value::TextError;

/// A time zone by its name in the IANA database: `Europe/Berlin`, `UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(Tz);

impl TimeZone {
    /// Parses a name.
    ///
    /// # Errors
    /// The database has no such zone.
    pub fn new(name: &str) -> Result<Self, TextError> {
        let rule = "the name of a zone in the IANA database, such as `Europe/Berlin` or `UTC`";
        name.parse().map(Self).map_err(|_| TextError::new(name, "a time zone", rule))
    }

    /// The zone's name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What clocks show there.
    pub(crate) fn local(self, moment: Timestamp) -> NaiveDateTime {
        moment.with_timezone(&self.0).naive_local()
    }

    /// The first moment at which clocks there show `local`, or the first after where they never do.
    pub(crate) fn earliest(self, local: NaiveDateTime) -> Timestamp {
        match self.0.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment.with_timezone(&Utc),
            LocalResult::None => self.after_gap(local),
        }
    }

    /// The last moment at which clocks there show `local`, or the first after where they never do.
    pub(crate) fn latest(self, local: NaiveDateTime) -> Timestamp {
        match self.0.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(_, moment) => moment.with_timezone(&Utc),
            LocalResult::None => self.after_gap(local),
        }
    }

    /// The first moment after clocks were put forward over `local`.
    fn after_gap(self, local: NaiveDateTime) -> Timestamp {
        let end = GapInfo::new(&local, &self.0).and_then(|gap| gap.end);
        // Without an end there is no gap: what clocks show is then taken for UTC.
        end.map_or_else(|| Utc.from_utc_datetime(&local), |end| end.with_timezone(&Utc))
    }
}

impl From<Tz> for TimeZone {
    fn from(zone: Tz) -> Self {
        Self(zone)
    }
}
impl Default for TimeZone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}
impl TryFrom<String> for TimeZone {
    type Error = TextError;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}
impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.name().to_string()
    }
}
impl fmt::Display for TimeZone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A time of day in whole minutes, `00:00` to `24:00`: the end of a day is also its last minute's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")))]
#[serde(try_from = "String", into = "String")]
pub struct LocalTime {
    minutes: u16,
}

const MINUTES_OF_A_DAY: u16 = 24 * 60;

impl LocalTime {
    /// Parses a time, `HH:MM`.
    ///
    /// # Errors
    /// Another form, or later than `24:00`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let refused =
            || TextError::new(text, "a time of day", "two digits, `:` and two digits, from 00:00 to 24:00");
        let digits = |part: &str| {
            (part.len() == 2)
                .then(|| part.parse::<u8>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit())))
                .flatten()
        };
        let (hours, minutes) = text.split_once(':').ok_or_else(refused)?;
        let (hours, minutes) = (digits(hours).ok_or_else(refused)?, digits(minutes).ok_or_else(refused)?);
        let all = u16::from(hours) * 60 + u16::from(minutes);
        if minutes < 60 && all <= MINUTES_OF_A_DAY { Ok(Self { minutes: all }) } else { Err(refused()) }
    }

    /// This time of that day; `24:00` is midnight of the next.
    pub(crate) fn on(self, day: NaiveDate) -> Option<NaiveDateTime> {
        day.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(i64::from(self.minutes)))
    }
}

impl FromStr for LocalTime {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl TryFrom<String> for LocalTime {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<LocalTime> for String {
    fn from(time: LocalTime) -> Self {
        format!("{time}")
    }
}
impl fmt::Display for LocalTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}
