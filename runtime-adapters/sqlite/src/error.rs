//! SQLite's failures in the port's terms.

use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use rusqlite::ErrorCode;

/// Names the operation in which SQLite failed.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> PortResult<T>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, operation: &'static str) -> PortResult<T> {
        self.map_err(|error| port_error(operation, error))
    }
}

fn port_error(operation: &'static str, error: rusqlite::Error) -> PortError {
    use PortErrorKind as Kind;
    let (kind, message) = match &error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => {
            (Kind::Corrupt, "a stored row is not readable: it was edited by hand, or the file is damaged")
        }
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                (Kind::Exhausted, "the disk or the database's size limit is full: free space, then try again")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (Kind::Unavailable, "another program has locked the database: let it finish, then try again")
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                (Kind::Corrupt, "the file is damaged or not a database: restore it from a backup")
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
                Kind::Denied,
                "the file cannot be written: give this process the right to write it and its folder",
            ),
            Some(ErrorCode::CannotOpen) => (
                Kind::Unavailable,
                "the file cannot be opened: check that its folder exists and may be written",
            ),
            Some(ErrorCode::SystemIoFailure) => {
                (Kind::Unavailable, "the disk failed: check it and the system's log, then try again")
            }
            Some(ErrorCode::OutOfMemory) => (Kind::Exhausted, "memory is used up: free some, then try again"),
            Some(ErrorCode::TooBig) => {
                (Kind::Invalid, "a value is larger than the store takes: make it smaller")
            }
            _ => (Kind::Internal, "SQLite refused a statement: report it with the cause"),
        },
    };
    PortError::new(kind, operation, message).caused_by(error)
}

/// A failed `COMMIT`: where the disk failed, the flushed pages may or may not be found after a crash.
pub(crate) fn commit_failed(error: rusqlite::Error) -> PortError {
    let disk_failed = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
    let error = port_error("store.commit", error);
    if disk_failed { error.with_retry(Retry::OutcomeUnknown) } else { error }
}

pub(crate) fn closed(operation: &'static str) -> PortError {
    PortError::new(PortErrorKind::Unavailable, operation, "the store is closed: open it again")
        .with_retry(Retry::Never)
}
