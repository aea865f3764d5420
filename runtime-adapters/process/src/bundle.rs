//! Unpacked images: one folder per digest, shared by every instance and job that runs it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use runtime_domain::bug;
use runtime_domain::component::PinnedImage;
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use serde::{Deserialize, Serialize};

use crate::state::{self, blocking, failed};

/// Where a command that is named without a folder is looked for, inside the image first and then on the host.
pub(crate) const COMMAND_FOLDERS: &str = "/usr/local/bin:/usr/bin:/bin";

/// How an unpacked image is started; beside its folder, and written after it.
#[derive(Serialize, Deserialize)]
struct BundleRecord {
    /// The image's root, relative to the folder of all bundles.
    root: PathBuf,
    entrypoint: Vec<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    working_directory: PathBuf,
}

/// The unpacked images.
pub(crate) struct Bundles {
    folder: PathBuf,
    registry: Arc<dyn ImageRegistry>,
    /// One lock per digest, so that whoever comes second finds it unpacked.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl fmt::Debug for Bundles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bundles").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A command line, ready to be started.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: PathBuf,
}

impl Bundles {
    pub(crate) fn new(root: &Path, registry: Arc<dyn ImageRegistry>) -> Self {
        Self { folder: root.join("bundles"), registry, locks: Mutex::default() }
    }

    /// The image, unpacked: from an earlier time where it is there, else from the registry.
    pub(crate) async fn ensure(&self, operation: &'static str, image: &PinnedImage) -> PortResult<Bundle> {
        let hex = image.digest().hex().to_owned();
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(hex.clone()).or_default())
        };
        let _held = lock.lock().await;
        let destination = self.folder.join(&hex);
        let record = self.folder.join(format!("{hex}.json"));
        let trouble = |error| {
            failed(operation, format!("image {} could not be unpacked", image.digest().short()), error)
        };

        let (folder, known_at, fresh) = (self.folder.clone(), record.clone(), destination.clone());
        let known = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            // A damaged record is written anew with its image.
            if let Ok(Some(known)) = state::read::<BundleRecord>(&known_at)
                && fresh.is_dir()
            {
                return Ok(Some(known));
            }
            state::remove(&known_at)?;
            state::remove_folder(&fresh)?;
            Ok(None)
        })
        .await
        .map_err(trouble)?;
        if let Some(known) = known {
            return Ok(Bundle {
                root: self.folder.join(known.root),
                entrypoint: known.entrypoint,
                arguments: known.arguments,
                variables: known.variables,
                working_directory: known.working_directory,
            });
        }

        let bundle = self.registry.unpack(image, &destination).await?;
        let written = BundleRecord {
            root: bundle
                .root
                .strip_prefix(&self.folder)
                .map_or_else(|_| bundle.root.clone(), Path::to_path_buf),
            entrypoint: bundle.entrypoint.clone(),
            arguments: bundle.arguments.clone(),
            variables: bundle.variables.clone(),
            working_directory: bundle.working_directory.clone(),
        };
        blocking(move || state::write(&record, &written)).await.map_err(trouble)?;
        Ok(bundle)
    }

    /// Removes unpacked images other than the ones named, by the hexadecimal digits of their digests.
    pub(crate) fn keep_only(&self, used: &[String]) -> std::io::Result<()> {
        for path in state::entries(&self.folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let hex = name.split('.').next().unwrap_or_default();
            if !used.iter().any(|used| used == hex) {
                if path.is_dir() { state::remove_folder(&path)? } else { state::remove(&path)? }
            }
        }
        Ok(())
    }
}

/// What to start of an unpacked image, with the caller's arguments in place of the image's where there are any.
///
/// # Errors
/// An image without a command, or whose command or working directory leads out of it.
pub(crate) fn command_line(
    operation: &'static str,
    bundle: &Bundle,
    arguments: &[String],
) -> PortResult<CommandLine> {
    let invalid = |message: String| PortError::new(PortErrorKind::Invalid, operation, message);
    let folder = inside(&bundle.root, &bundle.working_directory).ok_or_else(|| {
        invalid("the image's working directory leads out of the image: name one inside it".to_owned())
    })?;
    let given = if arguments.is_empty() { &bundle.arguments } else { arguments };
    let mut words = bundle.entrypoint.iter().chain(given).cloned();
    let command = words.next().filter(|command| !command.is_empty()).ok_or_else(|| {
        invalid("the image names no command: give it an entry point or default arguments".to_owned())
    })?;
    let escapes = || invalid(format!("the command `{command}` leads out of the image: name one inside it"));
    let program = if command.starts_with('/') {
        inside(&bundle.root, Path::new(&command)).ok_or_else(escapes)?
    } else if command.contains('/') {
        inside(&bundle.root, &bundle.working_directory.join(&command)).ok_or_else(escapes)?
    } else {
        COMMAND_FOLDERS
            .split(':')
            .filter_map(|folder| inside(&bundle.root, &Path::new(folder).join(&command)))
            .find(|candidate| candidate.is_file())
            .unwrap_or_else(|| PathBuf::from(&command))
    };
    Ok(CommandLine { program, arguments: words.collect(), folder })
}

/// `path` below `root`, an absolute one taken as relative to it; `None` where it climbs out.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => below.push(name),
            Component::ParentDir => {
                if bug!("path-leads-out") {
                    below.push("..");
                } else if !below.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(root.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(entrypoint: &[&str], working_directory: &str) -> Bundle {
        Bundle {
            root: PathBuf::from("/root-of-image"),
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            arguments: vec!["--default".to_owned()],
            variables: Vec::new(),
            working_directory: PathBuf::from(working_directory),
        }
    }

    #[test]
    fn a_command_is_found_inside_the_image() {
        let absolute = command_line("surface.apply", &bundle(&["/bin/cart"], "srv"), &[]).expect("legal");
        assert_eq!(absolute.program, Path::new("/root-of-image/bin/cart"));
        assert_eq!(absolute.folder, Path::new("/root-of-image/srv"));
        assert_eq!(absolute.arguments, ["--default"]);
        let relative = command_line("surface.apply", &bundle(&["./cart"], "srv"), &["--own".to_owned()]);
        let relative = relative.expect("legal");
        assert_eq!(relative.program, Path::new("/root-of-image/srv/cart"));
        assert_eq!(relative.arguments, ["--own"]);
    }

    #[test]
    fn a_command_that_leads_out_of_the_image_is_refused() {
        for (command, folder) in [("/../bin/sh", ""), ("../../cart", "srv"), ("/cart", "../elsewhere")] {
            let refused = command_line("surface.apply", &bundle(&[command], folder), &[]);
            assert_eq!(refused.expect_err("it leads out").kind(), PortErrorKind::Invalid, "{command}");
        }
    }
}
