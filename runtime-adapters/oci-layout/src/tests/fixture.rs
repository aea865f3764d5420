//! A layout that tests fill blob by blob, as a careless or hostile builder would.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::{PortError, PortResult};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::OciLayout;
use crate::digest::digest_of;
use crate::document::{CONFIG, LAYER_TAR, MANIFEST, REFERENCE_NAME};

pub(super) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layout and a folder to unpack to; nothing else is in either, so that anything that escapes is seen.
pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) layout: OciLayout,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bundles")).unwrap();
        fs::write(folder.path().join("outside"), "untouched").unwrap();
        let layout = OciLayout::create(folder.path().join("layout")).unwrap();
        Self { folder, layout }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn destination(&self) -> PathBuf {
        self.path("bundles/app")
    }

    pub(super) fn blob_path(&self, digest: &str) -> PathBuf {
        self.path("layout/blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes).unwrap();
        fs::write(self.blob_path(digest.as_str()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
    }

    /// A manifest of layers given as (descriptor, diff id).
    pub(super) fn manifest(&self, layers: &[(Value, String)]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/app"], "Cmd": null, "Env": null },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let layers: Vec<_> = layers.iter().map(|(layer, _)| layer).collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    pub(super) fn plain_layer(&self, tar: &[u8]) -> (Value, String) {
        (self.blob(LAYER_TAR, tar), digest_of(tar).unwrap().to_string())
    }

    pub(super) fn gzip_layer(&self, tar: &[u8]) -> (Value, String) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(tar).unwrap();
        (self.blob(GZIP, &encoder.finish().unwrap()), digest_of(tar).unwrap().to_string())
    }

    pub(super) fn image_of(&self, manifest: &Value) -> PinnedImage {
        let digest = ImageDigest::new(manifest["digest"].as_str().unwrap()).unwrap();
        reference("shop/cart:1").pinned(digest)
    }

    /// Writes `index.json` with (name, descriptor) entries.
    pub(super) fn write_index(&self, entries: &[(&str, &Value)]) {
        let manifests: Vec<_> = entries
            .iter()
            .map(|(name, descriptor)| {
                let mut entry = (*descriptor).clone();
                entry["annotations"] = json!({ REFERENCE_NAME: name });
                entry
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.path("layout/index.json"), index.to_string()).unwrap();
    }

    pub(super) fn resolve(&self, text: &str) -> PortResult<PinnedImage> {
        block_on(self.layout.resolve(&reference(text)))
    }

    pub(super) fn unpack(&self, image: &PinnedImage) -> PortResult<Bundle> {
        block_on(self.layout.unpack(image, &self.destination()))
    }

    /// Unpacks an image of the given layers, each an archive.
    pub(super) fn unpack_layers(&self, layers: &[Vec<u8>]) -> PortResult<Bundle> {
        let layers: Vec<_> = layers.iter().map(|tar| self.plain_layer(tar)).collect();
        let manifest = self.manifest(&layers);
        self.unpack(&self.image_of(&manifest))
    }

    /// Every file and folder below the bundle, sorted; a folder ends in a slash.
    pub(super) fn unpacked(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.destination(), "", &mut found);
        found.sort();
        found
    }

    /// The state that every failure must leave: nothing unpacked, nothing half-done, nothing outside changed.
    pub(super) fn assert_untouched(&self) {
        assert_eq!(fs::read_dir(self.path("bundles")).unwrap().count(), 0, "something was left behind");
        self.assert_outside_untouched();
    }

    pub(super) fn assert_outside_untouched(&self) {
        let mut names: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["bundles", "layout", "outside"]);
        assert_eq!(fs::read_to_string(self.path("outside")).unwrap(), "untouched");
    }
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.push(format!("{name}/"));
            list(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) fn reference(text: &str) -> ImageReference {
    ImageReference::new(text).unwrap()
}

/// The error and its causes, as a log would show them.
pub(super) fn chain(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// One entry of an archive, written without the checks that an honest writer makes.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) name: String,
    pub(super) kind: EntryType,
    pub(super) link: String,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
}

pub(super) fn entry(kind: EntryType, name: &str) -> Raw {
    Raw { name: name.to_owned(), kind, link: String::new(), mode: 0o755, content: Vec::new() }
}

pub(super) fn file(name: &str, content: &str) -> Raw {
    Raw { content: content.as_bytes().to_vec(), ..entry(EntryType::Regular, name) }
}

pub(super) fn folder(name: &str) -> Raw {
    entry(EntryType::Directory, name)
}

pub(super) fn symlink(name: &str, target: &str) -> Raw {
    Raw { link: target.to_owned(), ..entry(EntryType::Symlink, name) }
}

pub(super) fn hard_link(name: &str, target: &str) -> Raw {
    Raw { link: target.to_owned(), ..entry(EntryType::Link, name) }
}

pub(super) fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for raw in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(raw.kind);
        header.set_mode(raw.mode);
        header.set_size(raw.content.len() as u64);
        // Past the setters, which would refuse the names that matter here.
        let old = header.as_old_mut();
        old.name[..raw.name.len()].copy_from_slice(raw.name.as_bytes());
        old.linkname[..raw.link.len()].copy_from_slice(raw.link.as_bytes());
        header.set_cksum();
        builder.append(&header, raw.content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}
