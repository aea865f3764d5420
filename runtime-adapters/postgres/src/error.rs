//! PostgreSQL's failures in the port's terms.

use runtime_domain::time::Span;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Names the operation in which PostgreSQL failed.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> PortResult<T>;
}

impl<T> During<T> for Result<T, Error> {
    fn during(self, operation: &'static str) -> PortResult<T> {
        self.map_err(|error| port_error(operation, error))
    }
}

pub(crate) fn port_error(operation: &'static str, error: Error) -> PortError {
    use PortErrorKind as Kind;
    let Some(state) = error.code() else {
        let message = "the connection to the server was lost: it is made anew with the next call";
        return PortError::new(Kind::Unavailable, operation, message).caused_by(error);
    };
    let (kind, message) = match state.code() {
        "57014" => (Kind::TimedOut, "the server did not finish in time: try again, or allow it longer"),
        "55P03" => (Kind::TimedOut, "a row stayed locked for too long: try again"),
        "40001" | "40P01" => (Kind::Unavailable, "the server chose another of two that waited: try again"),
        "57P01" | "57P02" | "57P03" | "57P05" => {
            (Kind::Unavailable, "the server ended the connection or is starting: try again")
        }
        "53100" => (Kind::Exhausted, "the server's disk is full: free space, then try again"),
        "53300" => {
            (Kind::Exhausted, "the server has no connection left: close some, or raise max_connections")
        }
        "25006" => (
            Kind::Denied,
            "the server only reads, as a replica does: name the primary, or turn default_transaction_read_only off",
        ),
        "42501" => (
            Kind::Denied,
            "the login may not do this: make it a member of factory_runtime_tenant and factory_runtime_operator",
        ),
        "3D000" => (Kind::NotFound, "the server has no such database: create it, and migrate it"),
        "3F000" | "42P01" | "42704" | "42883" => {
            (Kind::Unsupported, "the database has no schema of this version: migrate it")
        }
        "22021" => {
            (Kind::Invalid, "a text holds a character that PostgreSQL cannot keep, such as NUL: leave it out")
        }
        "54000" | "54001" | "54011" | "22001" => {
            (Kind::Invalid, "a value is larger than the store takes: make it smaller")
        }
        "XX001" | "XX002" => (Kind::Corrupt, "the server found damaged data: restore it from a backup"),
        code if code.starts_with("28") => (Kind::Denied, "the server refused the login or its password"),
        code if code.starts_with("08") => {
            (Kind::Unavailable, "the connection to the server failed: try again")
        }
        code if code.starts_with("53") => {
            (Kind::Exhausted, "the server is short of a resource: try again later")
        }
        code if code.starts_with("58") => (Kind::Unavailable, "the server's system failed: look at its log"),
        _ => (Kind::Internal, "the server refused a statement: report it with the cause"),
    };
    PortError::new(kind, operation, message).caused_by(error)
}

/// Whether the same may be tried again at once: the server undid it in favour of another.
pub(crate) fn gave_way(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// Whether the server may have done what was asked although it did not say so: the connection was lost, or ended by it.
pub(crate) fn is_answer_lost(error: &Error) -> bool {
    error.is_closed()
        || match error.code() {
            None => true,
            Some(state) => state.code().starts_with("57P") || state.code().starts_with("08"),
        }
}

pub(crate) fn closed(operation: &'static str) -> PortError {
    PortError::new(PortErrorKind::Unavailable, operation, "the store is closed: open it again")
        .with_retry(Retry::Never)
}

pub(crate) fn no_answer(operation: &'static str, waited: Span) -> PortError {
    let message = format!("the server did not answer within {waited}: it may be out of reach");
    PortError::new(PortErrorKind::TimedOut, operation, message).with_retry(Retry::OutcomeUnknown)
}

pub(crate) fn corrupt(operation: &'static str, what: &str) -> PortError {
    let message = format!("a stored row is not readable ({what}): it was edited by hand");
    PortError::new(PortErrorKind::Corrupt, operation, message)
}
