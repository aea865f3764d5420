//! The registry's suite, on a layout.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};
use runtime_oci_layout::{ImageSource, OciLayout};
use runtime_ports::PortResult;
use runtime_testkit::conformance::registry::{Hostile, RegistryCapabilities, SampleImage};
use runtime_testkit::conformance::{AdapterFactory, Persistence, RegistryFactory, Verdict, registry};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

#[derive(Default)]
struct Layouts {
    folders: Mutex<Vec<TempDir>>,
}

/// The layout that was made last.
fn newest(layouts: &Layouts) -> PathBuf {
    let folders = layouts.folders.lock().unwrap();
    let made = folders.iter().rev().map(|folder| folder.path().join("layout"));
    made.into_iter().find(|path| path.is_dir()).unwrap()
}

#[async_trait]
impl AdapterFactory for Layouts {
    type Adapter = OciLayout;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<OciLayout> {
        OciLayout::create(self.folder().join("layout"))
    }

    async fn reopen(&self, layout: OciLayout) -> PortResult<OciLayout> {
        drop(layout);
        OciLayout::open(newest(self))
    }
}

#[async_trait]
impl RegistryFactory for Layouts {
    fn folder(&self) -> PathBuf {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        self.folders.lock().unwrap().push(folder);
        path
    }

    async fn push(&self, layout: &OciLayout, image: &SampleImage) -> PortResult<()> {
        let folder = tempfile::tempdir().unwrap();
        let mut source = ImageSource::new(image.reference.clone(), &image.entrypoint)
            .arguments(&image.arguments)
            .working_directory(image.working_directory.as_str());
        for (name, value) in &image.variables {
            source = source.variable(name.as_str(), value.as_str());
        }
        for (number, (name, content)) in image.files.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            fs::write(&path, content).unwrap();
            let is_run = image.entrypoint.first().is_some_and(|run| run.trim_start_matches('/') == name);
            source = if is_run { source.executable(name, path) } else { source.file(name, path) };
        }
        layout.pack(&source).await.map(drop)
    }

    async fn push_hostile(
        &self,
        layout: &OciLayout,
        reference: &ImageReference,
        hostile: Hostile,
    ) -> PortResult<Option<PinnedImage>> {
        let root = newest(self);
        Ok(Some(match hostile {
            Hostile::DamagedManifest | Hostile::DamagedLayer => {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join("run"), "sound").unwrap();
                let source = ImageSource::new(reference.clone(), ["/run"])
                    .executable("/run", folder.path().join("run"));
                let pinned = layout.pack(&source).await?;
                let manifest = blob(&root, pinned.digest().as_str());
                let victim = if hostile == Hostile::DamagedManifest {
                    manifest
                } else {
                    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
                    blob(
                        &root,
                        manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap(),
                    )
                };
                let mut bytes = fs::read(&victim).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(victim, bytes).unwrap();
                pinned
            }
            Hostile::ClimbingFile => pushed_raw(
                &root,
                reference,
                &archive(&[(EntryType::Regular, "first", ""), (EntryType::Regular, "../../escaped", "")]),
            ),
            Hostile::FileThroughALink => pushed_raw(
                &root,
                reference,
                &archive(&[(EntryType::Symlink, "door", "../.."), (EntryType::Regular, "door/escaped", "")]),
            ),
        }))
    }
}

fn blob(root: &Path, digest: &str) -> PathBuf {
    root.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

/// An archive of entries, each a kind, a name and where it links to, written without the checks that an honest writer makes.
fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, link) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(0);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn put_blob(root: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(root.join("blobs/sha256").join(&hex), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
}

/// Puts an image of one layer into the layout by hand, under this name.
fn pushed_raw(root: &Path, reference: &ImageReference, layer: &[u8]) -> PinnedImage {
    let layer = put_blob(root, "application/vnd.oci.image.layer.v1.tar", layer);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/first"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = put_blob(root, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer] });
    let mut manifest = put_blob(root, media_type, manifest.to_string().as_bytes());
    let digest = ImageDigest::new(manifest["digest"].as_str().unwrap()).unwrap();
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": reference.to_string() });
    let index = root.join("index.json");
    let mut content: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    content["manifests"].as_array_mut().unwrap().push(manifest);
    fs::write(index, content.to_string()).unwrap();
    reference.pinned(digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_keeps_every_promise_of_the_port() {
    let capabilities = RegistryCapabilities { unpacks: true, names_move: true };
    let report = registry(Layouts::default(), capabilities).await;
    report.assert_passed();
    let left_out = report.trials().iter().filter(|trial| trial.verdict != Verdict::Passed);
    let left_out: Vec<&str> = left_out.map(|trial| trial.name.as_str()).collect();
    assert_eq!(left_out, ["what it does not do is unsupported"], "{report}");
}
