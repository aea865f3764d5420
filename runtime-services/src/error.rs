//! Why a service could not do what it was asked.

use runtime_domain::refusal::{Refusal, Rule};
use runtime_domain::value::Revision;
use runtime_ports::PortError;
use runtime_ports::store::{CommitError, LoadError};

/// Why a command was not carried out. Nothing has changed, except where a port error's advice is
/// [`Retry::OutcomeUnknown`](runtime_ports::Retry::OutcomeUnknown).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError<R: Refusal + 'static> {
    /// A rule refuses it; the refusal names the rule and what would be legal.
    #[error("refused to keep {}; to go on: {}", .0.rule(), .0.remedy())]
    Refused(#[source] R),
    /// This tenant has no such thing. Another tenant's is answered alike.
    #[error("{what} was not found")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The aggregate is at another revision than the caller's [terms](crate::Terms) name.
    #[error("it is at {found}, which is not the revision that was meant")]
    Changed {
        /// The revision that it is at.
        found: Revision,
    },
    /// The caller's key was used for another command.
    #[error("the key was used for another command")]
    KeyReused,
    /// Others kept changing the same things; trying again later may succeed.
    #[error("others kept changing the same things: try again")]
    Contended,
    /// The stored state could not be loaded.
    #[error("the stored state could not be loaded")]
    Load(#[source] LoadError),
    /// A port failed.
    #[error("a port failed")]
    Port(#[source] PortError),
}

impl<R: Refusal + 'static> CommandError<R> {
    /// The rule that the refusal keeps; `None` where it was not refused by a rule.
    pub fn rule(&self) -> Option<Rule> {
        match self {
            Self::Refused(refusal) => Some(refusal.rule()),
            _ => None,
        }
    }

    /// What would make the command succeed, in words.
    pub fn remedy(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.remedy(),
            Self::NotFound { .. } => "check the identifier".to_owned(),
            Self::Changed { .. } => "read it again, then decide again".to_owned(),
            Self::KeyReused => "use a fresh key for another command".to_owned(),
            Self::Contended => "try again".to_owned(),
            Self::Load(_) => "restore the stored state from a backup, or repair it".to_owned(),
            Self::Port(error) => match error.retry() {
                runtime_ports::Retry::Never => "mend what the message names".to_owned(),
                runtime_ports::Retry::Later { .. } => "try again later".to_owned(),
                runtime_ports::Retry::OutcomeUnknown => {
                    "look whether it was done before you try again".to_owned()
                }
            },
        }
    }
}

impl<R: Refusal + 'static> From<LoadError> for CommandError<R> {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Port(error) => Self::Port(error),
            error => Self::Load(error),
        }
    }
}

impl<R: Refusal + 'static> From<PortError> for CommandError<R> {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

/// What to do about a refused commit.
pub(crate) enum Refused {
    /// Load again and decide again.
    Again,
    /// Another aggregate holds this claim.
    Claim(runtime_domain::claim::Claim),
    /// It cannot be done.
    Stop(PortError),
}

pub(crate) fn sort(error: CommitError) -> Refused {
    match error {
        // Who has handled it before knows what it came to: whoever decides again looks for that first.
        CommitError::Conflict { .. } | CommitError::EvidenceStale { .. } | CommitError::AlreadyHandled => {
            Refused::Again
        }
        CommitError::ClaimHeld { claim } => Refused::Claim(claim),
        CommitError::Port(error) => Refused::Stop(error),
        other => Refused::Stop(PortError::new(
            runtime_ports::PortErrorKind::Internal,
            "store.commit",
            format!("the store refused a commit that asked for no such thing: {other}"),
        )),
    }
}
