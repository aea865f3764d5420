//! On which terms one caller's command is carried out.

use runtime_domain::refusal::Refusal;
use runtime_domain::value::Revision;

use crate::error::CommandError;
use crate::request::RequestKey;

/// The terms of one caller's command; a service takes them by its method `under`. By default it is carried out on whatever is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Terms {
    /// Say what would happen, and commit nothing: what is answered is how the aggregate would be.
    pub preview: bool,
    /// The command is meant for this revision of the aggregate that it names, and is refused where the commit would replace another one.
    /// Commands that make an aggregate pass over it.
    pub expected: Option<Revision>,
    /// The caller's name for this one command: where it was done under this name before, it is told what it came to, and nothing is done.
    pub request: Option<RequestKey>,
}

impl Terms {
    /// Terms by which nothing is committed.
    pub fn preview() -> Self {
        Self { preview: true, ..Self::default() }
    }

    /// Terms by which the aggregate must be at this revision.
    pub fn at(revision: Revision) -> Self {
        Self { expected: Some(revision), ..Self::default() }
    }

    /// The terms of what a command does beside its own: nothing of it is committed either in a preview.
    pub(crate) fn aside(&self) -> Self {
        Self { preview: self.preview, ..Self::default() }
    }

    /// Refused where the aggregate is at another revision than the caller means.
    pub(crate) fn admit<R: Refusal + 'static>(&self, found: Revision) -> Result<(), CommandError<R>> {
        match self.expected {
            Some(expected) if expected != found => Err(CommandError::Changed { found }),
            _ => Ok(()),
        }
    }
}
