//! The folder that an image is unpacked into. Every change goes through here, and none follows a link.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::unpack::entry_path::{EntryPath, Rule};

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The entry breaks a rule.
    Rule(Rule),
    /// The image has more entries than is allowed.
    TooManyEntries,
    /// The layer could not be read.
    Read(io::Error),
    /// The file system did not do it.
    Write(io::Error),
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    SymbolicLink,
    HardLink,
}

/// A folder that nobody else writes to while it is filled, so that what was checked stays so.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    entries_left: u64,
    /// What the present layer has made: a whiteout hides only what is below, and a path has one type per layer.
    made: HashMap<EntryPath, Kind>,
}

impl Tree {
    /// A tree in `root`, an empty folder, of at most `most_entries`.
    pub(crate) fn new(root: &Path, most_entries: u64) -> Self {
        Self { root: root.to_owned(), entries_left: most_entries, made: HashMap::new() }
    }

    pub(crate) fn begin_layer(&mut self) {
        self.made.clear();
    }

    /// Counts one entry, also such as make nothing.
    pub(crate) fn count_entry(&mut self) -> Result<(), Refusal> {
        self.entries_left = self.entries_left.checked_sub(1).ok_or(Refusal::TooManyEntries)?;
        Ok(())
    }

    pub(crate) fn add_directory(&mut self, path: &EntryPath, mode: u32) -> Result<(), Refusal> {
        if path.is_root() {
            return Ok(());
        }
        self.make_way(path, Kind::Directory)?;
        let place = path.under(&self.root);
        match fs::create_dir(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Refusal::Write(error)),
            _ => {}
        }
        set_mode(&place, mode | 0o700).map_err(Refusal::Write)
    }

    pub(crate) fn add_file(
        &mut self,
        path: &EntryPath,
        mode: u32,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), Refusal> {
        self.make_way(path, Kind::File)?;
        let place = path.under(&self.root);
        // `create_new` neither follows a link nor opens what exists.
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&place).map_err(Refusal::Write)?;
        copy(content, &mut file, size)?;
        set_mode(&place, mode | 0o600).map_err(Refusal::Write)
    }

    /// Adds a symbolic link, rewritten so that it certainly stays inside.
    pub(crate) fn add_symbolic_link(&mut self, path: &EntryPath, target: &[u8]) -> Result<(), Refusal> {
        let target = path.link_target(target)?;
        self.make_way(path, Kind::SymbolicLink)?;
        symbolic_link(&target.relative_to(path), &path.under(&self.root)).map_err(Refusal::Write)
    }

    pub(crate) fn add_hard_link(&mut self, path: &EntryPath, target: &EntryPath) -> Result<(), Refusal> {
        if target == path || target.is_below(path) {
            return Err(Refusal::Rule("it is a hard link to itself"));
        }
        // A hard link to a symbolic link would carry its text to another depth, where it could lead outside.
        match self.look_up(target)? {
            Some(metadata) if metadata.is_file() => {}
            Some(_) => {
                return Err(Refusal::Rule("it is a hard link to something that is not a regular file"));
            }
            None => return Err(Refusal::Rule("it is a hard link to a file that does not exist")),
        }
        self.make_way(path, Kind::HardLink)?;
        fs::hard_link(target.under(&self.root), path.under(&self.root)).map_err(Refusal::Write)
    }

    /// Removes what lower layers put at `path`.
    pub(crate) fn hide(&mut self, path: &EntryPath) -> Result<(), Refusal> {
        let Some(metadata) = self.look_up(path)? else { return Ok(()) };
        match self.made.get(path) {
            None => remove(&path.under(&self.root), &metadata).map_err(Refusal::Write),
            Some(_) if metadata.is_dir() => self.hide_below(path),
            Some(_) => Ok(()),
        }
    }

    /// Removes what lower layers put into the folder `path`.
    pub(crate) fn hide_below(&mut self, path: &EntryPath) -> Result<(), Refusal> {
        match self.look_up(path)? {
            Some(metadata) if metadata.is_dir() => {}
            _ => return Ok(()),
        }
        for child in fs::read_dir(path.under(&self.root)).map_err(Refusal::Write)? {
            let name = child.map_err(Refusal::Write)?.file_name();
            // Every name in the tree was made from UTF-8 text.
            if let Some(name) = name.to_str() {
                self.hide(&path.child(name))?;
            }
        }
        Ok(())
    }

    /// Makes sure that the image's working folder is there.
    pub(crate) fn ensure_directory(&mut self, path: &EntryPath) -> Result<(), Refusal> {
        match fs::metadata(path.under(&self.root)) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            _ => self.add_directory(path, 0o755),
        }
    }

    /// What is at `path` without following any link, the folders on the way included.
    fn look_up(&self, path: &EntryPath) -> Result<Option<Metadata>, Refusal> {
        for folder in path.folders() {
            match metadata(&folder.under(&self.root))? {
                Some(metadata) => must_be_directory(&metadata)?,
                None => return Ok(None),
            }
        }
        metadata(&path.under(&self.root))
    }

    /// Makes the folders on the way to `path`, and removes what stands in its place.
    fn make_way(&mut self, path: &EntryPath, kind: Kind) -> Result<(), Refusal> {
        if path.is_root() {
            return Err(Refusal::Rule("it replaces the image's root by something that is not a folder"));
        }
        for folder in path.folders() {
            let place = folder.under(&self.root);
            match metadata(&place)? {
                Some(metadata) => must_be_directory(&metadata)?,
                None => {
                    self.count_entry()?;
                    fs::create_dir(&place).map_err(Refusal::Write)?;
                    set_mode(&place, 0o755).map_err(Refusal::Write)?;
                }
            }
            self.made.insert(folder, Kind::Directory);
        }
        if self.made.get(path).is_some_and(|made| *made != kind) {
            return Err(Refusal::Rule("the layer holds the same path twice, as different types"));
        }
        let place = path.under(&self.root);
        if let Some(metadata) = metadata(&place)?
            && !(metadata.is_dir() && kind == Kind::Directory)
        {
            remove(&place, &metadata).map_err(Refusal::Write)?;
        }
        self.made.insert(path.clone(), kind);
        Ok(())
    }
}

fn must_be_directory(metadata: &Metadata) -> Result<(), Refusal> {
    if metadata.is_dir() {
        Ok(())
    } else if metadata.is_symlink() {
        Err(Refusal::Rule("its path goes through a symbolic link"))
    } else {
        Err(Refusal::Rule("its path goes through a file"))
    }
}

fn metadata(place: &Path) -> Result<Option<Metadata>, Refusal> {
    match fs::symlink_metadata(place) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Refusal::Write(error)),
    }
}

fn remove(place: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) }
}

fn copy(content: &mut impl Read, file: &mut File, size: u64) -> Result<(), Refusal> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 128 * 1024)];
    let mut left = size;
    while left > 0 {
        let count = match content.read(&mut buffer) {
            Ok(0) => return Err(Refusal::Rule("the layer ends before the entry's content does")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Refusal::Read(error)),
        };
        file.write_all(buffer.get(..count).unwrap_or_default()).map_err(Refusal::Write)?;
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

/// Sets permissions, less what no bundle needs: set-user-id, set-group-id, sticky, and writing by others.
#[cfg(unix)]
fn set_mode(place: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(place, fs::Permissions::from_mode(mode & 0o755))
}

#[cfg(not(unix))]
fn set_mode(_place: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symbolic_link(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn symbolic_link(_target: &Path, _place: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
