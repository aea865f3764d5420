//! Every change of the file system that the engine makes, each one step that has happened or has not.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::path::Path;

use crate::fault::{Fault, Outcome};

/// What unfinished files are called.
pub(crate) const PARTIAL_PREFIX: &str = ".partial-";

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// How many more changes succeed before the process "dies"; for tests.
    #[cfg(test)]
    pub(crate) changes_left: Option<std::cell::Cell<usize>>,
}

impl Disk {
    #[cfg(test)]
    fn step(&self, path: &Path) -> Outcome<()> {
        match self.changes_left.as_ref().map(|left| (left, left.get().checked_sub(1))) {
            None => Ok(()),
            Some((left, Some(fewer))) => {
                left.set(fewer);
                Ok(())
            }
            Some((_, None)) => Err(Fault::io("survive", path, io::Error::other("the process died"))),
        }
    }

    #[cfg(not(test))]
    fn step(&self, _path: &Path) -> Outcome<()> {
        Ok(())
    }

    /// Makes one folder, for this user only.
    pub(crate) fn create_folder(&self, path: &Path) -> Outcome<()> {
        self.step(path)?;
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| Fault::io("create the folder", path, error))
    }

    /// Makes the folder where it is missing, and refuses anything else in its place.
    pub(crate) fn ensure_folder(&self, path: &Path) -> Outcome<()> {
        if is_folder(path)? {
            return Ok(());
        }
        match self.create_folder(path) {
            // The tenant's folder is made before there is a lock, so another may have made it meanwhile.
            Err(_) if is_folder(path)? => Ok(()),
            created => created,
        }
    }

    /// Replaces a file as a whole.
    pub(crate) fn write_file(&self, folder: &Path, name: &str, content: &[u8]) -> Outcome<()> {
        let path = folder.join(name);
        self.step(&path)?;
        let write = |error| Fault::io("write", &path, error);
        let mut partial =
            tempfile::Builder::new().prefix(PARTIAL_PREFIX).tempfile_in(folder).map_err(write)?;
        partial.write_all(content).map_err(write)?;
        partial.as_file().sync_all().map_err(write)?;
        partial.persist(&path).map_err(|error| write(error.error))?;
        sync_folder(folder)
    }

    /// Moves a folder to a free name beside it.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Outcome<()> {
        self.step(from)?;
        fs::rename(from, to).map_err(|error| Fault::io("rename", from, error))?;
        to.parent().map_or(Ok(()), sync_folder)
    }

    /// Removes a folder with all it holds; links in it are removed and not followed.
    pub(crate) fn remove_folder(&self, path: &Path) -> Outcome<()> {
        self.step(path)?;
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::io("remove", path, error)),
            _ => Ok(()),
        }
    }
}

fn sync_folder(folder: &Path) -> Outcome<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Fault::io("write to disk the folder", folder, error))?;
    }
    Ok(())
}

/// What is at `path`, without following a link there.
pub(crate) fn look_up(path: &Path) -> Outcome<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io("look at", path, error)),
    }
}

/// Whether a folder is there.
///
/// # Errors
/// Something else is.
pub(crate) fn is_folder(path: &Path) -> Outcome<bool> {
    match look_up(path)? {
        None => Ok(false),
        Some(metadata) if metadata.is_dir() => Ok(true),
        Some(_) => Err(Fault::foreign(path, "is not a folder")),
    }
}

/// The names in a folder, sorted; none where it is absent.
pub(crate) fn names_in(path: &Path) -> Outcome<Vec<String>> {
    if !is_folder(path)? {
        return Ok(Vec::new());
    }
    let read = |error| Fault::io("list", path, error);
    let entries = fs::read_dir(path).map_err(read)?;
    let mut names = entries
        .map(|entry| Ok(entry.map_err(read)?.file_name().to_string_lossy().into_owned()))
        .collect::<Outcome<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
