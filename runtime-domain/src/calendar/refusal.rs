//! Why a calendar cannot be, and why a change is held up.

use alloc::format;
use alloc::string::{String, ToString};

use crate::calendar::{Activity, ChangeCalendar};
use crate::refusal::{Refusal, Rule};
use crate::time::Timestamp;
use crate::value::Name;

/// Why windows and freezes do not make a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarError {
    /// Too many windows or freezes.
    #[error("a calendar has at most {} windows and as many freezes", ChangeCalendar::MOST)]
    TooMany,
    /// One name for two.
    #[error("`{name}` is there twice: give each window and freeze a name of its own")]
    Twice {
        /// The name.
        name: Name,
    },
    /// It is about nothing.
    #[error("`{name}` names no activity: name at least one")]
    NoActivity {
        /// Which.
        name: Name,
    },
    /// It never begins.
    #[error("`{name}` names no day: name at least one")]
    NoDay {
        /// Which.
        name: Name,
    },
    /// It ends before it begins.
    #[error("freeze `{name}` does not end after it begins: write `until` later than `from`")]
    EndsFirst {
        /// Which.
        name: Name,
    },
    /// It is out of every calendar's range.
    #[error("freeze `{name}` is out of range: write years from 1970 to 9999")]
    FarAway {
        /// Which.
        name: Name,
    },
    /// It does not say why.
    #[error("freeze `{name}` gives no reason: say why, in at most 2,000 bytes")]
    NoReason {
        /// Which.
        name: Name,
    },
}

/// Why a change is held up. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarRefusal {
    /// The calendar is closed.
    #[error("no {activity} now: {why}")]
    Closed {
        /// To what.
        activity: Activity,
        /// Why.
        why: String,
        /// When it opens; `None` where that depends on a person.
        opens_at: Option<Timestamp>,
    },
    /// The glass was broken without a reason.
    #[error("the glass is not broken without a reason")]
    NoReason,
}

impl Refusal for CalendarRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Closed { .. } => Rule::Calendar,
            Self::NoReason => Rule::Content,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Closed { opens_at: Some(opens_at), .. } => {
                format!("ask again at {opens_at}, or break the glass with a reason")
            }
            Self::Closed { opens_at: None, .. } => {
                "have the line resumed, or break the glass with a reason".to_string()
            }
            Self::NoReason => "say why it cannot wait, in at most 2,000 bytes".to_string(),
        }
    }
}
