//! One process at a time owns a database.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use runtime_ports::{PortError, PortErrorKind, PortResult};

/// Held for as long as the writer lives. The operating system lets go of it when the process dies, however it dies; the file stays, since
/// removing it would let two processes lock two different files of one name.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    _file: File,
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
            Ok(()) => Ok((Self { _file: file }, real)),
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
