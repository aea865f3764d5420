//! A failure inside this crate, before the port's operation is known.

use std::fmt::Display;
use std::io;
use std::path::Path;

use runtime_ports::{PortError, PortErrorKind};

#[derive(Debug)]
pub(crate) struct Fault {
    kind: PortErrorKind,
    message: String,
    source: Option<io::Error>,
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub(crate) fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Something stands where the engine's own should be.
    pub(crate) fn foreign(path: &Path, why: impl Display) -> Self {
        Self::new(
            PortErrorKind::Invalid,
            format!("{} {why}: this engine touches only what it made; move it away", path.display()),
        )
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
        Self { kind, message: format!("cannot {doing} {}: {remedy}", path.display()), source: Some(source) }
    }

    pub(crate) fn caused_by(self, source: impl Into<io::Error>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    pub(crate) fn at(self, operation: &'static str) -> PortError {
        let error = PortError::new(self.kind, operation, self.message);
        match self.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}
