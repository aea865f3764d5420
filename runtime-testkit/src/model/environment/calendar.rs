//! When an environment may be changed, in minutes of UTC since the story's beginning, Friday 2027-01-15 at 08:00.

use crate::model::{Foreseen, text};
use crate::plan::environment::{Calendar, Freeze, Window};

const DAY: i64 = 24 * 60;
/// The story begins at this minute of its first day.
const BEGINNING: i64 = 8 * 60;
/// The first day of a story is a Friday; Monday is 0.
const FIRST_DAY: i64 = 4;

/// A calendar, and whether someone has stopped the line.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    calendar: Calendar,
    is_stopped: bool,
}

impl Window {
    /// Whether it is open, so many seconds after the midnight before the story.
    fn is_open(&self, seconds: i64) -> bool {
        let today = seconds.div_euclid(DAY * 60);
        // An occurrence that began yesterday may still last.
        [today - 1, today].into_iter().any(|day| {
            let is_named = self.days >> (day + FIRST_DAY).rem_euclid(7) & 1 == 1;
            let last_day = if self.to > self.from { day } else { day + 1 };
            let (from, to) = (day * DAY + i64::from(self.from), last_day * DAY + i64::from(self.to));
            is_named && (from * 60..to * 60).contains(&seconds)
        })
    }
}

impl Freeze {
    fn is_on(&self, seconds: i64) -> bool {
        let from = i64::from(self.from) * 3_600 + BEGINNING * 60;
        (from..from + i64::from(self.hours) * 3_600).contains(&seconds)
    }
}

impl Times {
    fn is_open(&self, activity: u8, now: i64) -> bool {
        let seconds = now + BEGINNING * 60;
        let names = |activities: u8| activities >> activity & 1 == 1;
        let is_frozen = self
            .calendar
            .freeze
            .as_ref()
            .is_some_and(|freeze| names(freeze.activities) && freeze.is_on(seconds));
        let mut own = self.calendar.windows.iter().filter(|window| names(window.activities)).peekable();
        let is_free = own.peek().is_none() || own.any(|window| window.is_open(seconds));
        !self.is_stopped && !is_frozen && is_free
    }

    pub(super) fn clear(&self, activity: u8, glass: Option<&str>, now: i64) -> Foreseen {
        match glass {
            _ if self.is_open(activity, now) => Foreseen::Same,
            Some(reason) if text::is_reason(reason) => Foreseen::Same,
            Some(_) => Foreseen::Refused("CONTENT"),
            None => Foreseen::Refused("CALENDAR"),
        }
    }

    pub(super) fn change(&mut self, calendar: &Calendar) -> Foreseen {
        if self.calendar == *calendar {
            return Foreseen::Same;
        }
        self.calendar = calendar.clone();
        Foreseen::Changes(Vec::new())
    }

    /// Stops the line, or lets it go on.
    pub(super) fn turn(&mut self, is_stopped: bool, reason: &str) -> Foreseen {
        if !text::is_reason(reason) {
            return Foreseen::Refused("CONTENT");
        }
        let is_same = self.is_stopped == is_stopped;
        self.is_stopped = is_stopped;
        if is_same { Foreseen::Same } else { Foreseen::Changes(Vec::new()) }
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}
