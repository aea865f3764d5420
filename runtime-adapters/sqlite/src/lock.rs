//! One process at a time owns a database.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use runtime_ports::{PortError, PortErrorKind, PortResult};

/// Held for as long as the writer lives. The operating system lets go of it when the process dies, however it dies; the file stays, since
/// removing it would let two processes lock two different files of one name.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    file: File,
}

impl OwnerLock {
    /// Creates the database file where it is absent, and locks it. Returns its path with every link followed, so that two names of one file
    /// meet at one lock.
    pub(crate) fn acquire(path: &Path) -> PortResult<(Self, PathBuf)> {
        let create =
            |path: &Path| OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let real = create(path).and_then(|_| path.canonicalize()).map_err(|error| unusable(path, error))?;
        let mut beside = real.clone().into_os_string();
        beside.push(".lock");
        let file = create(Path::new(&beside)).map_err(|error| unusable(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok((Self { file }, real)),
            Err(TryLockError::WouldBlock) => Err(PortError::new(
                PortErrorKind::Unavailable,
                "store.open",
                format!(
                    "`{}` is open already: close the store that has it, or choose another file",
                    path.display()
                ),
            )),
            Err(TryLockError::Error(error)) => Err(unusable(path, error)),
        }
    }
}

impl Drop for OwnerLock {
    /// Lets go at once. Closing the file alone would not: a process that was forked and has not begun its own program yet has it open too.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "a database's lock was not let go of: it is when the process ends");
        }
    }
}

fn unusable(path: &Path, error: std::io::Error) -> PortError {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            PortErrorKind::Denied
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => PortErrorKind::Exhausted,
        _ => PortErrorKind::Unavailable,
    };
    PortError::new(
        kind,
        "store.open",
        format!(
            "`{}` cannot be created or opened: check that its folder exists and may be written",
            path.display()
        ),
    )
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_again_though_a_forked_process_still_has_its_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (lock, _) = OwnerLock::acquire(&path).unwrap();
        let as_forked = lock.file.try_clone().unwrap();
        assert_eq!(OwnerLock::acquire(&path).map(drop).unwrap_err().kind(), PortErrorKind::Unavailable);
        drop(lock);
        OwnerLock::acquire(&path).unwrap();
        drop(as_forked);
    }
}
