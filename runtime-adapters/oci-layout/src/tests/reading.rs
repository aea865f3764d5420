use std::fs;

use runtime_domain::component::ImageDigest;
use runtime_ports::PortErrorKind;
use serde_json::{Value, json};

use crate::OciLayout;
use crate::digest::digest_of;
use crate::document::{INDEX, LAYER_TAR, MANIFEST};
use crate::tests::fixture::{Fixture, archive, chain, file, reference};

fn one_layer_image(fixture: &Fixture, content: &str) -> Value {
    let layer = fixture.plain_layer(&archive(&[file("app", content)]));
    fixture.manifest(&[layer])
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap().to_owned()
}

fn flipped(fixture: &Fixture, digest: &str) {
    let mut bytes = fs::read(fixture.blob_path(digest)).unwrap();
    bytes[0] ^= 1;
    fs::write(fixture.blob_path(digest), bytes).unwrap();
}

/// Both ways to read the image must fail as `kind`, and name `needle`.
fn assert_unreadable(fixture: &Fixture, manifest: &Value, kind: PortErrorKind, needle: &str) {
    let resolved = fixture.resolve("shop/cart:1").unwrap_err();
    let unpacked = fixture.unpack(&fixture.image_of(manifest)).unwrap_err();
    for error in [resolved, unpacked] {
        assert_eq!(error.kind(), kind, "{}", chain(&error));
        assert!(error.message().contains(needle), "`{needle}` is not in: {}", chain(&error));
    }
    fixture.assert_untouched();
}

#[test]
fn a_tag_resolves_to_its_digest_and_unpacks() {
    let fixture = Fixture::new();
    let manifest = one_layer_image(&fixture, "v1");
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    let image = fixture.resolve("shop/cart:1").unwrap();
    assert_eq!(image.to_string(), format!("shop/cart:1@{}", digest(&manifest)));
    let bundle = fixture.unpack(&image).unwrap();
    assert_eq!(bundle.entrypoint, ["/app"]);
    assert_eq!(bundle.root, fixture.destination());
    assert_eq!(fixture.unpacked(), ["app"]);
}

#[test]
fn gzip_and_plain_layers_unpack_to_the_same() {
    let fixture = Fixture::new();
    let tar = archive(&[file("app", "v1")]);
    let layers = [fixture.gzip_layer(&tar), fixture.plain_layer(&tar)];
    let manifest = fixture.manifest(&layers);
    fixture.unpack(&fixture.image_of(&manifest)).unwrap();
    assert_eq!(fs::read_to_string(fixture.destination().join("app")).unwrap(), "v1");
}

#[test]
fn an_unknown_image_is_not_found_and_the_error_says_which_there_are() {
    let fixture = Fixture::new();
    let manifest = one_layer_image(&fixture, "v1");
    let empty = fixture.resolve("shop/cart:1").unwrap_err();
    assert_eq!(empty.kind(), PortErrorKind::NotFound);
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    for unknown in ["shop/cart:2", "shop/pay:1", "cart:1"] {
        let error = fixture.resolve(unknown).unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::NotFound);
        assert!(error.message().contains("`shop/cart:1`"), "{error}");
    }
    let absent = format!("shop/cart@{}", digest_of(b"absent").unwrap());
    assert_eq!(fixture.resolve(&absent).unwrap_err().kind(), PortErrorKind::NotFound);
}

#[test]
fn a_digest_must_match_what_the_tag_names() {
    let fixture = Fixture::new();
    let (old, new) = (one_layer_image(&fixture, "v1"), one_layer_image(&fixture, "v2"));
    fixture.write_index(&[("shop/cart:1", &new)]);
    let error = fixture.resolve(&format!("shop/cart:1@{}", digest(&old))).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Invalid);
    assert!(error.message().contains(&format!("`shop/cart@{}`", digest(&old))), "{error}");
    let by_digest = fixture.resolve(&format!("shop/cart@{}", digest(&old))).unwrap();
    assert_eq!(by_digest.digest().as_str(), digest(&old));
    assert!(fixture.resolve(&format!("shop/cart:1@{}", digest(&new))).is_ok());
}

#[test]
fn a_plain_tag_counts_only_in_a_layout_of_one_repository() {
    let fixture = Fixture::new();
    let manifest = one_layer_image(&fixture, "v1");
    fixture.write_index(&[("1", &manifest)]);
    assert!(fixture.resolve("shop/cart:1").is_ok());
    fixture.write_index(&[("1", &manifest), ("shop/pay:7", &manifest)]);
    assert_eq!(fixture.resolve("shop/cart:1").unwrap_err().kind(), PortErrorKind::NotFound);
}

#[test]
fn a_name_of_two_images_is_refused() {
    let fixture = Fixture::new();
    let (one, other) = (one_layer_image(&fixture, "v1"), one_layer_image(&fixture, "v2"));
    fixture.write_index(&[("shop/cart:1", &one), ("shop/cart:1", &other)]);
    let error = fixture.resolve("shop/cart:1").unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Invalid);
    assert!(error.message().contains("names several images"), "{error}");
}

#[test]
fn a_damaged_blob_of_any_kind_is_corrupt_and_named() {
    for part in ["manifest", "config", "layer"] {
        for damage in ["flip", "cut", "grow", "remove"] {
            let fixture = Fixture::new();
            let manifest = one_layer_image(&fixture, "v1");
            fixture.write_index(&[("shop/cart:1", &manifest)]);
            let content: Value =
                serde_json::from_slice(&fs::read(fixture.blob_path(&digest(&manifest))).unwrap()).unwrap();
            let victim = match part {
                "manifest" => digest(&manifest),
                "config" => digest(&content["config"]),
                _ => digest(&content["layers"][0]),
            };
            let path = fixture.blob_path(&victim);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "flip" => flipped(&fixture, &victim),
                "cut" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                "grow" => {
                    bytes.push(0);
                    fs::write(&path, bytes).unwrap();
                }
                _ => fs::remove_file(&path).unwrap(),
            }
            if part == "manifest" && damage == "remove" {
                // Only the index promises it; by digest alone it is merely unknown.
                assert_eq!(fixture.resolve("shop/cart:1").unwrap_err().kind(), PortErrorKind::Corrupt);
            } else {
                assert_unreadable(&fixture, &manifest, PortErrorKind::Corrupt, &victim);
            }
        }
    }
}

#[test]
fn a_layer_that_unpacks_to_something_else_than_the_configuration_says_is_corrupt() {
    let fixture = Fixture::new();
    let (layer, _) = fixture.gzip_layer(&archive(&[file("app", "v1")]));
    let other = digest_of(b"other").unwrap().to_string();
    let manifest = fixture.manifest(&[(layer, other.clone())]);
    let error = fixture.unpack(&fixture.image_of(&manifest)).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt);
    assert!(error.message().contains(&other), "{error}");
    fixture.assert_untouched();
}

#[test]
fn a_configuration_of_another_number_of_layers_is_corrupt() {
    let fixture = Fixture::new();
    let layer = fixture.plain_layer(&archive(&[file("app", "v1")]));
    let manifest = fixture.manifest(&[layer]);
    let mut content: Value =
        serde_json::from_slice(&fs::read(fixture.blob_path(&digest(&manifest))).unwrap()).unwrap();
    content["layers"] = json!([]);
    let manifest = fixture.blob(MANIFEST, content.to_string().as_bytes());
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    assert_unreadable(&fixture, &manifest, PortErrorKind::Corrupt, "lists 1 layers and its manifest 0");
}

#[test]
fn a_document_that_two_readers_could_take_for_two_things_is_corrupt() {
    let fixture = Fixture::new();
    let good = one_layer_image(&fixture, "v1");
    let content: Value =
        serde_json::from_slice(&fs::read(fixture.blob_path(&digest(&good))).unwrap()).unwrap();
    let mut both = content.clone();
    both["manifests"] = json!([]);
    let mut mislabelled = content;
    mislabelled["mediaType"] = json!(INDEX);
    for (bad, needle) in
        [(both, "must hold either"), (mislabelled, "is declared as"), (json!({}), "must hold either")]
    {
        let manifest = fixture.blob(MANIFEST, bad.to_string().as_bytes());
        fixture.write_index(&[("shop/cart:1", &manifest)]);
        assert_unreadable(&fixture, &manifest, PortErrorKind::Corrupt, needle);
    }
}

#[test]
fn a_zstd_layer_is_unsupported_and_the_error_says_what_to_build() {
    let fixture = Fixture::new();
    let layer = fixture.blob("application/vnd.oci.image.layer.v1.tar+zstd", b"zstd");
    let manifest = fixture.manifest(&[(layer, digest_of(b"").unwrap().to_string())]);
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    assert_unreadable(&fixture, &manifest, PortErrorKind::Unsupported, "gzip-compressed");
}

#[test]
fn a_manifest_of_more_than_4_mib_is_corrupt_before_it_is_read_whole() {
    let fixture = Fixture::new();
    let manifest = fixture.blob(MANIFEST, &vec![b' '; 4 * 1024 * 1024 + 1]);
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    assert_unreadable(&fixture, &manifest, PortErrorKind::Corrupt, "is longer than");
}

fn index_of(fixture: &Fixture, images: &[(&Value, &str, &str)]) -> Value {
    let manifests: Vec<_> = images
        .iter()
        .map(|(image, os, architecture)| {
            let mut entry = (*image).clone();
            entry["platform"] = json!({ "os": os, "architecture": architecture });
            entry
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    fixture.blob(INDEX, index.to_string().as_bytes())
}

#[test]
fn an_index_resolves_to_the_image_for_the_platform() {
    let mut fixture = Fixture::new();
    let (intel, arm) = (one_layer_image(&fixture, "intel"), one_layer_image(&fixture, "arm"));
    let index = index_of(&fixture, &[(&intel, "linux", "amd64"), (&arm, "linux", "arm64")]);
    fixture.write_index(&[("shop/cart:1", &index)]);
    fixture.layout = fixture.layout.with_platform("linux", "arm64");
    assert_eq!(fixture.resolve("shop/cart:1").unwrap().digest().as_str(), digest(&arm));

    let asked = format!("shop/cart:1@{}", digest(&index));
    let pinned = fixture.resolve(&asked).unwrap();
    assert_eq!(pinned.to_string(), asked, "what was asked for stays as it was");
    fixture.unpack(&pinned).unwrap();
    assert_eq!(fs::read_to_string(fixture.destination().join("app")).unwrap(), "arm");

    fixture.layout = fixture.layout.with_platform("linux", "riscv64");
    let error = fixture.resolve("shop/cart:1").unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::NotFound);
    assert!(error.message().contains("[linux/amd64, linux/arm64]"), "{error}");
}

#[test]
fn indexes_without_end_are_refused() {
    let mut fixture = Fixture::new();
    fixture.layout = fixture.layout.with_platform("linux", "amd64");
    let mut deepest = one_layer_image(&fixture, "v1");
    for _ in 0..5 {
        deepest = index_of(&fixture, &[(&deepest, "linux", "amd64")]);
    }
    fixture.write_index(&[("shop/cart:1", &deepest)]);
    assert_unreadable(&fixture, &deepest, PortErrorKind::Corrupt, "nested more than");
}

#[test]
fn a_destination_that_exists_is_refused_and_left_as_it_was() {
    let fixture = Fixture::new();
    let manifest = one_layer_image(&fixture, "v1");
    fs::create_dir(fixture.destination()).unwrap();
    let error = fixture.unpack(&fixture.image_of(&manifest)).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Invalid);
    assert!(error.message().contains("already exists"), "{error}");
    assert!(fixture.unpacked().is_empty());
}

#[test]
fn a_folder_that_is_no_layout_cannot_be_opened_and_one_in_use_cannot_be_made_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = OciLayout::open(folder.path()).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (PortErrorKind::NotFound, "registry.open"));
    fs::write(folder.path().join("diary"), "").unwrap();
    let error = OciLayout::create(folder.path()).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Invalid);
    assert!(error.message().contains("`diary`"), "{error}");
    assert_eq!(OciLayout::open(folder.path().join("absent")).unwrap_err().kind(), PortErrorKind::NotFound);
}

#[test]
fn a_layout_of_another_version_is_unsupported() {
    let fixture = Fixture::new();
    fs::write(fixture.path("layout/oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert_eq!(OciLayout::open(fixture.path("layout")).unwrap_err().kind(), PortErrorKind::Unsupported);
    fs::write(fixture.path("layout/oci-layout"), "{").unwrap();
    assert_eq!(OciLayout::open(fixture.path("layout")).unwrap_err().kind(), PortErrorKind::Corrupt);
}

#[test]
fn an_index_that_is_not_json_is_corrupt_and_says_where() {
    let fixture = Fixture::new();
    fs::write(fixture.path("layout/index.json"), "{\"schemaVersion\": 2,").unwrap();
    let error = fixture.resolve("shop/cart:1").unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt);
    assert!(chain(&error).contains("line 1"), "{}", chain(&error));
}

#[test]
fn a_layer_larger_than_declared_is_corrupt_without_being_read_to_its_end() {
    let fixture = Fixture::new();
    let (mut layer, diff_id) = fixture.plain_layer(&archive(&[file("app", "v1")]));
    layer["size"] = json!(1);
    let manifest = fixture.manifest(&[(layer.clone(), diff_id)]);
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    assert_unreadable(&fixture, &manifest, PortErrorKind::Corrupt, &digest(&layer));
    assert_eq!(layer["mediaType"], LAYER_TAR);
}

#[test]
fn a_digest_of_another_algorithm_is_unsupported() {
    let fixture = Fixture::new();
    let mut manifest = one_layer_image(&fixture, "v1");
    let image = fixture.image_of(&manifest);
    assert!(ImageDigest::new(image.digest().as_str()).is_ok());
    manifest["digest"] = json!("sha512:00");
    fixture.write_index(&[("shop/cart:1", &manifest)]);
    assert_eq!(fixture.resolve("shop/cart:1").unwrap_err().kind(), PortErrorKind::Unsupported);
    assert_eq!(reference("shop/cart:1").tag(), Some("1"));
}
