//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::drift::compare::MOST_RULES;
use crate::drift::watch::{WatchStatus, WatchTerms};
use crate::refusal::{Refusal, Rule};

/// Why a watch's command was refused. The watch is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchRefusal {
    /// The terms are outside their bounds.
    #[error("the interval, the freshness or the number of rules is outside its bounds")]
    BadTerms,
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// A reason may hold a secret. It is not repeated here.
    #[error("the reason holds what may be a secret")]
    SecretReason,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the watch is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: WatchStatus,
    },
    /// The host has no source of desired state.
    #[error("this host has no source of desired state")]
    NoSource,
}

impl Refusal for WatchRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::BadTerms | Self::BadReason => Rule::Content,
            Self::SecretReason => Rule::X11,
            Self::Lifecycle { .. } => Rule::Lifecycle,
            Self::NoSource => Rule::Drf3,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::BadTerms => format!(
                "compare every {} to {}, on observations that may be older than nothing, with at most {MOST_RULES} rules",
                WatchTerms::SHORTEST,
                WatchTerms::LONGEST
            ),
            Self::BadReason => "say in a sentence why".to_string(),
            Self::SecretReason => "say why without the value; if it was a secret, rotate it".to_string(),
            Self::Lifecycle { .. } => "watch the environment again".to_string(),
            Self::NoSource => "give the host an adapter of the desired-state port".to_string(),
        }
    }
}
