//! One call of an operation: what comes with it, and what it answers.

use std::sync::Arc;

use runtime_domain::id::CorrelationId;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_services::{Done, Services, Terms};
use serde::Serialize;
use serde_json::Value;

use crate::document::Outcome;
use crate::problem::{Problem, ProblemKind};

/// What a caller says beside the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
    /// The caller's name for this one command, by which a repetition is recognised.
    pub idempotency_key: Option<String>,
    /// The tag of the revision that the command is meant for; it is refused where another one is there.
    pub if_match: Option<String>,
    /// The chain of work that the call belongs to; a fresh one where it is not said.
    pub correlation: Option<CorrelationId>,
}

/// A call as handlers see it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) services: Arc<Services>,
    pub(crate) scope: TenantScope,
    pub(crate) terms: Terms,
}

impl Call {
    /// The present time.
    pub(crate) fn now(&self) -> Timestamp {
        self.services.host().now()
    }

    /// What a command that makes something came to.
    pub(crate) fn created<A, D>(&self, outcome: D, location: String, done: &Done<A>) -> Reply<D> {
        let is_created = done.changed && !self.terms.preview;
        let reply = Reply::of(outcome).at(done.revision);
        Reply { location: Some(location), is_created, is_repeated: done.repeated, ..reply }
    }

    /// What a command that makes something came to, as callers get it.
    pub(crate) fn outcome_at<A, D>(&self, result: D, location: String, done: Done<A>) -> Reply<Outcome<D>> {
        let is_created = done.changed && !self.terms.preview;
        Reply { location: Some(location), is_created, ..self.outcome(result, done) }
    }

    /// What a command came to, as callers get it.
    pub(crate) fn outcome<A, D>(&self, result: D, done: Done<A>) -> Reply<Outcome<D>> {
        let Done { changed, explanation, repeated, revision, .. } = done;
        let reply = Reply::of(Outcome { result, changed, explanation, dry_run: self.terms.preview });
        Reply { is_repeated: repeated, ..reply.at(revision) }
    }
}

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Reply<D> {
    document: D,
    revision: Option<Revision>,
    location: Option<String>,
    is_created: bool,
    is_repeated: bool,
}

impl<D> Reply<D> {
    pub(crate) fn of(document: D) -> Self {
        Self { document, revision: None, location: None, is_created: false, is_repeated: false }
    }

    pub(crate) fn at(self, revision: Revision) -> Self {
        Self { revision: Some(revision), ..self }
    }
}

impl<D: Serialize> Reply<D> {
    pub(crate) fn into_answer(self) -> Result<Answer, Problem> {
        let document = serde_json::to_string(&self.document).map_err(|error| {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Problem::from_kind(ProblemKind::Internal)
        })?;
        Ok(Answer {
            document,
            etag: self.revision.map(etag),
            location: self.location,
            is_created: self.is_created,
            is_repeated: self.is_repeated,
        })
    }
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The document, written once for all wires: the text of a JSON object.
    pub document: String,
    /// The tag of the revision that it is of, quoted as HTTP wants it.
    pub etag: Option<String>,
    /// The path of what was asked for, where it has one of its own.
    pub location: Option<String>,
    /// Whether it was made by this call.
    pub is_created: bool,
    /// Whether the caller asked for the same command before under the same key: then this is what it came to, of things as they are now.
    pub is_repeated: bool,
}

impl Answer {
    /// The document taken apart, for those who look into it.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.document).unwrap_or_default()
    }
}

/// The tag of a revision.
pub(crate) fn etag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// The revision of a tag.
pub(crate) fn revision_of(tag: &str) -> Option<Revision> {
    let digits = tag.trim().strip_prefix("\"r")?.strip_suffix('"')?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain).map(Revision)
}
