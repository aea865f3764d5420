//! Problems, as RFC 9457 has them: what went wrong, which rule it keeps, and what would be legal.
//!
//! | status | kind | when |
//! |---|---|---|
//! | 400 | `malformed` | the request is not of its schema, or a cursor or a tag is not one |
//! | 401 | `unauthenticated` | no credentials, or such as do not verify |
//! | 403 | `forbidden` | the caller lacks the role |
//! | 404 | `not-found` | the tenant has no such thing; another tenant's is answered alike (X-1) |
//! | 405 | `method-not-allowed` | the path is one, the method is not its |
//! | 406 | `not-acceptable` | the caller takes nothing that is offered |
//! | 408 | `request-timeout` | the request did not come, or was not carried out, in time |
//! | 409 | `refused` | a rule refuses it in the present state |
//! | 409 | `contended` | others kept changing the same things |
//! | 412 | `precondition-failed` | the revision is not the one that `If-Match` names |
//! | 413 | `content-too-large` | the body is larger, or nests deeper, than the host takes |
//! | 415 | `unsupported-media-type` | the body is not JSON |
//! | 422 | `unprocessable` | the content breaks a rule, or names what the world outside does not have, whatever the state |
//! | 422 | `key-reused` | the idempotency key was used for another request |
//! | 429 | `too-many-requests` | the tenant asks more than its share |
//! | 500 | `internal` | the host is at fault; the correlation identifier finds it in its log |
//! | 503 | `unavailable` | what the host needs does not answer now |
//!
//! No problem holds what a driver said: that goes to the log.

use std::borrow::Cow;

use runtime_domain::id::CorrelationId;
use runtime_domain::refusal::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod mapping;

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The request is not of its schema.
    Malformed,
    /// Who calls is not known.
    Unauthenticated,
    /// The caller lacks the role.
    Forbidden,
    /// The tenant has no such thing.
    NotFound,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The caller takes nothing that is offered.
    NotAcceptable,
    /// It took too long.
    RequestTimeout,
    /// A rule refuses it in the present state.
    Refused,
    /// Others kept changing the same things.
    Contended,
    /// The revision is not the one that was named.
    PreconditionFailed,
    /// The body is too large, or nests too deep.
    ContentTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The content breaks a rule, whatever the state.
    Unprocessable,
    /// The idempotency key was used for another request.
    KeyReused,
    /// The tenant asks more than its share.
    TooManyRequests,
    /// The host is at fault.
    Internal,
    /// What the host needs does not answer now.
    Unavailable,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::Refused,
        Self::Contended,
        Self::PreconditionFailed,
        Self::ContentTooLarge,
        Self::UnsupportedMediaType,
        Self::Unprocessable,
        Self::KeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.words().0
    }

    /// The kind's word.
    pub const fn name(self) -> &'static str {
        self.words().1
    }

    /// The kind in a few words, the same each time.
    pub const fn title(self) -> &'static str {
        self.words().2
    }

    const fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "The request is not of its schema"),
            Self::Unauthenticated => (401, "unauthenticated", "Who calls is not known"),
            Self::Forbidden => (403, "forbidden", "The caller lacks the role"),
            Self::NotFound => (404, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "The path does not take this method"),
            Self::NotAcceptable => (406, "not-acceptable", "Nothing that is offered is acceptable"),
            Self::RequestTimeout => (408, "request-timeout", "The request took too long"),
            Self::Refused => (409, "refused", "A rule refuses it in the present state"),
            Self::Contended => (409, "contended", "Others kept changing the same things"),
            Self::PreconditionFailed => (412, "precondition-failed", "The revision is another one"),
            Self::ContentTooLarge => (413, "content-too-large", "The body is too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "The body is not JSON"),
            Self::Unprocessable => (422, "unprocessable", "The content cannot be accepted"),
            Self::KeyReused => (422, "key-reused", "The idempotency key was used for another request"),
            Self::TooManyRequests => (429, "too-many-requests", "The tenant asks more than its share"),
            Self::Internal => (500, "internal", "The host is at fault"),
            Self::Unavailable => (503, "unavailable", "What the host needs does not answer now"),
        }
    }
}

/// Why an operation was not carried out. Nothing has changed, unless the remedy says to look first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    rule: Option<Rule>,
    remedy: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
    correlation: Option<CorrelationId>,
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong this time, and holds nothing that the caller may not know.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            rule: None,
            remedy: Cow::Borrowed(remedy(kind)),
            retry_after_seconds: None,
            correlation: None,
        }
    }

    /// A problem of this kind, of which there is no more to say.
    pub fn from_kind(kind: ProblemKind) -> Self {
        Self::new(kind, kind.title())
    }

    /// The same, with what would make the call succeed.
    #[must_use]
    pub fn remedied_by(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// The same, with when to try again, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// The same, found in the host's log by this identifier.
    #[must_use]
    pub fn correlated(self, correlation: CorrelationId) -> Self {
        Self { correlation: Some(correlation), ..self }
    }

    pub(crate) fn keeping(self, rule: Rule) -> Self {
        Self { rule: Some(rule), ..self }
    }

    /// The kind.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// What is wrong this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The rule that the refusal keeps, where one does.
    pub fn rule(&self) -> Option<Rule> {
        self.rule
    }

    /// What would make the call succeed.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// When to try again, in seconds, where that is known.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// The chain of work.
    pub fn correlation(&self) -> Option<CorrelationId> {
        self.correlation
    }

    /// The document that callers get, as `application/problem+json`.
    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            kind: format!("urn:factory-runtime:problem:{}", self.kind.name()),
            title: self.kind.title().to_owned(),
            status: self.kind.status(),
            detail: self.detail.to_string(),
            rule: self.rule.map(|rule| rule.number().to_owned()),
            remedy: self.remedy.to_string(),
            correlation_id: self.correlation.map(|correlation| correlation.to_string()),
        }
    }
}

const fn remedy(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Malformed => "write the request as its schema says",
        ProblemKind::Unauthenticated => "send credentials that this host accepts",
        ProblemKind::Forbidden => "ask somebody who has the role, or to be given it",
        ProblemKind::NotFound => "check the identifier",
        ProblemKind::MethodNotAllowed => "use a method that the description of the path lists",
        ProblemKind::NotAcceptable => "accept application/json",
        ProblemKind::RequestTimeout => "look whether it was done before you try again",
        ProblemKind::Refused => "change what the rule names, then try again",
        ProblemKind::Contended => "try again",
        ProblemKind::PreconditionFailed => "read it again, then decide again",
        ProblemKind::ContentTooLarge => "send less",
        ProblemKind::UnsupportedMediaType => "send the body as application/json",
        ProblemKind::Unprocessable => "mend what the detail names",
        ProblemKind::KeyReused => "use a fresh key for another request",
        ProblemKind::TooManyRequests => "ask again later, and less often",
        ProblemKind::Internal => "tell whoever runs the host the correlation identifier",
        ProblemKind::Unavailable => "try again later",
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem")]
pub struct ProblemDocument {
    /// The kind, as a URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// The number of the rule that the refusal keeps, as spec.md has it, or its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What would make the call succeed.
    pub remedy: String,
    /// Finds the call in the host's log and in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}
