//! Cron expressions: five fields, each a set of numbers.

use alloc::string::String;
use core::fmt;

use chrono::{Datelike, NaiveDate};

use crate::schedule::ScheduleError;

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronField {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or a name.
    Month,
    /// 0 to 7, or a name; 0 and 7 are Sunday.
    DayOfWeek,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl CronField {
    const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// The least value.
    pub const fn least(self) -> u8 {
        match self {
            Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    /// The greatest value.
    pub const fn most(self) -> u8 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        }
    }

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            Self::Minute | Self::Hour | Self::DayOfMonth => &[],
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
        })
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldFault {
    /// It is missing.
    #[error("it is missing; an expression has five fields")]
    Missing,
    /// A part of the list is neither `*` nor a value nor a range.
    #[error("a part of its list is not `*`, a value or a range such as `1-5`")]
    Unreadable,
    /// A value is out of range.
    #[error("{value} is not from {least} to {most}")]
    OutOfRange {
        /// The value.
        value: u16,
        /// The least.
        least: u8,
        /// The greatest.
        most: u8,
    },
    /// A range runs backwards.
    #[error("the range {from}-{to} runs backwards")]
    Backwards {
        /// Where it begins.
        from: u8,
        /// Where it ends.
        to: u8,
    },
    /// A step is nothing, not a number, or follows a single value.
    #[error("a step is a number of at least 1 after `*` or a range, such as `*/15`")]
    Step,
}

/// The numbers that a field means, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn has(self, number: u32) -> bool {
        self.0.checked_shr(number).is_some_and(|bits| bits & 1 == 1)
    }

    /// Those it has, in order.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |number| self.has(*number))
    }
}

/// Five fields of cron, of which at least one day of some year matches. `Display` gives the text it was parsed from, with single spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronExpression {
    text: String,
    pub(super) minutes: Numbers,
    pub(super) hours: Numbers,
    days: Numbers,
    pub(super) months: Numbers,
    weekdays: Numbers,
    needs_both_days: bool,
}

impl CronExpression {
    pub(super) fn parse<'t>(words: impl Iterator<Item = &'t str>) -> Result<Self, ScheduleError> {
        let mut text = String::new();
        for word in words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        let fields =
            if text.starts_with('@') { nickname(&text).ok_or(ScheduleError::Nickname)? } else { &text };
        let mut words = fields.split(' ').filter(|word| !word.is_empty());
        let mut sets = [Numbers(0); 5];
        let mut needs_both_days = false;
        for (set, field) in sets.iter_mut().zip(CronField::ALL) {
            let fault = |why| ScheduleError::Field { field, why };
            let word = words.next().ok_or(fault(FieldFault::Missing))?;
            *set = numbers(field, word).map_err(fault)?;
            let is_day = matches!(field, CronField::DayOfMonth | CronField::DayOfWeek);
            needs_both_days |= is_day && word.starts_with('*');
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let expression = Self { minutes, hours, days, months, weekdays, needs_both_days, text };
        if expression.happens() { Ok(expression) } else { Err(ScheduleError::Never) }
    }

    /// Every date, 29 February included, falls on every day of the week within 400 years, so that months and days alone decide.
    fn happens(&self) -> bool {
        !self.needs_both_days
            || self.months.iter().any(|month| self.days.iter().any(|day| day <= longest(month)))
    }

    pub(super) fn matches_day(&self, date: NaiveDate) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().num_days_from_sunday());
        self.months.has(date.month()) && if self.needs_both_days { day && weekday } else { day || weekday }
    }
}

/// The most days that a month has.
const fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn nickname(text: &str) -> Option<&'static str> {
    Some(match text {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

fn numbers(field: CronField, word: &str) -> Result<Numbers, FieldFault> {
    word.split(',').try_fold(0, |bits, part| Ok(bits | part_bits(field, part)?)).map(Numbers)
}

fn part_bits(field: CronField, part: &str) -> Result<u64, FieldFault> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0).ok_or(FieldFault::Step)?)),
        None => (part, None),
    };
    let (from, to) = if range == "*" {
        (field.least(), field.most())
    } else if let Some((from, to)) = range.split_once('-') {
        let (from, to) = (value(field, from)?, value(field, to)?);
        // `fri-sun` is meant, and Sunday is 7 as well.
        let to = if field == CronField::DayOfWeek && to == 0 && from > 0 { 7 } else { to };
        if from > to {
            return Err(FieldFault::Backwards { from, to });
        }
        (from, to)
    } else if step.is_some() {
        return Err(FieldFault::Step);
    } else {
        let value = value(field, range)?;
        (value, value)
    };
    let step = usize::from(step.unwrap_or(1));
    let folded = |value: u8| if field == CronField::DayOfWeek { value % 7 } else { value };
    Ok((from..=to).step_by(step).fold(0, |bits, value| bits | 1 << folded(value)))
}

fn number(text: &str) -> Option<u16> {
    let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn value(field: CronField, text: &str) -> Result<u8, FieldFault> {
    if let Some(value) = number(text) {
        let (least, most) = (field.least(), field.most());
        return u8::try_from(value)
            .ok()
            .filter(|value| (least..=most).contains(value))
            .ok_or(FieldFault::OutOfRange { value, least, most });
    }
    let named = field.names().iter().zip(field.least()..);
    named
        .filter(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, value)| value)
        .next()
        .ok_or(FieldFault::Unreadable)
}
