//! An [OCI image layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md) directory as
//! [`ImageRegistry`]: the embedded default, with nothing to install.
//!
//! # Layout
//!
//! Each `repository:tag` is an entry of `index.json` whose annotation `org.opencontainers.image.ref.name` is exactly that text.
//! Layouts that other tools made for a single repository, with plain tags (`1.4.2`) in that annotation, are read too, as long as
//! no entry of the index names a repository. An image index is followed to the image for this machine's operating system
//! and architecture; a tag is then pinned to the digest of that image, and a digest that was asked for stays as it was.
//!
//! # Guarantees
//!
//! - Every blob's size and SHA-256 are checked before any of it is parsed, and a layer's `diff_id` before its files can be seen.
//! - [`ImageRegistry::resolve`] succeeds only where manifest, configuration and all layers are there and intact.
//! - Unpacking writes only below the destination, whatever the layers say. Refused by name and rule: `..`, absolute paths, entries
//!   and whiteouts through symbolic links, links that leave the root, devices, pipes, one path with two types. Set-user-id,
//!   set-group-id, sticky and write-by-others bits, owners, times and extended attributes are dropped. A symbolic link is
//!   rewritten to its relative normal form, an absolute one taken from the image's root, so it leads to the same place inside the bundle.
//! - The destination appears in one step, complete. A failure leaves nothing; what a killed process left is removed by the next
//!   unpacking beside it.
//! - Manifests and configurations are bounded to 4 MiB each, unpacked bytes and entries by [`UnpackLimits`].
//! - [`OciLayout::pack`] is deterministic, and safe between threads and processes: `index.json` is replaced as a whole under a
//!   file lock. An image keeps its blobs when its tag moves on, so a pinned digest stays readable.
//!
//! # Limits
//!
//! - Layers are tar or gzip-compressed tar; zstd answers [`Unsupported`](runtime_ports::PortErrorKind::Unsupported). So do other digests than SHA-256.
//! - An image whose upper layer writes *through* a lower layer's symbolic link (`/bin` → `usr/bin`, then `bin/tool`) is refused.
//! - Nothing is collected: blobs of images that lost their tag stay until the layout is removed.
//! - The unpacked bundle survives the death of the process; it is not forced to disk file by file against a power failure.
//! - Dropping a returned future does not stop work that has begun; it ends by itself, and its result is lost.
//! - The file lock needs a local file system, or one that shares locks.
//!
//! # Example
//!
//! ```no_run
//! use runtime_domain::component::ImageReference;
//! use runtime_oci_layout::{ImageSource, OciLayout};
//! use runtime_ports::registry::ImageRegistry;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let layout = OciLayout::create("images")?;
//! let source = ImageSource::new(ImageReference::new("shop/cart:1.4.2")?, ["/app/cart"])
//!     .executable("/app/cart", "target/release/cart")
//!     .variable("LOG", "info");
//! let image = layout.pack(&source).await?;
//! let bundle = layout.unpack(&image, "bundles/cart".as_ref()).await?;
//! # Ok(())
//! # }
//! ```

mod blobs;
mod digest;
mod document;
mod fault;
mod index;
mod pack;
mod resolve;
mod source;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use runtime_domain::component::{ImageReference, PinnedImage};
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};

pub use crate::source::ImageSource;

use crate::blobs::{Blobs, MOST_DOCUMENT_BYTES, read_bounded};
use crate::document::{Index, LAYOUT_VERSION, LayoutMarker, Platform, parse_json, shown, to_json};
use crate::fault::{Fault, Outcome};

const MARKER: &str = "oci-layout";

/// How large an image may become when it is unpacked, against archives made to fill a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackLimits {
    /// The most bytes that all layers together may unpack to, archive headers included. 8 GiB by default.
    pub most_bytes: u64,
    /// The most entries that all layers together may have, folders that they imply included. 250,000 by default.
    pub most_entries: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { most_bytes: 8 * 1024 * 1024 * 1024, most_entries: 250_000 }
    }
}

impl UnpackLimits {
    /// Limits of `most_bytes` unpacked bytes and `most_entries` entries.
    pub fn new(most_bytes: u64, most_entries: u64) -> Self {
        Self { most_bytes, most_entries }
    }
}

/// An OCI image layout directory. Cheap to clone; any number may be open on one directory, in any number of processes.
#[derive(Debug, Clone)]
pub struct OciLayout {
    root: PathBuf,
    blobs: Blobs,
    platform: Platform,
    limits: UnpackLimits,
}

impl OciLayout {
    /// Opens the layout in the directory `path`.
    ///
    /// # Errors
    /// [`NotFound`](PortErrorKind::NotFound) where there is none, [`Corrupt`](PortErrorKind::Corrupt) where its marker or index
    /// cannot be read, [`Unsupported`](PortErrorKind::Unsupported) for another version than 1.0.0.
    pub fn open(path: impl AsRef<Path>) -> PortResult<Self> {
        Self::open_at(path.as_ref()).map_err(|fault| fault.at("registry.open"))
    }

    /// Opens the layout in the directory `path`, and makes an empty one first where there is none.
    ///
    /// # Errors
    /// As [`OciLayout::open`]; [`Invalid`](PortErrorKind::Invalid) for a directory that holds something else,
    /// [`Exhausted`](PortErrorKind::Exhausted) where the disk is full.
    pub fn create(path: impl AsRef<Path>) -> PortResult<Self> {
        create(path.as_ref())
            .and_then(|()| Self::open_at(path.as_ref()))
            .map_err(|fault| fault.at("registry.create"))
    }

    fn open_at(path: &Path) -> Outcome<Self> {
        let read = |error: std::io::Error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Fault::not_found(format!(
                    "there is no OCI image layout in {}: it has no file `{MARKER}`; create one",
                    path.display()
                ))
            } else {
                Fault::io(format!("read the image layout in {}", path.display()), error)
            }
        };
        let root = fs::canonicalize(path).map_err(read)?;
        let marker = File::open(root.join(MARKER)).map_err(read)?;
        let bytes = read_bounded(marker, MOST_DOCUMENT_BYTES).map_err(read)?.unwrap_or_default();
        let LayoutMarker { image_layout_version: version } = parse_json(&bytes, MARKER)?;
        if version != LAYOUT_VERSION {
            return Err(Fault::unsupported(format!(
                "the image layout has version `{}`: rebuild it as version {LAYOUT_VERSION}",
                shown(&version)
            )));
        }
        index::read(&root)?;
        let blobs = Blobs::new(&root);
        Ok(Self { root, blobs, platform: Platform::of_this_machine(), limits: UnpackLimits::default() })
    }

    /// The same layout with other limits.
    #[must_use]
    pub fn with_limits(self, limits: UnpackLimits) -> Self {
        Self { limits, ..self }
    }

    /// The same layout, for another machine than this one: `linux` and `arm64`, in OCI's own names.
    #[must_use]
    pub fn with_platform(self, os: &str, architecture: &str) -> Self {
        Self { platform: Platform::new(os, architecture), ..self }
    }

    /// Packs an image, and makes its name mean it. A name that meant another image moves; that image stays readable by digest.
    ///
    /// Idempotent: the same source gives the same digest, and a second packing changes nothing. The image's bytes are on disk
    /// before its name means it.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid) for a source that breaks a rule, [`NotFound`](PortErrorKind::NotFound) for a file that does not
    /// exist, [`Exhausted`](PortErrorKind::Exhausted) where the disk is full. The layout is then as it was, but for blobs that nothing names.
    pub async fn pack(&self, source: &ImageSource) -> PortResult<PinnedImage> {
        let source = source.clone();
        self.run("registry.pack", move |layout| pack::pack(layout, &source)).await
    }

    /// Does blocking work off the executor's own threads.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Self) -> Outcome<T> + Send + 'static,
    ) -> PortResult<T> {
        let layout = self.clone();
        match tokio::task::spawn_blocking(move || work(&layout)).await {
            Ok(outcome) => outcome.map_err(|fault| fault.at(operation)),
            Err(error) => Err(PortError::new(
                PortErrorKind::Internal,
                operation,
                "the work was cut off: the executor is stopping, or a bug made it panic",
            )
            .with_retry(Retry::OutcomeUnknown)
            .caused_by(error)),
        }
    }
}

#[async_trait]
impl ImageRegistry for OciLayout {
    async fn resolve(&self, reference: &ImageReference) -> PortResult<PinnedImage> {
        let reference = reference.clone();
        self.run("registry.resolve", move |layout| resolve::resolve(layout, &reference)).await
    }

    async fn unpack(&self, image: &PinnedImage, destination: &Path) -> PortResult<Bundle> {
        let (image, destination) = (image.clone(), destination.to_owned());
        self.run("registry.unpack", move |layout| unpack::unpack(layout, &image, &destination)).await
    }
}

fn create(path: &Path) -> Outcome<()> {
    let write = |error| Fault::io(format!("create an image layout in {}", path.display()), error);
    fs::create_dir_all(path).map_err(write)?;
    if path.join(MARKER).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(write)? {
        let name = entry.map_err(write)?.file_name();
        // What a creation that was cut off may have made.
        let ours = ["blobs", "index.json", MARKER, ".lock"].iter().any(|ours| name == *ours)
            || name.to_string_lossy().starts_with(blobs::PARTIAL_PREFIX);
        if !ours {
            return Err(Fault::invalid(format!(
                "{} holds other files, such as `{}`: choose an empty directory for the image layout",
                path.display(),
                shown(&name.to_string_lossy())
            )));
        }
    }
    let lock = index::lock(path)?;
    fs::create_dir_all(Blobs::new(path).folder()).map_err(write)?;
    if !index::exists(path) {
        index::write(path, &Index::default(), &lock)?;
    }
    // The marker last: with it the layout is complete.
    let marker = LayoutMarker { image_layout_version: LAYOUT_VERSION.to_owned() };
    index::write_file(path, MARKER, &to_json(&marker)?)
}
