//! How what goes wrong inside is told outside.

use std::error::Error;

use runtime_domain::refusal::{Refusal, Rule};
use runtime_ports::authenticator::AuthenticationError;
use runtime_ports::manifest::ManifestError;
use runtime_ports::store::LoadError;
use runtime_ports::{PortError, PortErrorKind, Retry};
use runtime_services::CommandError;

use crate::problem::{Problem, ProblemKind};

impl<R: Refusal + 'static> From<CommandError<R>> for Problem {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Refused(refusal) => refused(&refusal),
            CommandError::NotFound { what } => not_found(&what),
            CommandError::Changed { found } => {
                let detail = format!("it is at revision {}, not at the one that was named", found.0);
                Self::new(ProblemKind::PreconditionFailed, detail)
            }
            CommandError::KeyReused => Self::from_kind(ProblemKind::KeyReused),
            CommandError::Contended => Self::from_kind(ProblemKind::Contended).retry_after(1),
            CommandError::Load(error) => load(error),
            CommandError::Port(error) => port(&error),
            other => internal(&other),
        }
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        port(&error)
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        load(error)
    }
}

impl From<ManifestError> for Problem {
    fn from(error: ManifestError) -> Self {
        match &error {
            ManifestError::Image { cause, .. } if is_outside(cause.kind()) => {
                Self::new(ProblemKind::Unprocessable, format!("{error}: {}", cause.message()))
                    .keeping(Rule::Content)
                    .remedied_by("name an image that the registry has")
            }
            ManifestError::Image { cause, .. } => port(cause),
            _ => internal(&error),
        }
    }
}

impl From<AuthenticationError> for Problem {
    fn from(error: AuthenticationError) -> Self {
        let kind = match error {
            AuthenticationError::Unavailable => ProblemKind::Unavailable,
            _ => ProblemKind::Unauthenticated,
        };
        Self::new(kind, error.to_string())
    }
}

/// A refusal, with the whole chain of rules that it rests on: refusals hold the domain's own words only.
fn refused<R: Refusal + 'static>(refusal: &R) -> Problem {
    let mut detail = refusal.to_string();
    let mut cause = refusal.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !detail.contains(&text) {
            detail.push_str(": ");
            detail.push_str(&text);
        }
        cause = error.source();
    }
    Problem::new(kind_of(refusal.rule()), detail).keeping(refusal.rule()).remedied_by(refusal.remedy())
}

/// Whether a rule is about the content alone, so that no change of state helps.
const fn kind_of(rule: Rule) -> ProblemKind {
    match rule {
        Rule::Content
        | Rule::Capability
        | Rule::Cfg2
        | Rule::Sec1
        | Rule::Scl1
        | Rule::Scl2
        | Rule::Drf3
        | Rule::X11
        | Rule::X14 => ProblemKind::Unprocessable,
        // What is another tenant's is not there.
        Rule::X1 => ProblemKind::NotFound,
        Rule::Env1
        | Rule::Env2
        | Rule::Env3
        | Rule::Svc1
        | Rule::Svc2
        | Rule::Svc3
        | Rule::Dep1
        | Rule::Dep2
        | Rule::Dep3
        | Rule::Cfg1
        | Rule::Cfg3
        | Rule::Sec2
        | Rule::Sec3
        | Rule::Ten1
        | Rule::Ten2
        | Rule::Ten3
        | Rule::Hlt1
        | Rule::Hlt2
        | Rule::Hlt3
        | Rule::Scl3
        | Rule::Drf1
        | Rule::Drf2
        | Rule::X3
        | Rule::X6
        | Rule::Lifecycle
        | Rule::Quarantine
        | Rule::Calendar
        | Rule::Promotion => ProblemKind::Refused,
    }
}

/// The same for what is absent and for what is another tenant's.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("{what} was not found"))
}

pub(crate) fn load(error: LoadError) -> Problem {
    match error {
        LoadError::Port(error) => port(&error),
        error => internal(&error),
    }
}

/// Whether the failure tells of what the caller named, not of what the host needs.
const fn is_outside(kind: PortErrorKind) -> bool {
    matches!(
        kind,
        PortErrorKind::NotFound
            | PortErrorKind::Invalid
            | PortErrorKind::Denied
            | PortErrorKind::Corrupt
            | PortErrorKind::Unsupported
    )
}

pub(crate) fn port(error: &PortError) -> Problem {
    let operation = error.operation();
    let is_stores = operation.starts_with("store.");
    match error.kind() {
        PortErrorKind::NotFound
        | PortErrorKind::Invalid
        | PortErrorKind::Denied
        | PortErrorKind::Corrupt
        | PortErrorKind::Unsupported
            if operation.starts_with("desired_state.") || operation == "drift.compare" =>
        {
            Problem::new(ProblemKind::Refused, error.message().to_owned())
                .keeping(Rule::Drf3)
                .remedied_by("mend the desired state, then ask again")
        }
        // What the machine beneath an engine does is nothing that callers named, and its paths are none of theirs.
        PortErrorKind::Invalid | PortErrorKind::Denied
            if operation.starts_with("infrastructure.")
                && Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>()) =>
        {
            internal(error)
        }
        PortErrorKind::Invalid if operation.ends_with(".query") => {
            // It is of its schema, which cannot say which cursors were given out.
            Problem::new(ProblemKind::Unprocessable, error.message().to_owned())
        }
        kind @ (PortErrorKind::NotFound
        | PortErrorKind::Invalid
        | PortErrorKind::Denied
        | PortErrorKind::Unsupported)
            if !is_stores =>
        {
            let rule = if kind == PortErrorKind::Unsupported { Rule::Capability } else { Rule::Content };
            Problem::new(ProblemKind::Unprocessable, error.message().to_owned()).keeping(rule)
        }
        PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Exhausted => {
            tracing::warn!(operation, error = error as &dyn Error, "a port does not answer");
            unavailable(operation, error.retry())
        }
        PortErrorKind::Fenced => Problem::from_kind(ProblemKind::Contended).retry_after(1),
        _ => internal(error),
    }
}

fn unavailable(operation: &'static str, retry: Retry) -> Problem {
    let needed = operation.split('.').next().unwrap_or(operation);
    let problem = Problem::new(ProblemKind::Unavailable, format!("{needed} does not answer now"));
    match retry {
        Retry::OutcomeUnknown => problem.remedied_by("look whether it was done before you try again"),
        Retry::Later { after: Some(after) } => problem.retry_after(after.as_millis().div_ceil(1_000).max(1)),
        Retry::Later { after: None } | Retry::Never => problem.retry_after(5),
    }
}

/// What the caller cannot mend is told to those who run the host, not to the caller.
pub(crate) fn internal(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "a call failed by a fault of the host");
    Problem::from_kind(ProblemKind::Internal)
}
