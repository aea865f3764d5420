//! Layers of images: whoever builds an image decides what is in them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};
use runtime_oci_layout::{OciLayout, UnpackLimits};
use runtime_ports::registry::ImageRegistry as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::hold::{panic_of, text};
use crate::waiting::wait;

/// A layer: an entry a line, as `KIND MODE NAME -> LINK = CONTENT`, where a line `---` begins the next layer; or `raw`, a line break and an
/// archive as it comes.
pub fn archive(data: &[u8]) -> bool {
    let layers = match data.strip_prefix(b"raw\n") {
        Some(raw) => vec![raw.to_vec()],
        None => match text(data) {
            Some(text) => text.split("---\n").take(4).map(layer).collect(),
            None => return false,
        },
    };
    let ground = Ground::new();
    let image = ground.image(&layers);
    let destination = ground.0.path().join("bundles/app");
    let unpacked = wait(ground.layout().unpack(&image, &destination));
    match &unpacked {
        Ok(bundle) => {
            assert!(bundle.root.starts_with(&destination), "{} is elsewhere", bundle.root.display());
            is_within(&destination, 0);
        }
        Err(error) => {
            let left = fs::read_dir(ground.0.path().join("bundles")).map(Iterator::count);
            assert_eq!(left.ok(), Some(0), "{error} left something behind");
            assert!(!error.message().is_empty());
        }
    }
    let mut names: Vec<_> = listed(ground.0.path());
    names.sort();
    assert_eq!(names, ["bundles", "layout", "outside"], "something was made outside");
    let outside = fs::read_to_string(ground.0.path().join("outside"));
    assert_eq!(outside.ok().as_deref(), Some("untouched"), "something outside was changed");
    unpacked.is_ok()
}

/// One layer's archive, written without the checks that an honest writer makes.
fn layer(lines: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for line in lines.lines().take(32) {
        let (head, content) = line.split_once(" = ").unwrap_or((line, ""));
        let (head, link) = head.split_once(" -> ").unwrap_or((head, ""));
        let mut words = head.splitn(3, ' ');
        let (kind, mode, name) = (words.next(), words.next(), words.next().unwrap_or_default());
        let mut header = Header::new_gnu();
        header.set_entry_type(match kind {
            Some("file") => EntryType::Regular,
            Some("folder") => EntryType::Directory,
            Some("symlink") => EntryType::Symlink,
            Some("link") => EntryType::Link,
            Some("fifo") => EntryType::Fifo,
            Some("device") => EntryType::Char,
            _ => EntryType::new(kind.and_then(|kind| kind.bytes().next()).unwrap_or(b'0')),
        });
        header.set_mode(mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o644));
        header.set_size(content.len() as u64);
        let old = header.as_old_mut();
        old.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        old.linkname.iter_mut().zip(link.bytes()).for_each(|(to, from)| *to = from);
        header.set_cksum();
        if builder.append(&header, content.as_bytes()).is_err() {
            break;
        }
    }
    builder.into_inner().unwrap_or_default()
}

/// A layout to read from, a folder to unpack to, and a file beside them that nobody may touch.
struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        let made = tempfile::tempdir().and_then(|folder| {
            fs::create_dir(folder.path().join("bundles"))?;
            fs::write(folder.path().join("outside"), "untouched")?;
            Ok(folder)
        });
        made.map_or_else(|error| panic_of(format!("no folder: {error}")), Self)
    }

    fn layout(&self) -> OciLayout {
        match OciLayout::create(self.0.path().join("layout")) {
            Ok(layout) => layout.with_limits(UnpackLimits::new(1 << 20, 256)),
            Err(error) => panic_of(format!("no layout: {error}")),
        }
    }

    fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let path = self.0.path().join("layout/blobs/sha256").join(&digest);
        if let Err(error) = fs::write(path, bytes) {
            panic_of(format!("no blob: {error}"));
        }
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    fn image(&self, layers: &[Vec<u8>]) -> PinnedImage {
        drop(self.layout());
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob("layer.v1.tar", layer)).collect();
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/app"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob("config.v1+json", config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
        });
        let manifest = self.blob("manifest.v1+json", manifest.to_string().as_bytes());
        let digest = ImageDigest::new(manifest["digest"].as_str().unwrap_or_default());
        match (ImageReference::new("shop/cart:1"), digest) {
            (Ok(reference), Ok(digest)) => reference.pinned(digest),
            wrong => panic_of(format!("no image: {wrong:?}")),
        }
    }
}

fn listed(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Everything below `folder` is plain, and no link in it leads out of what was unpacked; `folder` lies so deep in that.
fn is_within(folder: &Path, depth: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let kind = metadata.file_type();
        assert!(kind.is_file() || kind.is_dir() || kind.is_symlink(), "{} is something else", path.display());
        if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_default();
            let mut at = depth;
            for part in target.components() {
                match part {
                    Component::Normal(_) => at += 1,
                    Component::CurDir => {}
                    Component::ParentDir if at > 0 => at -= 1,
                    _ => panic_of(format!("{} leads out: {}", path.display(), target.display())),
                }
            }
        } else {
            let mode = metadata.permissions().mode();
            assert_eq!(mode & 0o7002, 0, "{} has the mode {mode:o}", path.display());
        }
        if kind.is_dir() {
            is_within(&path, depth + 1);
        }
    }
}
