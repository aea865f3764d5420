//! Every change of the file system that the vault makes, each one step that has happened or has not.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::fault::{Fault, Outcome};

/// What unfinished files are called.
const PARTIAL_PREFIX: &str = ".partial-";

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// How many more changes succeed before the process "dies"; for tests.
    #[cfg(test)]
    pub(crate) changes_left: Option<std::sync::atomic::AtomicUsize>,
}

impl Disk {
    #[cfg(test)]
    fn step(&self, path: &Path) -> Outcome<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let Some(left) = &self.changes_left else { return Ok(()) };
        match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::io("survive", path, io::Error::other("the process died"))),
        }
    }

    #[cfg(not(test))]
    fn step(&self, _path: &Path) -> Outcome<()> {
        Ok(())
    }

    /// Makes the folder, for this user only, where it is missing.
    pub(crate) fn ensure_folder(&self, path: &Path) -> Outcome<()> {
        if look_up(path)?.is_some_and(|found| found.is_dir()) {
            return Ok(());
        }
        self.step(path)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| Fault::io("create the folder", path, error))
    }

    /// Replaces a file as a whole, for this user only, and durably.
    pub(crate) fn write(&self, path: &Path, content: &[u8]) -> Outcome<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let write = |error| Fault::io("write", path, error);
        self.step(path)?;
        // A temporary file has mode 600.
        let mut partial =
            tempfile::Builder::new().prefix(PARTIAL_PREFIX).tempfile_in(folder).map_err(write)?;
        partial.write_all(content).map_err(write)?;
        partial.as_file().sync_all().map_err(write)?;
        self.step(path)?;
        partial.persist(path).map_err(|error| write(error.error))?;
        sync_folder(folder)
    }

    /// Removes a file; one that is gone is a success.
    pub(crate) fn remove(&self, path: &Path) -> Outcome<()> {
        self.step(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::io("remove", path, error)),
            _ => Ok(()),
        }
    }
}

fn sync_folder(folder: &Path) -> Outcome<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Fault::io("write to disk the folder", folder, error))
}

/// What is at `path`, without following a link there.
pub(crate) fn look_up(path: &Path) -> Outcome<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io("look at", path, error)),
    }
}

/// The file's content; `None` where there is none.
pub(crate) fn read(path: &Path) -> Outcome<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io("read", path, error)),
    }
}

/// The names in a folder; none where it is absent.
pub(crate) fn names_in(path: &Path) -> Outcome<Vec<String>> {
    let read = |error| Fault::io("list", path, error);
    match fs::read_dir(path) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry.map_err(read)?.file_name().to_string_lossy().into_owned())).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(read(error)),
    }
}
