//! Why a policy cannot be, and why a release may not come yet.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::component::ImageDigest;
use crate::id::EnvironmentId;
use crate::promotion::PromotionPolicy;
use crate::refusal::{Refusal, Rule};
use crate::time::{Span, Timestamp};
use crate::value::ModuleId;

/// Why something is not a promotion policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Nobody would verify anything.
    #[error("no upstream environment is named: name at least one, or have no policy")]
    NoUpstream,
    /// Too many names.
    #[error(
        "name at most {} upstream environments and {} approvers",
        PromotionPolicy::MOST_UPSTREAM,
        PromotionPolicy::MOST_APPROVERS
    )]
    TooMany,
    /// It would never be over.
    #[error("a soak of {soak} is too long: write at most {}", PromotionPolicy::LONGEST_SOAK)]
    LongSoak {
        /// How long.
        soak: Span,
    },
    /// It could never be met.
    #[error("more approvals are required than there are approvers: lower `approvals` or name more approvers")]
    TooFewApprovers,
}

/// What a release lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// An upstream environment has not verified a component's image: it runs another, or nothing is known.
    Verification {
        /// Where.
        environment: EnvironmentId,
        /// Which component.
        module: ModuleId,
    },
    /// It has, and not for long enough.
    Soak {
        /// Where.
        environment: EnvironmentId,
        /// When it is long enough.
        until: Timestamp,
    },
    /// The environment went back from this image on purpose.
    Hold {
        /// Which component.
        module: ModuleId,
        /// Its image.
        digest: ImageDigest,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verification { environment, module } => {
                write!(formatter, "{environment} has not verified this image of `{module}`")
            }
            Self::Soak { environment, until } => write!(formatter, "it soaks in {environment} until {until}"),
            Self::Hold { module, digest } => {
                write!(formatter, "the environment went back from {} of `{module}`", digest.short())
            }
        }
    }
}

/// A release may not come yet. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the release is not promoted: {}", told(.missing))]
pub struct PromotionRefusal {
    /// What it lacks; never empty. Where any one environment is enough, what each of them lacks.
    pub missing: Vec<Missing>,
    /// When asking again may help by itself; `None` where something must happen first.
    pub ask_again_at: Option<Timestamp>,
}

fn told(missing: &[Missing]) -> String {
    missing.iter().map(Missing::to_string).collect::<Vec<_>>().join("; ")
}

impl Refusal for PromotionRefusal {
    fn rule(&self) -> Rule {
        Rule::Promotion
    }

    fn remedy(&self) -> String {
        let held = self.missing.iter().any(|missing| matches!(missing, Missing::Hold { .. }));
        match self.ask_again_at {
            _ if held => "release the hold with a reason, or deploy another image".to_string(),
            Some(at) => format!("ask again at {at}"),
            None => "deploy the release to the upstream environments first".to_string(),
        }
    }
}
