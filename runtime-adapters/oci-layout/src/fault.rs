//! A failure inside this crate, before the port's operation is known.

use std::fmt::Display;
use std::io;

use runtime_ports::{PortError, PortErrorKind, Retry};

/// What went wrong, in the port's kinds; becomes a [`PortError`] at the crate's door.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: PortErrorKind,
    message: String,
    lasting: bool,
    source: Option<io::Error>,
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), lasting: false, source: None }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Corrupt, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Invalid, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::NotFound, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Unsupported, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Internal, message)
    }

    /// A limit of ours, not the machine's: the same image meets it again, so waiting does not help.
    pub(crate) fn over_limit(message: impl Into<String>) -> Self {
        Self { lasting: true, ..Self::new(PortErrorKind::Exhausted, message) }
    }

    /// A failed file operation. `doing` completes the sentence "cannot …".
    pub(crate) fn io(doing: impl Display, source: io::Error) -> Self {
        let (kind, remedy) = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (PortErrorKind::Exhausted, "the disk is full: free some space and try again")
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (PortErrorKind::Denied, "give this process the right to do so")
            }
            io::ErrorKind::NotFound => (PortErrorKind::NotFound, "it does not exist"),
            _ => (PortErrorKind::Unavailable, "the file system refused; the cause says why"),
        };
        Self { source: Some(source), ..Self::new(kind, format!("cannot {doing}: {remedy}")) }
    }

    pub(crate) fn caused_by(self, source: impl Into<io::Error>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    pub(crate) fn at(self, operation: &'static str) -> PortError {
        let mut error = PortError::new(self.kind, operation, self.message);
        if self.lasting {
            error = error.with_retry(Retry::Never);
        }
        match self.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_exhausted_and_may_be_tried_again() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = Fault::io("write a blob", full).at("registry.unpack");
        assert_eq!(error.kind(), PortErrorKind::Exhausted);
        assert_eq!(error.retry(), Retry::Later { after: None });
        assert!(error.message().contains("the disk is full"), "{error}");
    }

    #[test]
    fn a_limit_of_ours_is_exhausted_for_good() {
        let error = Fault::over_limit("too large").at("registry.unpack");
        assert_eq!((error.kind(), error.retry()), (PortErrorKind::Exhausted, Retry::Never));
    }
}
