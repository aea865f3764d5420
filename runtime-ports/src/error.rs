//! The one error of all ports: what kind, whether to try again, which operation, and the cause.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use runtime_domain::time::Span;

/// What kind of failure a port met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PortErrorKind {
    /// What was asked for does not exist.
    NotFound,
    /// The request itself is wrong: repeating it will fail again.
    Invalid,
    /// The other side refused the credentials or the right.
    Denied,
    /// Content does not match its digest or its format: it was damaged or forged.
    Corrupt,
    /// A quota, disk, port range or other capacity is used up.
    Exhausted,
    /// The effect carries an older fencing token than one already seen: another host has taken over.
    Fenced,
    /// The adapter cannot do this at all; its capabilities say so.
    Unsupported,
    /// The other side could not be reached, or answered that it is not able now.
    Unavailable,
    /// The other side did not answer in time.
    TimedOut,
    /// The adapter itself is at fault.
    Internal,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Trying again fails again until someone changes something.
    Never,
    /// Nothing was done; trying again may succeed.
    Later {
        /// How long the other side asked to wait, where it did.
        after: Option<Span>,
    },
    /// The effect may or may not have been done: look before trying again.
    OutcomeUnknown,
}

/// A failure at a port. No driver's type leaks out: the cause is in `source()`, and is not repeated in `Display`.
#[derive(Debug, Clone)]
pub struct PortError {
    kind: PortErrorKind,
    retry: Retry,
    operation: &'static str,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What every port method returns.
pub type PortResult<T> = Result<T, PortError>;

impl PortError {
    /// A failure of `operation` (`"surface.apply"`), with the retry advice that its kind usually has:
    /// [`PortErrorKind::Unavailable`] and [`PortErrorKind::TimedOut`] may be tried again, the others not.
    ///
    /// The message says what is wrong and, where it can, what to do; never a secret, never another tenant's name.
    pub fn new(kind: PortErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        let retry = match kind {
            PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Exhausted => {
                Retry::Later { after: None }
            }
            _ => Retry::Never,
        };
        Self { kind, retry, operation, message: message.into(), source: None }
    }

    /// The same failure with other retry advice.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// What kind of failure.
    pub fn kind(&self) -> PortErrorKind {
        self.kind
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Which operation failed: the port's name, a dot, the method's.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.operation, self.message)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
