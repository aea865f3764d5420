//! One calendar for deployments, configuration, rotation and remediation: when an environment may be changed.
//!
//! An environment has one [`ChangeCalendar`]. It is *open* to an activity unless one of these closes it:
//!
//! | closed by | which | ends |
//! |---|---|---|
//! | a stopped line | every activity | when someone resumes it |
//! | a [`Freeze`] | the activities that it names | at its local end |
//! | the [`ChangeWindow`]s | an activity that some window names, outside all of its windows | at the next window |
//!
//! An activity that no window names has no windows and is always open. Intervals are half open: a window from 09:00 to 17:00 is open at
//! 09:00 and closed at 17:00.
//!
//! Local times are those of the calendar's time zone. Where clocks are put forward, a beginning in the hour that is left out is the first
//! moment after it; where they are put back, a beginning is the earlier and an end the later of the two moments. So a window is never lost,
//! and is never shorter than it says.
//!
//! Going back is never held up: a rollback or an abort asks no calendar. Whatever else cannot wait breaks the glass, with a reason that is
//! kept in the history of what it let through.

mod activity;
mod clearance;
mod local;
mod opening;
mod refusal;
#[cfg(test)]
mod tests;
mod window;

pub use activity::Activity;
pub use clearance::{BreakGlass, Clearance};
pub use local::{LocalTime, TimeZone};
pub use opening::Opening;
pub use refusal::{CalendarError, CalendarRefusal};
pub use window::{ChangeWindow, Day, Freeze};

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::scope::Actor;
use crate::time::Timestamp;

/// When an environment may be changed.
///
/// The default is always open, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Draft", into = "Draft")]
pub struct ChangeCalendar {
    time_zone: TimeZone,
    windows: Vec<ChangeWindow>,
    freezes: Vec<Freeze>,
}

/// A calendar before it is checked, and as it is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
struct Draft {
    time_zone: TimeZone,
    windows: Vec<ChangeWindow>,
    freezes: Vec<Freeze>,
}

/// Every change of an environment is stopped until someone resumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoppedLine {
    /// Who stopped it.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl ChangeCalendar {
    /// The most windows, and the most freezes.
    pub const MOST: usize = 100;

    /// A calendar of these windows and freezes. They may overlap.
    ///
    /// # Errors
    /// More than [`ChangeCalendar::MOST`] of either; a window without an activity or a day; a freeze without an activity or a reason, or
    /// that ends before it begins; two of one name.
    pub fn new(
        time_zone: TimeZone,
        windows: Vec<ChangeWindow>,
        freezes: Vec<Freeze>,
    ) -> Result<Self, CalendarError> {
        if windows.len() > Self::MOST || freezes.len() > Self::MOST {
            return Err(CalendarError::TooMany);
        }
        let mut names = BTreeSet::new();
        for window in &windows {
            window.check()?;
            if !names.insert(&window.name) {
                return Err(CalendarError::Twice { name: window.name.clone() });
            }
        }
        for freeze in &freezes {
            freeze.check()?;
            if !names.insert(&freeze.name) {
                return Err(CalendarError::Twice { name: freeze.name.clone() });
            }
        }
        Ok(Self { time_zone, windows, freezes })
    }

    /// The time zone of its local times.
    pub fn time_zone(&self) -> TimeZone {
        self.time_zone
    }

    /// The windows.
    pub fn windows(&self) -> &[ChangeWindow] {
        &self.windows
    }

    /// The freezes.
    pub fn freezes(&self) -> &[Freeze] {
        &self.freezes
    }
}

impl TryFrom<Draft> for ChangeCalendar {
    type Error = CalendarError;
    fn try_from(draft: Draft) -> Result<Self, Self::Error> {
        Self::new(draft.time_zone, draft.windows, draft.freezes)
    }
}
impl From<ChangeCalendar> for Draft {
    fn from(calendar: ChangeCalendar) -> Self {
        let ChangeCalendar { time_zone, windows, freezes } = calendar;
        Self { time_zone, windows, freezes }
    }
}
