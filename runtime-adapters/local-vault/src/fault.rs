//! A failure inside this crate, before the port's operation is known. Nothing of a value or the key is ever in one.

use std::io;
use std::path::Path;

use runtime_ports::{PortError, PortErrorKind, Retry};

#[derive(Debug)]
pub(crate) struct Fault {
    kind: PortErrorKind,
    message: String,
    source: Option<io::Error>,
    outcome_unknown: bool,
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub(crate) fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, outcome_unknown: false }
    }

    /// What was sealed is not what it was.
    pub(crate) fn tampered(path: &Path, why: &str) -> Self {
        let message =
            format!("{} {why}: put the vault back as it was, with its key and anchor", path.display());
        Self::new(PortErrorKind::Corrupt, message)
    }

    /// A failed file operation. `doing` completes the sentence "cannot …".
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let (kind, remedy) = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (PortErrorKind::Exhausted, "the disk is full; free some space and try again")
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (PortErrorKind::Denied, "give this process the right to do so")
            }
            io::ErrorKind::NotADirectory => {
                (PortErrorKind::Invalid, "a part of the path is not a folder; move it away")
            }
            _ => (PortErrorKind::Unavailable, "the file system refused; the cause says why"),
        };
        let message = format!("cannot {doing} {}: {remedy}", path.display());
        Self { kind, message, source: Some(source), outcome_unknown: false }
    }

    /// Nobody knows whether it was done.
    pub(crate) fn unknown(self) -> Self {
        Self { outcome_unknown: true, ..self }
    }

    pub(crate) fn at(self, operation: &'static str) -> PortError {
        let error = PortError::new(self.kind, operation, self.message);
        let error = if self.outcome_unknown { error.with_retry(Retry::OutcomeUnknown) } else { error };
        match self.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}
