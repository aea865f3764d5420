//! Whether the calendar is open, until when, and from when again.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use chrono::TimeDelta;

use crate::calendar::{Activity, ChangeCalendar, ChangeWindow, StoppedLine};
use crate::time::Timestamp;

/// Whether a calendar is open to an activity at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Open {
        /// The first moment at which it is closed again; `None` where nothing closes it.
        until: Option<Timestamp>,
    },
    /// It is closed.
    Closed {
        /// Why, in words for people.
        why: String,
        /// The first moment at which it is open again; `None` where that depends on a person.
        opens_at: Option<Timestamp>,
    },
}

impl Opening {
    /// True where it is open.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// How many days ahead every window has begun once, with a day to spare for clocks that change.
const HORIZON: i64 = 9;

impl ChangeCalendar {
    /// Whether it is open to an activity now. `stopped` closes it whatever it says.
    pub fn at(&self, activity: Activity, now: Timestamp, stopped: Option<&StoppedLine>) -> Opening {
        if let Some(stopped) = stopped {
            let why = format!("{} stopped the line: {}", stopped.by, stopped.reason);
            return Opening::Closed { why, opens_at: None };
        }
        match self.closed_by(activity, now) {
            None => Opening::Open { until: self.turns(activity, now) },
            Some(why) => Opening::Closed { why, opens_at: self.turns(activity, now) },
        }
    }

    /// What is open between two moments, in order: each from a moment, up to and not including another. At most `most` are told.
    pub fn openings(
        &self,
        activity: Activity,
        from: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> Vec<(Timestamp, Timestamp)> {
        let mut found = Vec::new();
        let mut moment = from;
        while moment < until && found.len() < most {
            let turn = self.turns(activity, moment).unwrap_or(until).min(until);
            if self.closed_by(activity, moment).is_none() {
                found.push((moment, turn));
            }
            moment = turn;
        }
        found
    }

    /// Why it is closed to an activity, whatever the line does; `None` where it is open.
    fn closed_by(&self, activity: Activity, now: Timestamp) -> Option<String> {
        let frozen =
            self.freezes.iter().filter(|freeze| freeze.activities.contains(&activity)).find(|freeze| {
                let (from, until) = freeze.span(self.time_zone);
                (from..until).contains(&now)
            });
        if let Some(freeze) = frozen {
            return Some(format!("frozen by `{}`: {}", freeze.name, freeze.reason));
        }
        let mut windows = self.windows_for(activity).peekable();
        windows.peek()?;
        if windows.any(|window| self.occurrences(window, now).any(|(from, to)| (from..to).contains(&now))) {
            return None;
        }
        Some(format!("outside every window for {activity}"))
    }

    /// The first moment after `now` at which it is open where it was closed, or closed where it was open.
    fn turns(&self, activity: Activity, now: Timestamp) -> Option<Timestamp> {
        let is_open = self.closed_by(activity, now).is_none();
        let mut moment = now;
        // Between two ends of freezes every window begins and ends within the horizon, so this many turns are enough.
        let most = (self.freezes.len() + 1) * (self.windows.len() * 2 * HORIZON.unsigned_abs() as usize + 2);
        for _ in 0..most {
            moment = self.next_edge(activity, moment)?;
            if self.closed_by(activity, moment).is_none() != is_open {
                return Some(moment);
            }
        }
        None
    }

    /// The next moment after this one at which a freeze or a window begins or ends.
    fn next_edge(&self, activity: Activity, moment: Timestamp) -> Option<Timestamp> {
        let freezes = self.freezes.iter().filter(|freeze| freeze.activities.contains(&activity));
        let spans: Vec<(Timestamp, Timestamp)> = freezes.map(|freeze| freeze.span(self.time_zone)).collect();
        // While it is frozen, windows do not matter: only the end of this freeze does.
        let frozen = spans
            .iter()
            .filter(|(from, until)| (*from..*until).contains(&moment))
            .map(|(_, until)| *until)
            .max();
        if frozen.is_some() {
            return frozen;
        }
        let frozen = spans.into_iter().map(|(from, _)| from);
        let windows = self.windows_for(activity).flat_map(|window| self.occurrences(window, moment));
        let edges = windows.flat_map(|(from, to)| [from, to]);
        frozen.chain(edges).filter(|edge| *edge > moment).min()
    }

    fn windows_for(&self, activity: Activity) -> impl Iterator<Item = &ChangeWindow> {
        self.windows.iter().filter(move |window| window.activities.contains(&activity))
    }

    /// A window's occurrences around a moment: those that may still last, and all that begin within the horizon.
    fn occurrences(
        &self,
        window: &ChangeWindow,
        moment: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = self.time_zone.local(moment).date();
        let days = (-2..=HORIZON).filter_map(move |days| today.checked_add_signed(TimeDelta::days(days)));
        days.filter_map(move |day| window.occurrence(day, self.time_zone))
    }
}
