//! What a problem is in gRPC: a code by its kind, and `google.rpc` details with the rule and the remedy.
//!
//! | code | kinds |
//! |---|---|
//! | `INVALID_ARGUMENT` | `malformed`, `unprocessable`, `key-reused` |
//! | `UNAUTHENTICATED`, `PERMISSION_DENIED`, `NOT_FOUND` | `unauthenticated`, `forbidden`, `not-found` |
//! | `FAILED_PRECONDITION` | `refused`: a rule refuses it in the present state |
//! | `ABORTED` | `contended`, `precondition-failed`: read again, then decide again |
//! | `RESOURCE_EXHAUSTED` | `too-many-requests`, `content-too-large` |
//! | `DEADLINE_EXCEEDED` | `request-timeout` |
//! | `UNAVAILABLE`, `INTERNAL` | `unavailable`, `internal` |
//!
//! Every problem comes with an `ErrorInfo`: its reason is the kind (`NOT_FOUND`), its metadata `rule`, `remedy` and `correlationId` as REST has
//! them; with a `RetryInfo` where it is known when to try again.

use std::collections::HashMap;
use std::time::Duration;

use runtime_api::{Problem, ProblemKind};
use runtime_domain::id::CorrelationId;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::metadata::{CORRELATION, put};

/// Whose reasons they are.
const DOMAIN: &str = "factory-runtime";

/// The code of a kind.
pub(crate) fn code(kind: ProblemKind) -> Code {
    match kind {
        ProblemKind::Malformed | ProblemKind::Unprocessable | ProblemKind::KeyReused => Code::InvalidArgument,
        ProblemKind::Unauthenticated => Code::Unauthenticated,
        ProblemKind::Forbidden => Code::PermissionDenied,
        ProblemKind::NotFound => Code::NotFound,
        ProblemKind::MethodNotAllowed | ProblemKind::NotAcceptable | ProblemKind::UnsupportedMediaType => {
            Code::Unimplemented
        }
        ProblemKind::RequestTimeout => Code::DeadlineExceeded,
        ProblemKind::Refused => Code::FailedPrecondition,
        ProblemKind::Contended | ProblemKind::PreconditionFailed => Code::Aborted,
        ProblemKind::ContentTooLarge | ProblemKind::TooManyRequests => Code::ResourceExhausted,
        ProblemKind::Unavailable => Code::Unavailable,
        // What a later version of `runtime-api` adds is told to those who run the host, too, by a test that knows every kind.
        _ => Code::Internal,
    }
}

/// A code's name.
pub(crate) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The status of a problem.
pub(crate) fn status(problem: &Problem, correlation: CorrelationId) -> Status {
    let kind = problem.kind();
    let correlation = problem.correlation().unwrap_or(correlation).to_string();
    let mut said = HashMap::from([
        ("remedy".to_owned(), problem.remedy().to_owned()),
        ("correlationId".to_owned(), correlation.clone()),
    ]);
    if let Some(rule) = problem.rule() {
        said.insert("rule".to_owned(), rule.number().to_owned());
    }
    let reason = kind.name().to_ascii_uppercase().replace('-', "_");
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, said);
    if let Some(seconds) = problem.retry_after_seconds() {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    let mut metadata = MetadataMap::new();
    put(&mut metadata, CORRELATION, &correlation);
    Status::with_error_details_and_metadata(code(kind), problem.detail(), details, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_has_a_code_and_only_what_is_the_hosts_fault_is_internal() {
        let internal = ProblemKind::ALL.into_iter().filter(|kind| code(*kind) == Code::Internal);
        assert_eq!(internal.collect::<Vec<_>>(), [ProblemKind::Internal]);
    }
}
