//! The source: which folder is whose, and what was parsed already.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use runtime_domain::drift::Authoritative;
use runtime_domain::id::TenantId;
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::documents::{not_found, parsed};
use crate::git::Git;
use crate::plain;

const OPEN: &str = "desired_state.open";

/// The most components that are remembered parsed.
const MOST_REMEMBERED: usize = 100_000;

/// Whose desired state a directory keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenants {
    /// One tenant's: paths begin at the root. For every other tenant there is nothing.
    Only(TenantId),
    /// Each tenant's, in a folder of its own that is named by the tenant's identifier (`ten_…`).
    Each,
}

/// Desired state in a directory. See the crate's documentation.
#[derive(Debug)]
pub struct DesiredStateDirectory {
    kept: Kept,
    tenants: Tenants,
    parsed: Mutex<BTreeMap<String, Arc<DesiredReleases>>>,
}

#[derive(Debug)]
enum Kept {
    Git(Git),
    Plain(PathBuf),
}

impl DesiredStateDirectory {
    /// A Git work tree, by its top folder. What is desired is what the commit that is checked out says.
    ///
    /// # Errors
    /// [`Unsupported`](PortErrorKind::Unsupported) where `git` cannot be run, [`Invalid`](PortErrorKind::Invalid) where the folder is not the top of a
    /// work tree.
    pub async fn git(root: impl Into<PathBuf>, tenants: Tenants) -> PortResult<Self> {
        let git = Git::open(canonical(root.into()).await?).await?;
        Ok(Self { kept: Kept::Git(git), tenants, parsed: Mutex::default() })
    }

    /// A plain directory. What is desired is what its files say.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid) where it is no directory.
    pub async fn plain(root: impl Into<PathBuf>, tenants: Tenants) -> PortResult<Self> {
        let root = canonical(root.into()).await?;
        Ok(Self { kept: Kept::Plain(root), tenants, parsed: Mutex::default() })
    }

    /// A Git work tree where the folder is the top of one, else a plain directory.
    ///
    /// # Errors
    /// As [`DesiredStateDirectory::git`] and [`DesiredStateDirectory::plain`].
    pub async fn open(root: impl Into<PathBuf>, tenants: Tenants) -> PortResult<Self> {
        let root = root.into();
        if tokio::fs::symlink_metadata(root.join(".git")).await.is_ok() {
            Self::git(root, tenants).await
        } else {
            Self::plain(root, tenants).await
        }
    }

    /// The folder of a place, part by part.
    fn folder(&self, place: &DesiredPlace) -> PortResult<Vec<String>> {
        let own = match self.tenants {
            Tenants::Only(tenant) if tenant == place.tenant => None,
            Tenants::Only(_) => {
                return Err(not_found("nothing is kept for this tenant: give it a source of its own"));
            }
            Tenants::Each => Some(place.tenant.to_string()),
        };
        Ok(own.into_iter().chain(place.path.parts().map(str::to_owned)).collect())
    }

    fn remembered(&self, content: &str) -> Option<Arc<DesiredReleases>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner).get(content).cloned()
    }

    fn remember(&self, content: String, releases: &Arc<DesiredReleases>) {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let components: usize = parsed.values().map(|releases| releases.components().count()).sum();
        if components > MOST_REMEMBERED || parsed.len() > MOST_REMEMBERED {
            parsed.clear();
        }
        parsed.insert(content, Arc::clone(releases));
    }

    /// What a content says: parsed once.
    async fn releases(
        &self,
        content: String,
        documents: BTreeMap<String, Vec<u8>>,
    ) -> PortResult<Arc<DesiredReleases>> {
        // Parsing a large folder takes long enough to hold others up.
        let releases = tokio::task::spawn_blocking(move || parsed(&documents)).await.map_err(cut_off)??;
        let releases = Arc::new(releases);
        self.remember(content, &releases);
        Ok(releases)
    }
}

#[async_trait]
impl DesiredStateSource for DesiredStateDirectory {
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>> {
        let folder = self.folder(place)?;
        let (revision, releases) = match &self.kept {
            Kept::Git(git) => {
                let commit = git.clean_commit().await?;
                let tree = git.tree(&commit, &folder, &place.path).await?;
                let releases = match self.remembered(&tree) {
                    Some(releases) => releases,
                    None => {
                        let documents = git.documents(&tree).await?;
                        self.releases(tree, documents).await?
                    }
                };
                git.is_still(&commit).await?;
                (format!("git:{commit}"), releases)
            }
            Kept::Plain(root) => {
                let (root, path) = (root.clone(), place.path.clone());
                let read = tokio::task::spawn_blocking(move || plain::read(&root, &folder, &path));
                let (digest, documents) = read.await.map_err(cut_off)??;
                let releases = match self.remembered(&digest) {
                    Some(releases) => releases,
                    None => self.releases(digest.clone(), documents).await?,
                };
                (format!("directory:{digest}"), releases)
            }
        };
        let revision = revision.parse().map_err(|error| {
            let message = "what git calls the commit is no revision: look whether the repository is whole";
            PortError::new(PortErrorKind::Internal, crate::documents::READ, message).caused_by(error)
        })?;
        Ok(Authoritative::from_revision(revision, place.tenant, place.environment, releases))
    }
}

fn cut_off(error: tokio::task::JoinError) -> PortError {
    PortError::new(PortErrorKind::Internal, crate::documents::READ, "reading was cut off").caused_by(error)
}

/// The folder itself, whatever links lead to it: the operator chose it.
async fn canonical(root: PathBuf) -> PortResult<PathBuf> {
    let found = tokio::fs::canonicalize(&root).await;
    let folder = match found {
        Ok(folder) if tokio::fs::metadata(&folder).await.is_ok_and(|found| found.is_dir()) => folder,
        Ok(_) => return Err(no_folder(&root)),
        Err(error) => return Err(no_folder(&root).caused_by(error)),
    };
    Ok(folder)
}

fn no_folder(root: &std::path::Path) -> PortError {
    let message = format!("{} is no directory that can be read: name one", root.display());
    PortError::new(PortErrorKind::Invalid, OPEN, message)
}
