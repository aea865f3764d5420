//! Steps on the file system.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use runtime_domain::id::TenantId;
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::artifacts::{Artifact, ArtifactKey};
use serde::{Deserialize, Serialize};

use crate::fault::{failed, foreign};
use crate::place::{self, MANIFEST};

/// What `artifact.json` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The version of this form.
    format: u16,
    size: u64,
    digest: String,
    /// Whole microseconds since 1970, UTC.
    stored_at: i64,
}

/// More than any manifest has.
const LARGEST_MANIFEST: u64 = 4_096;

pub(crate) fn write_manifest(folder: &Path, artifact: &Artifact) -> PortResult<()> {
    const OPERATION: &str = "artifacts.finish";
    let path = folder.join(MANIFEST);
    let manifest = Manifest {
        format: 1,
        size: artifact.size,
        digest: artifact.digest.to_string(),
        stored_at: artifact.stored_at.timestamp_micros(),
    };
    let text = serde_json::to_vec(&manifest)
        .map_err(|error| failed(OPERATION, "write", &path, io::Error::other(error)))?;
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&path)?;
        file.write_all(&text)?;
        file.sync_all()
    };
    write().map_err(|error| failed(OPERATION, "write", &path, error))
}

/// What an artifact's folder says of it; `None` where there is none.
pub(crate) fn read_manifest(
    operation: &'static str,
    folder: &Path,
    key: ArtifactKey,
) -> PortResult<Option<Artifact>> {
    if !is_folder(operation, folder)? {
        return Ok(None);
    }
    let path = folder.join(MANIFEST);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(LARGEST_MANIFEST).read_to_end(&mut text));
    match read {
        Ok(_) => {}
        // It was removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_folder(operation, folder)? => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(foreign(operation, folder)),
        Err(error) => return Err(failed(operation, "read", &path, error)),
    }
    let manifest: Option<Manifest> = serde_json::from_slice(&text).ok();
    let artifact = manifest.filter(|manifest| manifest.format == 1).and_then(|manifest| {
        let digest = manifest.digest.parse().ok()?;
        let stored_at = Timestamp::from_timestamp_micros(manifest.stored_at)?;
        Some(Artifact { key, size: manifest.size, digest, stored_at })
    });
    artifact.map(Some).ok_or_else(|| foreign(operation, &path))
}

/// Makes the folder of a subject durable, with all that lead to it.
pub(crate) fn make_subject_folder(root: &Path, tenant: TenantId, key: &ArtifactKey) -> PortResult<()> {
    const OPERATION: &str = "artifacts.finish";
    let folder = place::subject_folder(root, tenant, &key.subject);
    let mut ancestors: Vec<&Path> = folder.ancestors().take_while(|path| *path != root).collect();
    ancestors.reverse();
    for path in ancestors {
        if is_folder(OPERATION, path)? {
            continue;
        }
        match create_folder(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(OPERATION, "create the folder", path, error));
            }
            _ => {}
        }
        if let Some(parent) = path.parent() {
            sync_folder(OPERATION, parent)?;
        }
    }
    Ok(())
}

/// Makes one folder, for this user only.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes what is in a folder survive a crash of the machine.
pub(crate) fn sync_folder(operation: &'static str, folder: &Path) -> PortResult<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed(operation, "write to disk the folder", folder, error))?;
    }
    Ok(())
}

/// Whether a folder is there. A link is none.
pub(crate) fn is_folder(operation: &'static str, path: &Path) -> PortResult<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(foreign(operation, path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(operation, "look at", path, error)),
    }
}

/// The names in a folder, sorted; none where it is absent.
pub(crate) fn names_in(operation: &'static str, path: &Path) -> PortResult<Vec<String>> {
    if !is_folder(operation, path)? {
        return Ok(Vec::new());
    }
    let listed = || -> io::Result<Vec<String>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names = listed().map_err(|error| failed(operation, "list", path, error))?;
    names.sort_unstable();
    Ok(names)
}

/// Removes a folder with all it holds; links in it are removed and not followed. It may be gone.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
