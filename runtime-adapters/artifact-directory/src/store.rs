//! The store, and its handles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::artifacts::{
    Artifact, ArtifactKey, ArtifactQuery, ArtifactReader, ArtifactStore, ArtifactWriter, TenantArtifacts,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::Page;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::disk::{is_folder, names_in, read_manifest};
use crate::fault::failed;
use crate::{place, prune, read, write};

/// What cursors are marked with.
const STORE: &str = "directory";

/// A store of artifacts in a directory. Clones are the same store.
///
/// Its methods need a tokio runtime.
#[derive(Debug, Clone)]
pub struct ArtifactDirectory {
    root: Arc<Path>,
    largest: u64,
}

impl ArtifactDirectory {
    /// The most bytes of an artifact, unless said otherwise: 1 GiB.
    pub const LARGEST: u64 = 1 << 30;

    /// Opens the store in a directory, which is created where it is absent, for artifacts of up to [`ArtifactDirectory::LARGEST`] bytes.
    ///
    /// It blocks while it removes what a killed host left half written: call it once, when the host starts.
    ///
    /// # Errors
    /// The directory cannot be created or listed.
    pub fn open(root: impl Into<PathBuf>) -> PortResult<Self> {
        Self::open_with(root, Self::LARGEST)
    }

    /// As [`ArtifactDirectory::open`], for artifacts of up to `largest` bytes.
    ///
    /// # Errors
    /// As [`ArtifactDirectory::open`].
    pub fn open_with(root: impl Into<PathBuf>, largest: u64) -> PortResult<Self> {
        const OPERATION: &str = "artifacts.open";
        let root = root.into();
        std::fs::create_dir_all(&root)
            .map_err(|error| failed(OPERATION, "create the folder", &root, error))?;
        prune::sweep(OPERATION, &root)?;
        Ok(Self { root: Arc::from(root), largest })
    }
}

/// Does what blocks on a thread where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> PortResult<T> + Send + 'static,
) -> PortResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let message = "it did not finish: the async runtime is shutting down, or it panicked";
        PortError::new(PortErrorKind::Internal, operation, message).caused_by(error)
    })?
}

impl ArtifactStore for ArtifactDirectory {
    fn tenant_artifacts(&self, scope: &TenantScope) -> Box<dyn TenantArtifacts> {
        Box::new(TenantHandle { store: self.clone(), tenant: scope.tenant() })
    }

    fn artifact_pruner(&self, _scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(PrunerHandle(self.clone()))
    }

    fn largest_artifact(&self) -> u64 {
        self.largest
    }
}

struct TenantHandle {
    store: ArtifactDirectory,
    tenant: TenantId,
}

#[async_trait]
impl TenantArtifacts for TenantHandle {
    async fn begin(&self, key: &ArtifactKey, at: Timestamp) -> PortResult<Box<dyn ArtifactWriter>> {
        let (root, tenant, key) = (Arc::clone(&self.store.root), self.tenant, key.clone());
        let largest = self.store.largest;
        let begin = move || write::FileWriter::begin(root, tenant, key, at, largest);
        Ok(Box::new(blocking("artifacts.begin", begin).await?))
    }

    async fn open(&self, key: &ArtifactKey) -> PortResult<Option<Box<dyn ArtifactReader>>> {
        let (folder, key) = (place::folder(&self.store.root, self.tenant, key), key.clone());
        let found = blocking("artifacts.open", move || read::FileReader::open(&folder, key)).await?;
        Ok(found.map(|reader| Box::new(reader) as Box<dyn ArtifactReader>))
    }

    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
        let (root, tenant, query) = (Arc::clone(&self.store.root), self.tenant, query.clone());
        blocking("artifacts.list", move || list(&root, tenant, &query)).await
    }
}

fn list(root: &Path, tenant: TenantId, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
    const OPERATION: &str = "artifacts.list";
    let after = query.position(STORE, tenant)?;
    let folder = place::subject_folder(root, tenant, &query.subject);
    if !is_folder(OPERATION, &folder)? {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let mut names: Vec<_> =
        names_in(OPERATION, &folder)?.iter().filter_map(|name| place::name_of(name)).collect();
    // The order of the names, which is not that of their folders.
    names.sort_unstable();
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    for name in names.into_iter().filter(|name| after.as_ref().is_none_or(|after| name > after)) {
        let key = ArtifactKey { subject: query.subject.clone(), name };
        // What was removed meanwhile is passed over.
        items.extend(read_manifest(OPERATION, &place::folder(root, tenant, &key), key)?);
        if items.len() > limit {
            break;
        }
    }
    Ok(Page::of(items, query.limit, |last| query.cursor_at(STORE, tenant, &last.key.name)))
}

struct PrunerHandle(ArtifactDirectory);

#[async_trait]
impl Pruner for PrunerHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let root = Arc::clone(&self.0.root);
        blocking("artifacts.prune", move || prune::prune(&root, before, most)).await
    }
}
