//! Observed state: what was seen of something, and when.
//!
//! State that changes often and matters little one by one lives apart from the aggregates: it is kept as JSON, one row for every stretch of
//! time in which it stayed the same, and pruned by age. It is a record of what was seen, never of what should be.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::{Span, Timestamp};
use serde_json::Value;

use crate::error::{PortError, PortErrorKind, PortResult};
use crate::retention::Pruner;
use crate::store::{Cursor, Page, Seal, check_limit};
use crate::subject::{ContentDigest, KeptName, Subject};

/// An observation as JSON, in its canonical form: keys sorted, no white space, so that equal observations are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotBody {
    text: String,
    digest: ContentDigest,
}

/// Why a text is no observation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotBodyError {
    /// It is not JSON.
    #[error("an observation must be JSON, and this is not: {why}")]
    NotJson {
        /// Where and how.
        why: String,
    },
    /// It is too large.
    #[error(
        "an observation has at most {} bytes, and this has {size}: leave details out, or keep it as an artifact",
        SnapshotBody::LARGEST
    )]
    TooLarge {
        /// How large it is, in bytes.
        size: usize,
    },
}

impl SnapshotBody {
    /// The most bytes of an observation, before and after it is brought to its canonical form: 1 MiB.
    pub const LARGEST: usize = 1 << 20;

    /// Parses JSON.
    ///
    /// # Errors
    /// It is no JSON, nested more than 128 deep, or too large.
    pub fn parse(text: &str) -> Result<Self, SnapshotBodyError> {
        check_size(text.len())?;
        let value = serde_json::from_str(text)
            .map_err(|error| SnapshotBodyError::NotJson { why: error.to_string() })?;
        Self::of(&value)
    }

    /// A value.
    ///
    /// # Errors
    /// It is too large.
    pub fn of(value: &Value) -> Result<Self, SnapshotBodyError> {
        let mut text = String::new();
        write_canonically(value, &mut text);
        check_size(text.len())?;
        let digest = ContentDigest::of(text.as_bytes());
        Ok(Self { text, digest })
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The digest of the JSON.
    pub fn digest(&self) -> ContentDigest {
        self.digest
    }
}

fn check_size(size: usize) -> Result<(), SnapshotBodyError> {
    if size > SnapshotBody::LARGEST { Err(SnapshotBodyError::TooLarge { size }) } else { Ok(()) }
}

fn write_canonically(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_canonically(item, text);
            }
            text.push(']');
        }
        // Sorted here, because another crate of the build may have told serde_json to keep the order of insertion.
        Value::Object(members) => {
            text.push('{');
            for (place, (key, member)) in members.iter().collect::<BTreeMap<_, _>>().into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonically(member, text);
            }
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// What was seen, and during which time it stayed the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Of what.
    pub subject: Subject,
    /// When it was first seen so.
    pub captured_at: Timestamp,
    /// When it was last seen so, as far as is recorded: it may have been seen so for up to [`Snapshot::STEP`] longer.
    pub last_seen_at: Timestamp,
    /// The digest of the body.
    pub digest: ContentDigest,
    /// What was seen, as canonical JSON.
    pub body: String,
}

/// What became of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// It differs from what was seen before, or is the first: it is a snapshot now.
    Changed,
    /// It is what was seen before, and until when it was seen so is recorded anew.
    Extended,
    /// It is what was seen before, less than [`Snapshot::STEP`] after what is recorded of that: nothing was written.
    Unchanged,
    /// Something newer has been recorded: it was not kept.
    Late,
}

/// What a store must do with an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureStep {
    /// Keep it as a new snapshot.
    Insert,
    /// Move the newest snapshot's [`Snapshot::last_seen_at`] to it.
    Extend,
    /// Nothing: it is what was seen less than [`Snapshot::STEP`] ago.
    Leave,
    /// Nothing: something newer is there.
    Late,
}

impl CaptureStep {
    /// What the caller is told.
    pub const fn told(self) -> Captured {
        match self {
            Self::Insert => Captured::Changed,
            Self::Extend => Captured::Extended,
            Self::Leave => Captured::Unchanged,
            Self::Late => Captured::Late,
        }
    }
}

impl Snapshot {
    /// How often the time of an unchanged observation is recorded: seeing the same again within it writes nothing.
    pub const STEP: Span = Span::from_secs(60);

    /// What to do with an observation of `digest` made `at`, where the subject's newest snapshot is this one: the same rule in every store.
    pub fn step(
        captured_at: Timestamp,
        last_seen_at: Timestamp,
        digest: ContentDigest,
        next: (Timestamp, ContentDigest),
    ) -> CaptureStep {
        let (at, seen) = next;
        match (digest == seen, at < captured_at, at <= last_seen_at) {
            (_, true, _) | (false, _, true) => CaptureStep::Late,
            (true, false, true) => CaptureStep::Leave,
            (true, false, false) if at < Self::STEP.after(last_seen_at) => CaptureStep::Leave,
            (true, false, false) => CaptureStep::Extend,
            (false, false, false) => CaptureStep::Insert,
        }
    }
}

/// Asks for a list of snapshots, newest first. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// In this environment.
    pub environment: EnvironmentId,
    /// Only of this subject.
    pub subject: Option<KeptName>,
    /// Only captured then or later.
    pub from: Option<Timestamp>,
    /// Only captured before then.
    pub until: Option<Timestamp>,
    /// Where to go on; `None` at the beginning.
    pub after: Option<Cursor>,
    /// How many at most: 1 to 100.
    pub limit: u32,
}

impl SnapshotQuery {
    /// All of an environment, 20 to a page.
    pub fn of(environment: EnvironmentId) -> Self {
        Self { environment, subject: None, from: None, until: None, after: None, limit: 20 }
    }

    /// Only of this subject.
    #[must_use]
    pub fn about(self, name: KeptName) -> Self {
        Self { subject: Some(name), ..self }
    }

    /// Only captured then or later.
    #[must_use]
    pub fn from(self, from: Timestamp) -> Self {
        Self { from: Some(from), ..self }
    }

    /// Only captured before then.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }

    /// At most so many to a page.
    #[must_use]
    pub fn limited_to(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Going on where a page ended.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { after: Some(cursor), ..self }
    }

    /// For stores: the cursor that goes on after a snapshot.
    pub fn cursor_at(
        &self,
        store: &str,
        tenant: TenantId,
        captured_at: Timestamp,
        subject: &KeptName,
    ) -> Cursor {
        self.seal(store, tenant).cursor(format_args!("{}.{subject}", captured_at.timestamp_micros()))
    }

    /// For stores: the whole microsecond and the name after which this page begins, `None` at the beginning.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): the cursor is another list's, or the limit is not 1 to 100.
    pub fn position(&self, store: &str, tenant: TenantId) -> PortResult<Option<(i64, KeptName)>> {
        const OPERATION: &str = "snapshots.list";
        check_limit(OPERATION, self.limit, 100)?;
        let place = |text: &str| {
            let (micros, name) = text.split_once('.')?;
            Some((micros.parse().ok()?, KeptName::new(name).ok()?))
        };
        let seal = self.seal(store, tenant);
        self.after.as_ref().map(|cursor| seal.place(OPERATION, cursor, place)).transpose()
    }

    fn seal(&self, store: &str, tenant: TenantId) -> Seal {
        let Self { environment, subject, from, until, .. } = self;
        Seal::of(store, &format!("snapshots {tenant} {environment} {subject:?} {from:?} {until:?}"))
    }
}

/// A store of snapshots.
///
/// # Guarantees
/// - What a method returned `Ok` for survives what the adapter's durability says.
/// - Of observations made at one time on one subject one is kept; what is recorded never changes, but for the time until which it was seen.
/// - Times are compared in whole microseconds, rounded down.
/// - A tenant's handle neither shows, nor changes, nor tells the existence of another tenant's things.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait SnapshotStore: Send + Sync + 'static {
    /// A handle bound to one tenant.
    fn tenant_snapshots(&self, scope: &TenantScope) -> Box<dyn TenantSnapshots>;
    /// What removes old snapshots of all tenants: those last seen before a time. What is still seen stays, however long ago it began.
    fn snapshot_pruner(&self, scope: &OperatorScope) -> Box<dyn Pruner>;
}

/// One tenant's snapshots.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait TenantSnapshots: Send + Sync {
    /// Records what was seen. Seeing the same again costs a look, and a small write once in [`Snapshot::STEP`].
    async fn capture(&self, subject: &Subject, at: Timestamp, body: &SnapshotBody) -> PortResult<Captured>;
    /// The newest snapshot; `None` where nothing is recorded.
    async fn latest(&self, subject: &Subject) -> PortResult<Option<Snapshot>>;
    /// The snapshot that was the newest at a time: the last one captured then or before. Whether it was still seen so, its
    /// [`Snapshot::last_seen_at`] tells.
    async fn as_of(&self, subject: &Subject, at: Timestamp) -> PortResult<Option<Snapshot>>;
    /// Lists snapshots page by page, newest first. One that is there during the whole listing appears exactly once.
    async fn list(&self, query: &SnapshotQuery) -> PortResult<Page<Snapshot>>;
}

/// For stores: the failure of a stored body that is not what it was when it was kept.
pub fn damaged(operation: &'static str) -> PortError {
    let message =
        "a stored snapshot does not match its digest: it was edited by hand, or the disk is damaged";
    PortError::new(PortErrorKind::Corrupt, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_observations_are_equal_bytes_however_they_were_written() {
        let one = SnapshotBody::parse(r#"{"b":[1,2.5,null],"a":{"y":"ä\n","x":true}}"#).unwrap();
        let other =
            SnapshotBody::parse("{ \"a\" : {\"x\":true, \"y\":\"\\u00e4\\n\"},\n \"b\":[1, 2.5, null] }")
                .unwrap();
        assert_eq!(one, other);
        assert_eq!(one.as_str(), r#"{"a":{"x":true,"y":"ä\n"},"b":[1,2.5,null]}"#);
        assert_eq!(SnapshotBody::parse(one.as_str()), Ok(one));
    }

    #[test]
    fn what_is_no_json_or_too_large_is_refused_with_what_is_legal() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "{'a':1}", "nul", "1 2", deep.as_str()] {
            let refused = SnapshotBody::parse(text).unwrap_err();
            assert!(matches!(refused, SnapshotBodyError::NotJson { .. }), "{refused}");
        }
        let large = format!("\"{}\"", "x".repeat(10_000_000));
        let refused = SnapshotBody::parse(&large).unwrap_err();
        assert_eq!(refused, SnapshotBodyError::TooLarge { size: 10_000_002 });
        assert!(refused.to_string().contains("1048576"), "{refused}");
        let largest = format!("\"{}\"", "x".repeat(SnapshotBody::LARGEST - 2));
        assert_eq!(SnapshotBody::parse(&largest).map(|body| body.as_str().len()), Ok(SnapshotBody::LARGEST));
    }

    #[test]
    fn an_observation_is_judged_by_when_it_was_made_and_what_it_shows() {
        let at = |seconds| Span::from_secs(seconds).after(Timestamp::UNIX_EPOCH);
        let (one, other) = (ContentDigest::of(b"one"), ContentDigest::of(b"other"));
        let step = |seconds, digest| Snapshot::step(at(100), at(200), one, (at(seconds), digest));
        for (seconds, digest, wanted) in [
            (99, one, CaptureStep::Late),
            (99, other, CaptureStep::Late),
            (100, one, CaptureStep::Leave),
            (200, one, CaptureStep::Leave),
            (200, other, CaptureStep::Late),
            (201, other, CaptureStep::Insert),
            (259, one, CaptureStep::Leave),
            (260, one, CaptureStep::Extend),
        ] {
            assert_eq!(step(seconds, digest), wanted, "{digest} at {seconds}");
        }
    }
}
