//! Removing: what is old, and what killed hosts left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::artifacts::ArtifactKey;
use runtime_ports::retention::Pruned;
use runtime_ports::subject::Subject;

use crate::disk::{names_in, read_manifest, remove_folder, sync_folder};
use crate::fault::failed;
use crate::place::{CONTENT, REMOVING, WRITING, name_of};

/// Removes what killed hosts left: unfinished artifacts that nobody has locked, and those of which the removal had begun.
pub(crate) fn sweep(operation: &'static str, root: &Path) -> PortResult<()> {
    for name in names_in(operation, root)? {
        let folder = root.join(&name);
        let removed = if name.starts_with(WRITING) {
            remove_abandoned(&folder)
        } else if name.starts_with(REMOVING) {
            remove_folder(&folder)
        } else {
            Ok(())
        };
        removed.map_err(|error| failed(operation, "remove", &folder, error))?;
    }
    Ok(())
}

fn remove_abandoned(folder: &Path) -> io::Result<()> {
    match File::options().write(true).open(folder.join(CONTENT)) {
        Ok(file) => match file.try_lock() {
            // Removed while it is locked, so that no writer takes it up.
            Ok(()) => remove_folder(folder),
            Err(fs::TryLockError::WouldBlock) => Ok(()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        },
        // A writer that has just begun makes its file, or finds its folder gone and begins another.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::remove_dir(folder) {
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
            {
                Err(error)
            }
            _ => Ok(()),
        },
        Err(error) => Err(error),
    }
}

/// One step of pruning.
pub(crate) fn prune(root: &Path, before: Timestamp, most: u32) -> PortResult<Pruned> {
    const OPERATION: &str = "artifacts.prune";
    sweep(OPERATION, root)?;
    let mut removed = 0;
    for (folder, key) in artifacts(root)? {
        // One that cannot be read is left for people to look at; it holds up no other.
        let artifact = match read_manifest(OPERATION, &folder, key) {
            Ok(artifact) => artifact,
            Err(error) => {
                tracing::warn!(%error, "an artifact could not be judged by its age");
                continue;
            }
        };
        let micros = before.timestamp_micros();
        if artifact.is_none_or(|artifact| artifact.stored_at.timestamp_micros() >= micros) {
            continue;
        }
        if removed == u64::from(most.max(1)) {
            return Ok(Pruned { removed, goes_on: true });
        }
        remove(root, &folder)?;
        removed += 1;
    }
    Ok(Pruned { removed, goes_on: false })
}

/// Every artifact of every tenant, by its folder. Whatever else lies there is passed over.
fn artifacts(root: &Path) -> PortResult<Vec<(PathBuf, ArtifactKey)>> {
    const OPERATION: &str = "artifacts.prune";
    let mut found = Vec::new();
    for tenant in names_in(OPERATION, root)?.iter().filter(|name| name.parse::<TenantId>().is_ok()) {
        let tenant = root.join(tenant);
        for name in names_in(OPERATION, &tenant)? {
            let Ok(environment) = name.parse::<EnvironmentId>() else { continue };
            for subject in names_in(OPERATION, &tenant.join(&name))? {
                let folder = tenant.join(&name).join(&subject);
                let Some(subject) = name_of(&subject) else { continue };
                for name in names_in(OPERATION, &folder)? {
                    let Some(artifact) = name_of(&name) else { continue };
                    let subject = Subject { environment, name: subject.clone() };
                    found.push((folder.join(name), ArtifactKey { subject, name: artifact }));
                }
                // Empty ones are left behind by what was pruned before; a writer that needs it makes it again.
                let _ = fs::remove_dir(&folder);
            }
        }
    }
    Ok(found)
}

/// Moved out of sight first, so that no half of it is ever shown.
fn remove(root: &Path, folder: &Path) -> PortResult<()> {
    const OPERATION: &str = "artifacts.prune";
    let failure = |error| failed(OPERATION, "remove", folder, error);
    let place = tempfile::Builder::new().prefix(REMOVING).tempdir_in(root).map_err(failure)?;
    match fs::rename(folder, place.path().join("artifact")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failure(error)),
        _ => {}
    }
    if let Some(parent) = folder.parent() {
        sync_folder(OPERATION, parent)?;
    }
    place.close().map_err(failure)
}
