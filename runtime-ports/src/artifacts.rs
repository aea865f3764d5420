//! Artifacts: step logs, plans, evidence. Named bytes that are there whole or not at all, and never change.
//!
//! ```text
//!   begin ─► write … write ─► finish(digest) ── there, whole          open ─► read … read ─► end, verified
//!              └── dropped, refused, killed ─── never there
//! ```

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;

use crate::error::{PortError, PortErrorKind, PortResult};
use crate::retention::Pruner;
use crate::store::{Cursor, Page, Seal, check_limit};
use crate::subject::{ContentDigest, KeptName, Subject};

/// The address of an artifact within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactKey {
    /// What it is about.
    pub subject: Subject,
    /// Its name among those of the subject: `migrate.log`, `plan.json`.
    pub name: KeptName,
}

impl std::fmt::Display for ArtifactKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.subject, self.name)
    }
}

/// What is known of an artifact without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Which.
    pub key: ArtifactKey,
    /// How many bytes.
    pub size: u64,
    /// Their digest.
    pub digest: ContentDigest,
    /// When it was begun, in whole microseconds, rounded down.
    pub stored_at: Timestamp,
}

/// Asks for a list of a subject's artifacts, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactQuery {
    /// The subject.
    pub subject: Subject,
    /// Where to go on; `None` at the beginning.
    pub after: Option<Cursor>,
    /// How many at most: 1 to 1,000.
    pub limit: u32,
}

impl ArtifactQuery {
    /// All of a subject, 100 to a page.
    pub fn of(subject: Subject) -> Self {
        Self { subject, after: None, limit: 100 }
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

    /// For stores: the cursor that goes on after the artifact of this name.
    pub fn cursor_at(&self, store: &str, tenant: TenantId, name: &KeptName) -> Cursor {
        self.seal(store, tenant).cursor(name)
    }

    /// For stores: the name after which this page begins, `None` at the beginning. Names are ordered by their bytes.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): the cursor is another list's, or the limit is not 1 to 1,000.
    pub fn position(&self, store: &str, tenant: TenantId) -> PortResult<Option<KeptName>> {
        const OPERATION: &str = "artifacts.list";
        check_limit(OPERATION, self.limit, 1_000)?;
        let seal = self.seal(store, tenant);
        let place = |text: &str| KeptName::new(text).ok();
        self.after.as_ref().map(|cursor| seal.place(OPERATION, cursor, place)).transpose()
    }

    fn seal(&self, store: &str, tenant: TenantId) -> Seal {
        Seal::of(store, &format!("artifacts {tenant} {}", self.subject))
    }
}

/// A store of artifacts.
///
/// # Guarantees
/// - **Whole or not at all**: an artifact is shown once [`ArtifactWriter::finish`] has made it durable, never before, and never in part,
///   whoever is killed or dropped at whatever moment.
/// - **Immutable**: finishing one that is there already changes nothing. With the same content that is no error; with another it is
///   [`Invalid`](PortErrorKind::Invalid).
/// - **Verified**: what is read to its end is what was written, or the read fails with [`Corrupt`](PortErrorKind::Corrupt).
/// - A tenant's handle neither shows, nor changes, nor tells the existence of another tenant's things.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait ArtifactStore: Send + Sync + 'static {
    /// A handle bound to one tenant.
    fn tenant_artifacts(&self, scope: &TenantScope) -> Box<dyn TenantArtifacts>;
    /// What removes old artifacts of all tenants: those stored before a time.
    fn artifact_pruner(&self, scope: &OperatorScope) -> Box<dyn Pruner>;
    /// The most bytes of one artifact.
    fn largest_artifact(&self) -> u64;
}

/// One tenant's artifacts.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait TenantArtifacts: Send + Sync {
    /// Begins to write an artifact. It is not there until the writer is finished; dropping the writer abandons it.
    async fn begin(&self, key: &ArtifactKey, at: Timestamp) -> PortResult<Box<dyn ArtifactWriter>>;
    /// Opens an artifact for reading; `None` where this tenant has none by that key.
    async fn open(&self, key: &ArtifactKey) -> PortResult<Option<Box<dyn ArtifactReader>>>;
    /// Lists a subject's artifacts page by page, by name. One that is there during the whole listing appears exactly once.
    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>>;
}

/// An artifact that is being written.
///
/// After an error it is spoilt: whatever is asked of it then fails too.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ArtifactWriter: Send {
    /// Takes the next bytes.
    ///
    /// Errors: [`Invalid`](PortErrorKind::Invalid) beyond [`ArtifactStore::largest_artifact`].
    async fn write(&mut self, bytes: &[u8]) -> PortResult<()>;
    /// Makes the artifact durable and shows it.
    ///
    /// Errors: [`Corrupt`](PortErrorKind::Corrupt) where `expected` is given and is not the digest of what was written;
    /// [`Invalid`](PortErrorKind::Invalid) where one of other content is there.
    async fn finish(self: Box<Self>, expected: Option<ContentDigest>) -> PortResult<Artifact>;
}

/// An artifact that is being read.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ArtifactReader: Send {
    /// What it is.
    fn artifact(&self) -> &Artifact;
    /// The next bytes, at most 64 KiB; `None` at the end, once all of it was verified.
    async fn read(&mut self) -> PortResult<Option<Vec<u8>>>;
}

/// How stores refuse, in the same words.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactRefusals;

impl ArtifactRefusals {
    /// More bytes than `largest`.
    pub fn too_large(largest: u64) -> PortError {
        let message =
            format!("an artifact has at most {largest} bytes here: write less, or in several artifacts");
        PortError::new(PortErrorKind::Invalid, "artifacts.write", message)
    }

    /// The digest is not what was expected.
    pub fn not_as_expected(expected: ContentDigest, written: ContentDigest) -> PortError {
        let message =
            format!("what was written is {written} and not {expected}: write it again from its beginning");
        PortError::new(PortErrorKind::Corrupt, "artifacts.finish", message)
    }

    /// Another content is there.
    pub fn exists(key: &ArtifactKey) -> PortError {
        let message =
            format!("{key} is there with another content, and artifacts never change: choose another name");
        PortError::new(PortErrorKind::Invalid, "artifacts.finish", message)
    }

    /// The writer has failed before.
    pub fn spoilt(operation: &'static str) -> PortError {
        let message = "an earlier write of this artifact failed: begin it again";
        PortError::new(PortErrorKind::Invalid, operation, message)
    }

    /// What is stored is not what was written.
    pub fn damaged(key: &ArtifactKey) -> PortError {
        let message =
            format!("{key} does not match its digest: it was edited by hand, or the disk is damaged");
        PortError::new(PortErrorKind::Corrupt, "artifacts.read", message)
    }
}

/// For stores that keep an artifact as one value: collects it in memory, within a limit.
#[derive(Debug)]
pub struct Collected {
    bytes: Vec<u8>,
    largest: u64,
    is_spoilt: bool,
}

impl Collected {
    /// Nothing yet, of at most `largest` bytes.
    pub const fn new(largest: u64) -> Self {
        Self { bytes: Vec::new(), largest, is_spoilt: false }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): it grows beyond the limit, or did before.
    pub fn write(&mut self, bytes: &[u8]) -> PortResult<()> {
        if self.is_spoilt {
            return Err(ArtifactRefusals::spoilt("artifacts.write"));
        }
        let size = self.bytes.len().saturating_add(bytes.len());
        if u64::try_from(size).map_or(true, |size| size > self.largest) {
            self.is_spoilt = true;
            self.bytes = Vec::new();
            return Err(ArtifactRefusals::too_large(self.largest));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// All of it, and its digest.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): a write failed. [`Corrupt`](PortErrorKind::Corrupt): it is not `expected`.
    pub fn finish(self, expected: Option<ContentDigest>) -> PortResult<(Vec<u8>, ContentDigest)> {
        if self.is_spoilt {
            return Err(ArtifactRefusals::spoilt("artifacts.finish"));
        }
        let digest = ContentDigest::of(&self.bytes);
        match expected.filter(|expected| *expected != digest) {
            Some(expected) => Err(ArtifactRefusals::not_as_expected(expected, digest)),
            None => Ok((self.bytes, digest)),
        }
    }
}

/// For stores that keep an artifact as one value: hands it out in parts, once it is verified.
#[derive(Debug)]
pub struct Portions {
    artifact: Artifact,
    bytes: Vec<u8>,
    given: usize,
}

impl Portions {
    /// The most bytes of one part.
    pub const SIZE: usize = 64 << 10;

    /// The parts of an artifact.
    pub const fn new(artifact: Artifact, bytes: Vec<u8>) -> Self {
        Self { artifact, bytes, given: 0 }
    }
}

#[async_trait]
impl ArtifactReader for Portions {
    fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    async fn read(&mut self) -> PortResult<Option<Vec<u8>>> {
        if self.given == 0 {
            let is_whole = u64::try_from(self.bytes.len()) == Ok(self.artifact.size)
                && ContentDigest::of(&self.bytes) == self.artifact.digest;
            if !is_whole {
                return Err(ArtifactRefusals::damaged(&self.artifact.key));
            }
        }
        let end = self.given.saturating_add(Self::SIZE).min(self.bytes.len());
        let part = self.bytes.get(self.given..end).map(<[u8]>::to_vec).filter(|part| !part.is_empty());
        self.given = end;
        Ok(part)
    }
}
