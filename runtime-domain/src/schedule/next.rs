//! The search for the next time, over local days and then over the minutes of a day.

use chrono::{Datelike, NaiveDate, Timelike};
use chrono_tz::Tz;

use crate::calendar::TimeZone;
use crate::schedule::CronExpression;
use crate::time::Timestamp;

/// The longest that a date can keep one waiting: a certain 29 February on a certain day of the week comes again after 40 years, where
/// a century without a leap day lies between.
const MOST_DAYS: usize = 41 * 366;

/// The years that schedules know: time zones are kept since 1970, and beyond 9999 local times would leave the calendar.
pub(super) fn is_within_reach(at: Timestamp) -> bool {
    (1970..=9999).contains(&at.year())
}

/// The first instant after `after`. Which instant a local time means never runs backwards, so the first match in local time that lies
/// after `after` is the first instant.
pub(super) fn next(expression: &CronExpression, time_zone: Tz, after: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::from(time_zone);
    let start = zone.local(after);
    let mut day = Some(start.date());
    for _ in 0..MOST_DAYS {
        let date = day?;
        if !expression.months.has(date.month()) {
            day = first_of_next_month(date);
            continue;
        }
        if expression.matches_day(date) {
            let from = (date == start.date()).then(|| (start.hour(), start.minute()));
            let minutes = minutes_of(expression, from.unwrap_or((0, 0)));
            let mut instants =
                minutes.filter_map(|(hour, minute)| Some(zone.earliest(date.and_hms_opt(hour, minute, 0)?)));
            if let Some(found) = instants.find(|instant| *instant > after) {
                return Some(found);
            }
        }
        day = date.succ_opt();
    }
    None
}

fn minutes_of(expression: &CronExpression, from: (u32, u32)) -> impl Iterator<Item = (u32, u32)> {
    let minutes = expression.minutes;
    let all = expression.hours.iter().flat_map(move |hour| minutes.iter().map(move |minute| (hour, minute)));
    all.filter(move |time| *time >= from)
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    let (year, month) =
        if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
    NaiveDate::from_ymd_opt(year, month, 1)
}
