//! Content-addressed blobs: nothing leaves here unverified.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use runtime_domain::component::ImageDigest;
use tempfile::NamedTempFile;

use crate::digest::{DigestingWriter, digest_of, digest_of_reader};
use crate::fault::{Fault, Outcome};

/// Manifests and configurations are read into memory, so their size is bounded.
pub(crate) const MOST_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// What unfinished writes are called, so that a later writer can tell and remove them.
pub(crate) const PARTIAL_PREFIX: &str = ".partial-";

#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    fn path(&self, digest: &ImageDigest) -> PathBuf {
        self.folder().join(digest.hex())
    }

    /// Opens a blob that is `promised` by a document of the layout, or that only a caller has asked for.
    fn open(&self, digest: &ImageDigest, promised: bool) -> Outcome<(File, u64)> {
        let path = self.path(digest);
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound if promised => Fault::corrupt(format!(
                "blob {digest} is missing, though the image needs it: push the image again"
            )),
            std::io::ErrorKind::NotFound => {
                Fault::not_found(format!("no image has the digest {digest}: push it first"))
            }
            _ => Fault::io(format!("read blob {digest}"), error),
        };
        // A pipe in a blob's place would block the open for ever.
        if !fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(Fault::corrupt(format!("blob {digest} is not a regular file: push the image again")));
        }
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok((file, length))
    }

    /// Opens a blob whose size and digest have both been checked, at its beginning.
    ///
    /// # Errors
    /// Absent, of another size, or with another digest.
    pub(crate) fn open_verified(&self, digest: &ImageDigest, size: u64) -> Outcome<File> {
        let (mut file, length) = self.open(digest, true)?;
        if length != size {
            return Err(wrong_size(digest, size, length));
        }
        let read = |error| Fault::io(format!("read blob {digest}"), error);
        let (found, found_size) = digest_of_reader(&mut file, size).map_err(read)?.finish()?;
        if found_size != size {
            return Err(wrong_size(digest, size, found_size));
        }
        if found != *digest {
            return Err(wrong_content(digest, &found));
        }
        file.seek(SeekFrom::Start(0)).map_err(read)?;
        Ok(file)
    }

    /// Reads a whole document of at most 4 MiB, checked against its digest, and against `size` where that is known.
    ///
    /// # Errors
    /// Absent, too long, of another size, or with another digest.
    pub(crate) fn read_document(&self, digest: &ImageDigest, size: Option<u64>) -> Outcome<Vec<u8>> {
        let (file, length) = self.open(digest, size.is_some())?;
        if let Some(size) = size.filter(|size| *size != length) {
            return Err(wrong_size(digest, size, length));
        }
        let read = |error| Fault::io(format!("read blob {digest}"), error);
        let bytes = read_bounded(file, MOST_DOCUMENT_BYTES).map_err(read)?.ok_or_else(|| {
            Fault::corrupt(format!(
                "blob {digest} is longer than the {MOST_DOCUMENT_BYTES} bytes that a manifest or configuration may have"
            ))
        })?;
        let found = digest_of(&bytes)?;
        if found != *digest {
            return Err(wrong_content(digest, &found));
        }
        Ok(bytes)
    }

    /// Writes a blob through `fill`; it appears complete or not at all. A blob that is already there intact is kept, a damaged one replaced.
    pub(crate) fn write(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> Outcome<()>,
    ) -> Outcome<(ImageDigest, u64)> {
        let write = |error| Fault::io("write a blob", error);
        let partial = new_partial(&self.root)?;
        let mut writer = BufWriter::with_capacity(256 * 1024, DigestingWriter::new(partial));
        fill(&mut writer)?;
        let (partial, digester) =
            writer.into_inner().map_err(|error| write(error.into_error()))?.into_parts();
        let (digest, size) = digester.finish()?;
        if self.open_verified(&digest, size).is_ok() {
            return Ok((digest, size));
        }
        partial.as_file().sync_all().map_err(write)?;
        partial.persist(self.path(&digest)).map_err(|error| write(error.error))?;
        sync_folder(&self.folder())?;
        Ok((digest, size))
    }
}

pub(crate) fn new_partial(folder: &Path) -> Outcome<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PARTIAL_PREFIX)
        .tempfile_in(folder)
        .map_err(|error| Fault::io("write to the image layout", error))
}

/// Makes renames in `folder` last through a power failure.
pub(crate) fn sync_folder(folder: &Path) -> Outcome<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Fault::io("write the image layout's folder to disk", error))?;
    }
    Ok(())
}

/// Reads to the end; `None` where there is more than `most`.
pub(crate) fn read_bounded(reader: impl Read, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

fn wrong_size(digest: &ImageDigest, wanted: u64, found: u64) -> Fault {
    Fault::corrupt(format!(
        "blob {digest} holds {found} bytes where {wanted} are declared: it was cut off or replaced; push the image again"
    ))
}

fn wrong_content(digest: &ImageDigest, found: &ImageDigest) -> Fault {
    Fault::corrupt(format!(
        "blob {digest} holds the content of {found}: it was damaged or replaced; push the image again"
    ))
}
