//! Where images come from.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use runtime_domain::component::{ImageReference, PinnedImage};

use crate::PortResult;

/// An image unpacked on this machine, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The folder that holds the image's files, all of them regular files, directories or links that stay inside.
    pub root: PathBuf,
    /// The command: entry point, then default arguments. An absolute path is relative to `root`.
    pub entrypoint: Vec<String>,
    /// Default arguments, used where the component gives none.
    pub arguments: Vec<String>,
    /// The image's own environment variables.
    pub variables: Vec<(String, String)>,
    /// The working directory, relative to `root`.
    pub working_directory: PathBuf,
}

/// Resolves and reads images.
///
/// Guarantees: what is read is what the digest names: every blob's digest and size is verified before it is used. Unpacking never
/// writes outside the destination, whatever the layers say, and leaves nothing behind where it fails.
///
/// Errors: [`NotFound`](crate::PortErrorKind::NotFound) for an unknown image, [`Corrupt`](crate::PortErrorKind::Corrupt) where content does
/// not match its digest or a layer tries to escape, [`Exhausted`](crate::PortErrorKind::Exhausted) where the disk is full.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ImageRegistry: Send + Sync + 'static {
    /// Resolves a reference to its digest, and checks that the image's manifest and configuration are there and intact. A reference
    /// that carries a digest must match it.
    async fn resolve(&self, reference: &ImageReference) -> PortResult<PinnedImage>;

    /// Unpacks an image into `destination`, which must not exist, and which appears complete or not at all.
    async fn unpack(&self, image: &PinnedImage, destination: &Path) -> PortResult<Bundle>;
}
