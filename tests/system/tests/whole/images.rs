//! Images that do not exist, are damaged, or mean harm.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use factory_runtime::domain::component::ImageDigest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bench::{Bench, WEB, release_of, says};

const NOBODYS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Resolving fails; nothing is listed that was not before.
async fn refused(bench: &Bench, yaml: &str) -> String {
    let before = bench.listing().await;
    let error = bench.resolve(yaml).await.expect_err("the image cannot be had");
    assert_eq!(bench.listing().await, before);
    error
}

/// Where the layout keeps a blob.
fn blob(bench: &Bench, digest: &str) -> PathBuf {
    bench.path("images/blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

/// The first layer of an image.
fn layer_of(bench: &Bench, image: &ImageDigest) -> PathBuf {
    let manifest = fs::read(blob(bench, image.as_str())).expect("the manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    blob(bench, manifest["layers"][0]["digest"].as_str().expect("a layer"))
}

fn truncate(path: &PathBuf) {
    let file = fs::File::options().write(true).open(path).expect("the blob");
    let length = file.metadata().expect("its length").len();
    file.set_len(length / 2).expect("cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_image_is_refused_with_its_name_and_place() {
    let bench = Bench::with_a_release().await;
    let error = refused(&bench, &release_of("2.0.0")).await;
    says(&error, &["components.web.image", "test/web:2.0.0", "push"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_digest_is_refused_with_what_the_tag_names() {
    let bench = Bench::with_a_release().await;
    let serving = bench.resolve(&release_of("1.0.0")).await.expect("resolved");
    let component = serving.components.values().next().expect("a component");
    let digest = component.tuple.image.digest().to_string();

    let yaml = release_of("1.0.0");
    let error = refused(&bench, &yaml.replace("web:1.0.0", &format!("web:1.0.0@{NOBODYS}"))).await;
    says(&error, &["components.web.image", NOBODYS, &digest, "leave the digest out"]);
    let error = refused(&bench, &yaml.replace("web:1.0.0", &format!("web@{NOBODYS}"))).await;
    says(&error, &["components.web.image", NOBODYS, "push"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_blob_is_refused_until_the_image_is_pushed_again() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "").await;
    let release = bench.resolve(&release_of("2.0.0")).await.expect("resolved");
    let image = release.components.values().next().expect("a component").tuple.image.digest().clone();
    let layer = layer_of(&bench, &image);
    truncate(&layer);

    let error = refused(&bench, &release_of("2.0.0")).await;
    let name = layer.file_name().expect("a name").to_string_lossy().into_owned();
    says(&error, &["components.web.image", "test/web:2.0.0", &name, "cut off", "push the image again"]);
    assert_eq!(bench.answer().await, "1.0.0");

    bench.pack("2.0.0", "").await;
    assert!(bench.resolve(&release_of("2.0.0")).await.is_ok(), "pushed again, it can be had");
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_truncated_after_it_was_resolved_rolls_the_release_back() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "").await;
    let release = bench.resolve(&release_of("2.0.0")).await.expect("resolved");
    let image = release.components.values().next().expect("a component").tuple.image.digest().clone();
    let layer = layer_of(&bench, &image);
    truncate(&layer);

    let why = bench.rolls_back(release).await;
    let name = layer.file_name().expect("a name").to_string_lossy().into_owned();
    says(&why, &[&name, "cut off", "push the image again"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_climbs_out_of_its_folder_rolls_the_release_back_and_writes_nothing() {
    let bench = Bench::with_a_release().await;
    plant_a_climbing_image(&bench);
    let release = bench.resolve(&release_of("2.0.0")).await.expect("its digests are right");

    let why = bench.rolls_back(release).await;
    says(&why, &["`../../climbed-out`", "`..`", "could leave the image's root"]);
    let outside = files_named(bench.path(""), "climbed-out");
    assert_eq!(outside, Vec::<PathBuf>::new(), "something was written");
    assert_eq!(bench.observe(WEB).await.revisions.len(), 1, "only the previous revision is left");
    bench.is_unharmed().await;
}

/// Adds `test/web:2.0.0` to the layout, as a hostile builder would: every digest is right, but a path of its layer is not.
fn plant_a_climbing_image(bench: &Bench) {
    let mut header = tar::Header::new_gnu();
    let name = b"../../climbed-out";
    // Past the setter, which would refuse the name.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(4);
    header.set_mode(0o644);
    header.set_cksum();
    let mut layer = tar::Builder::new(Vec::new());
    layer.append(&header, &b"here"[..]).expect("appended");
    let layer = layer.into_inner().expect("an archive");

    let layer = put(bench, "application/vnd.oci.image.layer.v1.tar", &layer);
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/workload"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let configuration =
        put(bench, "application/vnd.oci.image.config.v1+json", configuration.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": configuration, "layers": [layer],
    });
    let mut manifest = put(bench, media_type, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "test/web:2.0.0" });

    let path = bench.path("images/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    index["manifests"].as_array_mut().expect("manifests").push(manifest);
    fs::write(path, index.to_string()).expect("written");
}

fn put(bench: &Bench, media_type: &str, content: &[u8]) -> Value {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = fs::File::create(blob(bench, &hex)).expect("a blob");
    file.write_all(content).expect("written");
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": content.len() })
}

fn files_named(root: PathBuf, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        // A folder may go while it is looked through: workloads and their logs come and go.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|it| it == name) {
                found.push(path);
            }
        }
    }
    found
}
