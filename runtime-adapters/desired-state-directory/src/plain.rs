//! A plain directory: its files as they are, if they stay so while they are read.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use runtime_domain::drift::watch::DesiredStatePath;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::documents::{Allowance, READ, corrupt, document_name, is_document, not_found, unavailable};

/// What tells whether a file was changed.
type Stamp = (u64, i64, i64, i64, i64, i64);

/// The digest of a folder's manifests, and their contents.
pub(crate) fn read(
    root: &Path,
    folder: &[String],
    path: &DesiredStatePath,
) -> PortResult<(String, BTreeMap<String, Vec<u8>>)> {
    read_opened(open(root, folder, path)?, root, folder, path)
}

/// Opens a folder, part by part, so that no link is followed.
fn open(root: &Path, folder: &[String], path: &DesiredStatePath) -> PortResult<OwnedFd> {
    let mut at = open_folder(openat(CWD, root, FOLDER, Mode::empty()), path)?;
    for part in folder {
        at = open_folder(openat(at.as_fd(), part.as_str(), FOLDER, Mode::empty()), path)?;
    }
    Ok(at)
}

/// Reads a folder that was opened a moment ago, if it is still the one that is there.
fn read_opened(
    at: OwnedFd,
    root: &Path,
    folder: &[String],
    path: &DesiredStatePath,
) -> PortResult<(String, BTreeMap<String, Vec<u8>>)> {
    let mut allowance = Allowance::default();
    let mut documents = BTreeMap::new();
    let mut stamps = BTreeMap::new();
    for name in names(&at)? {
        let (content, stamp) = document(&at, &name, &mut allowance)?;
        stamps.insert(name.clone(), stamp);
        documents.insert(name, content);
    }
    // Whoever changes a file while it is read shows in its stamp, or in the list.
    let mut again = BTreeMap::new();
    for name in names(&at)? {
        let file = open_document(&at, &name)?;
        again.insert(name.clone(), stamp_of(&file, &name)?.0);
    }
    // Whoever puts another folder in its place may be removing this one's files, one after the other.
    let is_there_still = same_folder(&at, &open(root, folder, path)?, path)?;
    if again != stamps || !is_there_still {
        return Err(unavailable(format!("`{path}` is being changed: it is read again when it rests")));
    }
    Ok((digest(&documents), documents))
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_folder(opened: rustix::io::Result<OwnedFd>, path: &DesiredStatePath) -> PortResult<OwnedFd> {
    opened.map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => not_found(format!(
            "there is no folder `{path}` (links are not followed): create it, or watch another"
        )),
        error => failed(format!("the folder `{path}` could not be opened"), error),
    })
}

fn same_folder(one: &OwnedFd, other: &OwnedFd, path: &DesiredStatePath) -> PortResult<bool> {
    let stat = |folder| fstat(folder).map_err(|error| failed(format!("`{path}` could not be read"), error));
    let (one, other) = (stat(one)?, stat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// The names of the manifests in a folder.
fn names(folder: &OwnedFd) -> PortResult<Vec<String>> {
    let listed = Dir::read_from(folder).map_err(|error| failed("a folder could not be listed", error))?;
    let mut names = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|error| failed("a folder could not be listed", error))?;
        let name = entry.file_name().to_bytes();
        if is_document(name) {
            names.push(document_name(name)?);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn open_document(folder: &OwnedFd, name: &str) -> PortResult<std::fs::File> {
    // Without waiting, so that a pipe in a manifest's place holds nobody up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(folder.as_fd(), name, flags, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        Err(Errno::LOOP | Errno::MLINK) => {
            Err(corrupt(format!("`{name}` is a link: put the manifest itself there")))
        }
        Err(Errno::NOENT) => {
            Err(unavailable(format!("`{name}` is being changed: it is read again when it rests")))
        }
        Err(error) => Err(failed(format!("`{name}` could not be opened"), error)),
    }
}

fn stamp_of(file: &std::fs::File, name: &str) -> PortResult<(Stamp, u64)> {
    let stat = fstat(file).map_err(|error| failed(format!("`{name}` could not be read"), error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(corrupt(format!("`{name}` is no file: put the manifest itself there")));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    let stamp = (
        stat.st_ino,
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec as i64,
        stat.st_ctime,
        stat.st_ctime_nsec as i64,
    );
    Ok((stamp, size))
}

fn document(folder: &OwnedFd, name: &str, allowance: &mut Allowance) -> PortResult<(Vec<u8>, Stamp)> {
    let file = open_document(folder, name)?;
    let (stamp, size) = stamp_of(&file, name)?;
    allowance.take(name, size)?;
    let mut content = Vec::new();
    let read = file.take(size.saturating_add(1)).read_to_end(&mut content);
    read.map_err(|error| failed(format!("`{name}` could not be read"), error))?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) != size {
        return Err(unavailable(format!("`{name}` is being changed: it is read again when it rests")));
    }
    Ok((content, stamp))
}

/// Names and contents, each with its length before it, so that no two folders read the same.
fn digest(documents: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"factory.runtime/desired-state/1\0");
    for (name, content) in documents {
        for part in [name.as_bytes(), content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(message: impl Into<String>, error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::new(PortErrorKind::Unavailable, READ, message).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_replaced_while_it_is_read_is_not_read_as_a_smaller_one() {
        let (root, path) = (tempfile::tempdir().unwrap(), DesiredStatePath::new("shop").unwrap());
        let (shop, folder) = (root.path().join("shop"), ["shop".to_owned()]);
        let said = |folder: &Path| {
            std::fs::create_dir(folder).unwrap();
            for name in ["cart.yaml", "web.yaml"] {
                std::fs::write(folder.join(name), "{}").unwrap();
            }
        };
        said(&shop);
        let opened = open(root.path(), &folder, &path).unwrap();
        std::fs::rename(&shop, root.path().join("before")).unwrap();
        said(&shop);
        std::fs::remove_file(root.path().join("before/cart.yaml")).unwrap();
        let read = read_opened(opened, root.path(), &folder, &path);
        assert_eq!(read.unwrap_err().kind(), PortErrorKind::Unavailable);
        let (_, documents) = super::read(root.path(), &folder, &path).unwrap();
        assert_eq!(documents.len(), 2);
    }
}
