//! Why a result was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::health::state::CheckEntry;
use crate::id::ServiceId;
use crate::refusal::{Refusal, Rule};
use crate::time::Timestamp;
use crate::value::Name;

/// What is wrong with a result's entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// There are none.
    #[error("a health check has no entries, and nothing is known of nothing")]
    None,
    /// There are too many.
    #[error("a health check has {count} entries, and at most {} are kept", CheckEntry::MOST)]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A probe has two entries of one kind.
    #[error("probe `{probe}` has two entries of the same kind")]
    Twice {
        /// Which.
        probe: Name,
    },
    /// An entry's data is too large.
    #[error("the data of probe `{probe}` has {size} bytes, and at most {} are kept", CheckEntry::MOST_DATA)]
    TooMuchData {
        /// Of which probe.
        probe: Name,
        /// How large.
        size: usize,
    },
}

/// Why a health check was not recorded. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthRefusal {
    /// The entries cannot be judged.
    #[error(transparent)]
    Entries(#[from] EntryFault),
    /// The window ends in the future.
    #[error("the window ends at {end}, and it is {now}: what has not happened cannot be judged")]
    WindowNotOver {
        /// When it ends.
        end: Timestamp,
        /// When it was asked.
        now: Timestamp,
    },
    /// The service has a result for this window already: its claim is held.
    #[error("{service} has a result for the window from {start} already, and results never change")]
    WindowTaken {
        /// Which service.
        service: ServiceId,
        /// When the window begins.
        start: Timestamp,
    },
}

impl Refusal for HealthRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Entries(_) => Rule::Content,
            Self::WindowNotOver { .. } | Self::WindowTaken { .. } => Rule::Hlt3,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Entries(EntryFault::None) => "probe at least once, and give what was found".to_string(),
            Self::Entries(EntryFault::TooMany { .. }) => {
                format!("give at most {} entries", CheckEntry::MOST)
            }
            Self::Entries(EntryFault::Twice { .. }) => "give each probe one entry of a kind".to_string(),
            Self::Entries(EntryFault::TooMuchData { .. }) => {
                format!("keep the keys and values of each entry within {} bytes", CheckEntry::MOST_DATA)
            }
            Self::WindowNotOver { .. } => "record the result once the window has ended".to_string(),
            Self::WindowTaken { .. } => "record a result for a later window".to_string(),
        }
    }
}
