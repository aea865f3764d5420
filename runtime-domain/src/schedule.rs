//! Schedules: when something that repeats happens next. Pure: they are told what time it is.
//!
//! | written | it happens |
//! |---|---|
//! | `every 30d` | 30 days after the last time |
//! | `0 3 * * 0 Europe/Berlin` | Sundays at 03:00 on Berlin's clocks |
//! | `@weekly` | Sundays at 00:00 UTC |
//!
//! A cron expression has five fields: minute (0–59), hour (0–23), day of the month (1–31), month (1–12 or `jan`–`dec`) and day of the
//! week (0–7 or `sun`–`sat`; 0 and 7 are Sunday). A field is a list of `*`, values and ranges, where `*` and ranges take a step: `*/15`,
//! `1-5`, `10-30/5`, `mon,wed`. A time zone of the IANA database may follow; without one it is UTC. The nicknames `@hourly`, `@daily`,
//! `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` stand for five fields.
//!
//! **Days**: as Vixie cron has it, where one of the two day fields begins with `*` a day must match both; where neither does, a day that
//! matches either is meant: `0 0 13 * 5` is every 13th and every Friday.
//!
//! **Daylight saving**: a local time that is skipped happens at the first instant after the gap, once for all that fall into it; a local
//! time that comes twice happens the first time only, even where every minute is meant.

mod cron;
mod next;
#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use cron::{CronExpression, CronField, FieldFault};

use crate::time::{Span, Timestamp};

/// When something that repeats happens: after a period, or at times of a calendar.
///
/// `Display` and [`FromStr`] round-trip, and serde uses the same text; see [the module](self) for how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// So long after the last time. At least [`Schedule::SHORTEST`], which [`FromStr`] and [`Schedule::every`] keep.
    Every(Period),
    /// At times of a calendar.
    Cron {
        /// Which times.
        expression: CronExpression,
        /// On whose clocks.
        time_zone: Tz,
    },
}

/// A span of at least [`Schedule::SHORTEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Span);

impl Period {
    /// The span.
    pub const fn span(self) -> Span {
        self.0
    }
}

impl Schedule {
    /// The shortest period: cron has no shorter one either.
    pub const SHORTEST: Span = Span::from_secs(60);
    /// The most that [`Schedule::next_jittered`] puts off.
    pub const LONGEST_JITTER: Span = Span::from_secs(3_600);
    /// The longest text, in bytes.
    pub const LONGEST_TEXT: usize = 256;

    /// Every `span`.
    ///
    /// # Errors
    /// Shorter than [`Schedule::SHORTEST`].
    pub fn every(span: Span) -> Result<Self, ScheduleError> {
        if span < Self::SHORTEST {
            return Err(ScheduleError::TooShort { span });
        }
        Ok(Self::Every(Period(span)))
    }

    /// The first time after `after`, never `after` itself. A period is counted from `after`.
    ///
    /// `None` where `after` is before 1970, or there is none before the year 10000. The search is bounded: a cron expression that can
    /// happen at all happens within 41 years.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if !next::is_within_reach(after) {
            return None;
        }
        let next = match self {
            Self::Every(period) => period.span().after(after),
            Self::Cron { expression, time_zone } => next::next(expression, *time_zone, after)?,
        };
        next::is_within_reach(next).then_some(next)
    }

    /// As [`Schedule::next_after`], put off by a part that is fixed for `key`, so that a thousand things with one schedule do not all
    /// happen at once: less than a tenth of the time to the one after it, and less than [`Schedule::LONGEST_JITTER`].
    pub fn next_jittered(&self, after: Timestamp, key: Uuid) -> Option<Timestamp> {
        let next = self.next_after(after)?;
        let gap = self.next_after(next).map_or(Span::ZERO, |following| Span::between(next, following));
        Some(jitter(gap, key).after(next))
    }
}

/// Less than a tenth of `gap` and than [`Schedule::LONGEST_JITTER`]; nothing where there is no gap.
fn jitter(gap: Span, key: Uuid) -> Span {
    let window = (gap.as_millis() / 10).min(Schedule::LONGEST_JITTER.as_millis());
    let mut hash = Sha256::new();
    hash.update(b"factory.runtime/schedule-jitter/1\0");
    hash.update(key.as_bytes());
    let number = hash.finalize().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Span::from_millis(number.checked_rem(window).unwrap_or(0))
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(formatter, "every {}", period.span()),
            Self::Cron { expression, time_zone } => write!(formatter, "{expression} {}", time_zone.name()),
        }
    }
}

/// Why a text is not a schedule. It does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// It is neither a period nor a cron expression.
    #[error(
        "it is no schedule: write `every` and a span such as `every 30d`, five cron fields such as `0 3 * * 0`, or a nickname such as `@daily`, with a time zone after the latter two"
    )]
    Form,
    /// It is longer than [`Schedule::LONGEST_TEXT`].
    #[error("a schedule has at most {} bytes", Schedule::LONGEST_TEXT)]
    TooLong,
    /// What follows `every` is no span.
    #[error(
        "what follows `every` is not a span of time: write numbers with units, largest first, such as `30d`"
    )]
    Span,
    /// The period is too short.
    #[error("every {span} is too often: a schedule's period is at least {}", Schedule::SHORTEST)]
    TooShort {
        /// The period.
        span: Span,
    },
    /// What begins with `@` is no nickname.
    #[error("it is no nickname: write @hourly, @daily, @weekly, @monthly or @yearly")]
    Nickname,
    /// A field of the cron expression is wrong.
    #[error("the {field} of the cron expression is wrong: {why}")]
    Field {
        /// Which field.
        field: CronField,
        /// What is wrong, and what would be right.
        why: FieldFault,
    },
    /// No day of any year matches.
    #[error("the cron expression never happens: none of its months has any of its days")]
    Never,
    /// The time zone is unknown.
    #[error("the time zone is not in the IANA database: write one such as `Europe/Berlin`, or none for UTC")]
    TimeZone,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::LONGEST_TEXT {
            return Err(ScheduleError::TooLong);
        }
        let mut words = text.split_ascii_whitespace().peekable();
        let first = words.peek().copied().ok_or(ScheduleError::Form)?;
        if first == "every" {
            let span = words.nth(1).ok_or(ScheduleError::Span)?;
            if words.next().is_some() {
                return Err(ScheduleError::Form);
            }
            return Self::every(span.parse().map_err(|_| ScheduleError::Span)?);
        }
        let fields = if first.starts_with('@') { 1 } else { 5 };
        let expression = CronExpression::parse(words.by_ref().take(fields))?;
        let time_zone = match words.next() {
            Some(zone) => zone.parse().map_err(|_| ScheduleError::TimeZone)?,
            None => Tz::UTC,
        };
        if words.next().is_some() {
            return Err(ScheduleError::Form);
        }
        Ok(Self::Cron { expression, time_zone })
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
