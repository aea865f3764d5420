//! The file system's failures in the port's terms.

use std::io;
use std::path::Path;

use runtime_ports::{PortError, PortErrorKind};

/// A failed file operation. `doing` completes the sentence "cannot …".
pub(crate) fn failed(operation: &'static str, doing: &str, path: &Path, source: io::Error) -> PortError {
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
    PortError::new(kind, operation, format!("cannot {doing} {}: {remedy}", path.display())).caused_by(source)
}

/// Something on disk is not what this store has written.
pub(crate) fn foreign(operation: &'static str, path: &Path) -> PortError {
    let message = format!(
        "{} is not what this store has written: it was edited by hand, or the disk is damaged; move it away",
        path.display()
    );
    PortError::new(PortErrorKind::Corrupt, operation, message)
}
