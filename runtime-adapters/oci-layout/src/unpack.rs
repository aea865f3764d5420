//! Unpacking: beside the destination first, then into its place in one step.

pub(crate) mod entry_path;
mod layer;
mod tree;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use runtime_domain::component::PinnedImage;
use runtime_ports::registry::Bundle;
use tempfile::TempDir;

use crate::OciLayout;
use crate::document::{Configuration, shown};
use crate::fault::{Fault, Outcome};
use crate::resolve::read_pinned;
use crate::unpack::entry_path::EntryPath;
use crate::unpack::tree::{Refusal, Tree};

const WORKSPACE_PREFIX: &str = ".unpack-";

pub(crate) fn unpack(layout: &OciLayout, image: &PinnedImage, destination: &Path) -> Outcome<Bundle> {
    let parent = parent_of(destination)?;
    let content = read_pinned(layout, image)?;
    let mut bundle = bundle(image, &content.configuration, destination)?;
    remove_abandoned(parent);
    let workspace = Workspace::new_in(parent)?;
    let root = workspace.root();
    let mut tree = Tree::new(&root, layout.limits.most_entries);
    let mut bytes_left = layout.limits.most_bytes;
    for layer in &content.layers {
        let blob = layout.blobs.open_verified(&layer.digest, layer.size)?;
        layer::apply(layer, blob, &mut tree, &mut bytes_left)?;
    }
    bundle.working_directory = working_directory(image, &content.configuration, &mut tree)?;
    match fs::rename(&root, destination) {
        Ok(()) => Ok(bundle),
        Err(error) if already_there(&error) => Err(occupied(destination)),
        Err(error) => Err(Fault::io(format!("move the bundle to {}", destination.display()), error)),
    }
}

fn parent_of(destination: &Path) -> Outcome<&Path> {
    if fs::symlink_metadata(destination).is_ok() {
        return Err(occupied(destination));
    }
    let parent = match destination.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(occupied(destination)),
    };
    if parent.is_dir() {
        Ok(parent)
    } else {
        Err(Fault::invalid(format!("the folder {} does not exist: create it first", parent.display())))
    }
}

fn already_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
    )
}

fn occupied(destination: &Path) -> Fault {
    Fault::invalid(format!(
        "{} already exists: unpack to a path that does not, or remove it first",
        destination.display()
    ))
}

fn bundle(image: &PinnedImage, configuration: &Configuration, destination: &Path) -> Outcome<Bundle> {
    let execution = configuration.config.clone().unwrap_or_default();
    let entrypoint = execution.entrypoint.unwrap_or_default();
    let arguments = execution.cmd.unwrap_or_default();
    if entrypoint.is_empty() && arguments.is_empty() {
        return Err(Fault::invalid(format!(
            "image {} says nothing to run: build it with an entry point",
            image.digest()
        )));
    }
    let variables = execution.env.unwrap_or_default().into_iter().map(|variable| {
        let (name, value) =
            variable.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Fault::corrupt(format!(
                    "image {} has a variable that is not `NAME=value`: rebuild it",
                    image.digest()
                ))
            })?;
        Ok((name.to_owned(), value.to_owned()))
    });
    Ok(Bundle {
        root: destination.to_owned(),
        entrypoint,
        arguments,
        variables: variables.collect::<Outcome<_>>()?,
        working_directory: PathBuf::new(),
    })
}

fn working_directory(
    image: &PinnedImage,
    configuration: &Configuration,
    tree: &mut Tree,
) -> Outcome<PathBuf> {
    let text = configuration.config.as_ref().and_then(|it| it.working_dir.as_deref()).unwrap_or_default();
    let refused = |rule: &str| {
        Fault::corrupt(format!(
            "image {}, working directory `{}`: {rule}; rebuild the image",
            image.digest(),
            shown(text)
        ))
    };
    // Absolute is what the format asks for here, and means the image's root.
    let path = EntryPath::parse(text.trim_start_matches('/').as_bytes()).map_err(refused)?;
    match tree.ensure_directory(&path) {
        Ok(()) => Ok(path.under(Path::new(""))),
        Err(Refusal::Rule(rule)) => Err(refused(rule)),
        Err(Refusal::TooManyEntries) => Err(refused("the image has more entries than it may")),
        Err(Refusal::Read(error) | Refusal::Write(error)) => {
            Err(Fault::io("create the image's working directory", error))
        }
    }
}

/// A private folder beside the destination, removed when dropped. Its lock tells whether its maker still lives.
struct Workspace {
    folder: TempDir,
    /// Held for its lock, which closing releases.
    _lock: File,
}

impl Workspace {
    fn new_in(parent: &Path) -> Outcome<Self> {
        let make = |error| Fault::io(format!("unpack in {}", parent.display()), error);
        loop {
            let folder =
                tempfile::Builder::new().prefix(WORKSPACE_PREFIX).tempdir_in(parent).map_err(make)?;
            let path = folder.path().join("lock");
            let lock = File::create_new(&path).map_err(make)?;
            lock.lock().map_err(make)?;
            // Between creating and locking, another process may have taken it for abandoned.
            if path.exists() {
                fs::create_dir(folder.path().join("root")).map_err(make)?;
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }
}

/// Removes workspaces whose makers died. What cannot be removed is left: it harms nobody, and is not this caller's failure.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(WORKSPACE_PREFIX) {
            continue;
        }
        let path = entry.path();
        if let Ok(lock) = File::open(path.join("lock"))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
