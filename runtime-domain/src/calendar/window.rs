//! What opens and what closes a calendar.

use alloc::collections::BTreeSet;
use alloc::string::String;

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use serde::{Deserialize, Serialize};

use crate::calendar::{Activity, CalendarError, LocalTime, TimeZone};
use crate::reason;
use crate::time::Timestamp;
use crate::value::Name;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Day {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Day {
    fn of(date: NaiveDate) -> Self {
        match date.weekday() {
            Weekday::Mon => Self::Monday,
            Weekday::Tue => Self::Tuesday,
            Weekday::Wed => Self::Wednesday,
            Weekday::Thu => Self::Thursday,
            Weekday::Fri => Self::Friday,
            Weekday::Sat => Self::Saturday,
            Weekday::Sun => Self::Sunday,
        }
    }
}

/// A time of the week in which activities are allowed. An activity that some window names is allowed in its windows only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeWindow {
    /// Its name, unique in the calendar.
    pub name: Name,
    /// What it allows; at least one.
    pub activities: BTreeSet<Activity>,
    /// The local days on which it begins; at least one.
    pub days: BTreeSet<Day>,
    /// The local time at which it begins.
    pub from: LocalTime,
    /// The local time before which it ends: of the next day where it is no later than the beginning.
    pub to: LocalTime,
}

impl ChangeWindow {
    pub(super) fn check(&self) -> Result<(), CalendarError> {
        if self.activities.is_empty() {
            return Err(CalendarError::NoActivity { name: self.name.clone() });
        }
        if self.days.is_empty() {
            return Err(CalendarError::NoDay { name: self.name.clone() });
        }
        Ok(())
    }

    /// The occurrence that begins on a local day: from a moment, up to and not including another.
    pub(super) fn occurrence(&self, day: NaiveDate, zone: TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(&Day::of(day)) {
            return None;
        }
        let last_day = if self.to > self.from { day } else { day.checked_add_signed(TimeDelta::days(1))? };
        let (from, to) = (zone.earliest(self.from.on(day)?), zone.latest(self.to.on(last_day)?));
        (from < to).then_some((from, to))
    }
}

/// A time in which activities are not allowed, whatever the windows say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Its name, unique in the calendar.
    pub name: Name,
    /// What it forbids; at least one.
    pub activities: BTreeSet<Activity>,
    /// The local time from which it forbids: `2026-12-20T18:00:00`.
    pub from: NaiveDateTime,
    /// The local time from which it does not any more.
    pub until: NaiveDateTime,
    /// Why; told to whoever is held up.
    pub reason: String,
}

impl Freeze {
    pub(super) fn check(&self) -> Result<(), CalendarError> {
        if self.activities.is_empty() {
            return Err(CalendarError::NoActivity { name: self.name.clone() });
        }
        if self.until <= self.from {
            return Err(CalendarError::EndsFirst { name: self.name.clone() });
        }
        let years = 1970..=9999;
        if !years.contains(&self.from.year()) || !years.contains(&self.until.year()) {
            return Err(CalendarError::FarAway { name: self.name.clone() });
        }
        if !reason::is_kept(&self.reason) {
            return Err(CalendarError::NoReason { name: self.name.clone() });
        }
        Ok(())
    }

    /// From which moment up to and not including which it forbids. A freeze is never shorter than it says.
    pub(super) fn span(&self, zone: TimeZone) -> (Timestamp, Timestamp) {
        (zone.earliest(self.from), zone.latest(self.until))
    }
}
