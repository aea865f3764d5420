//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::health::MOST_ENTRIES;
use crate::refusal::{Refusal, Rule};
use crate::time::Timestamp;
use crate::value::Name;

/// Why a health command was refused. What was kept is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthRefusal {
    /// A result never changes.
    #[error("{command} is not possible: a health check result never changes")]
    Immutable {
        /// The command.
        command: &'static str,
    },
    /// Nothing was probed, so nothing is known.
    #[error("an evaluation without entries tells nothing, and nothing is not Healthy")]
    NoEntry,
    /// There are more entries than are kept.
    #[error("{count} entries are more than the {MOST_ENTRIES} that one result keeps")]
    TooManyEntries {
        /// How many.
        count: usize,
    },
    /// Two entries have one name.
    #[error("probe `{probe}` has more than one entry")]
    ProbeTwice {
        /// Which probe.
        probe: Name,
    },
    /// The window has not ended yet.
    #[error("the evaluation window ends at {end}, which has not come yet")]
    WindowOpen {
        /// When it ends.
        end: Timestamp,
    },
    /// The service has another result for the window, or the result is of another service or window.
    #[error("the result that exists is of another evaluation")]
    OtherEvaluation,
}

impl Refusal for HealthRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Immutable { .. } => Rule::Hlt1,
            Self::NoEntry => Rule::Hlt2,
            Self::WindowOpen { .. } | Self::OtherEvaluation => Rule::Hlt3,
            Self::TooManyEntries { .. } | Self::ProbeTwice { .. } => Rule::Content,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Immutable { .. } => "evaluate again, and keep the new result beside it".to_string(),
            Self::NoEntry => "probe the service, and keep what the probes found".to_string(),
            Self::TooManyEntries { .. } => {
                format!("keep at most {MOST_ENTRIES} entries, the worst of them first")
            }
            Self::ProbeTwice { probe } => format!("give each probe a name of its own, and `{probe}` once"),
            Self::WindowOpen { .. } => "wait until the window has ended".to_string(),
            Self::OtherEvaluation => "evaluate a later window".to_string(),
        }
    }
}
