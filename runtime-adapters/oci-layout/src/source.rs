//! What an image is packed from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use runtime_domain::component::ImageReference;

/// What goes into an image: files of this machine, and what to run.
///
/// Guarantees: two equal sources whose files have equal content give the same digest, on any machine of the same platform:
/// neither times, owners, nor the order of calls matter.
///
/// Paths in the image may be written with or without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    pub(crate) reference: ImageReference,
    pub(crate) files: Vec<SourceFile>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) working_directory: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) host_path: PathBuf,
    pub(crate) executable: bool,
}

impl ImageSource {
    /// An image to be known as `reference`, which has a tag and no digest, that runs `entrypoint`: a program of the image, then
    /// arguments that always go with it.
    pub fn new(reference: ImageReference, entrypoint: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            reference,
            files: Vec::new(),
            entrypoint: entrypoint.into_iter().map(Into::into).collect(),
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            working_directory: "/".to_owned(),
            labels: BTreeMap::new(),
        }
    }

    /// Adds a file that is read (mode 644 in the image).
    #[must_use]
    pub fn file(self, path: impl Into<String>, host_path: impl Into<PathBuf>) -> Self {
        self.with_file(path.into(), host_path.into(), false)
    }

    /// Adds a file that is run (mode 755 in the image).
    #[must_use]
    pub fn executable(self, path: impl Into<String>, host_path: impl Into<PathBuf>) -> Self {
        self.with_file(path.into(), host_path.into(), true)
    }

    fn with_file(mut self, path: String, host_path: PathBuf, executable: bool) -> Self {
        self.files.push(SourceFile { path, host_path, executable });
        self
    }

    /// Sets the arguments that are used where a component gives none.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a plain environment variable. Never a secret: everyone who can read the image can read it.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Sets the folder that the program starts in; the image's root where none is given. It is created where it does not exist.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<String>) -> Self {
        self.working_directory = path.into();
        self
    }

    /// Adds a label, for people and tools.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }
}
