use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use runtime_domain::component::PinnedImage;
use runtime_ports::{PortErrorKind, PortResult};
use serde_json::Value;

use crate::blobs::PARTIAL_PREFIX;
use crate::tests::fixture::{Fixture, block_on, chain, reference};
use crate::{ImageSource, OciLayout};

impl Fixture {
    fn host_file(&self, name: &str, content: &str) -> std::path::PathBuf {
        let path = self.path("bundles").join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn pack(&self, source: &ImageSource) -> PortResult<PinnedImage> {
        block_on(self.layout.pack(source))
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("layout/index.json")).unwrap()).unwrap()
    }
}

fn source(fixture: &Fixture, tag: &str, content: &str) -> ImageSource {
    let program = fixture.host_file(&format!("program-{tag}"), content);
    ImageSource::new(reference(&format!("shop/cart:{tag}")), ["/app/cart", "serve"])
        .executable("/app/cart", program)
        .arguments(["--port", "0"])
        .variable("LOG", "info")
        .working_directory("/app/data")
        .label("org.opencontainers.image.version", "1.4.2")
}

#[test]
fn what_is_packed_is_what_is_unpacked() {
    let fixture = Fixture::new();
    let notes = fixture.host_file("notes", "read me");
    let image = fixture.pack(&source(&fixture, "1", "#!program").file("share/notes", notes)).unwrap();
    assert_eq!(fixture.resolve("shop/cart:1").unwrap(), image);
    let bundle = fixture.unpack(&image).unwrap();
    assert_eq!(fixture.unpacked(), ["app/", "app/cart", "app/data/", "share/", "share/notes"]);
    assert_eq!(fs::read_to_string(bundle.root.join("app/cart")).unwrap(), "#!program");
    assert_eq!(bundle.entrypoint, ["/app/cart", "serve"]);
    assert_eq!(bundle.arguments, ["--port", "0"]);
    assert_eq!(bundle.variables, [("LOG".to_owned(), "info".to_owned())]);
    assert_eq!(bundle.working_directory.to_str(), Some("app/data"));
}

#[cfg(unix)]
#[test]
fn an_executable_is_executable_and_a_file_is_not() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::new();
    let notes = fixture.host_file("notes", "read me");
    let image = fixture.pack(&source(&fixture, "1", "x").file("notes", notes)).unwrap();
    fixture.unpack(&image).unwrap();
    let mode = |name| fs::metadata(fixture.destination().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("app/cart"), mode("notes")), (0o755, 0o644));
}

#[test]
fn the_same_source_gives_the_same_digest_whatever_the_order_and_the_times() {
    let (one, other) = (Fixture::new(), Fixture::new());
    let build = |fixture: &Fixture, swapped: bool| {
        let (a, b) = (fixture.host_file("a", "A"), fixture.host_file("b", "B"));
        let source = source(fixture, "1", "program");
        let source =
            if swapped { source.file("b", b).file("/a", a) } else { source.file("a", a).file("b", b) };
        fixture.pack(&source).unwrap()
    };
    let first = build(&one, false);
    let second = build(&other, true);
    assert_eq!(first, second);
    assert_eq!(build(&one, true), first, "packing again changes nothing");
    assert_eq!(one.index()["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn everything_that_runs_is_part_of_the_digest() {
    let fixture = Fixture::new();
    let base = source(&fixture, "1", "program");
    let digest = |source: &ImageSource| fixture.pack(source).unwrap().digest().clone();
    let variants = [
        base.clone(),
        base.clone().variable("LOG", "debug"),
        base.clone().label("release", "2"),
        base.clone().arguments(["--port", "1"]),
        base.clone().working_directory("/"),
        base.file("app/other", fixture.host_file("other", "x")),
    ];
    let mut digests: Vec<_> = variants.iter().map(digest).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), variants.len());
}

#[test]
fn a_tag_moves_and_the_pinned_digest_stays_readable() {
    let fixture = Fixture::new();
    let old = fixture.pack(&source(&fixture, "1", "old")).unwrap();
    let new = fixture.pack(&source(&fixture, "1", "new")).unwrap();
    assert_eq!(fixture.resolve("shop/cart:1").unwrap(), new);
    let pinned = fixture.resolve(&format!("shop/cart@{}", old.digest())).unwrap();
    assert_eq!(pinned.digest(), old.digest());
    fixture.unpack(&old).unwrap();
    assert_eq!(fs::read_to_string(fixture.destination().join("app/cart")).unwrap(), "old");
    let names: Vec<_> = fixture.index()["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        names,
        [None, Some("shop/cart:1".to_owned())],
        "the old image is kept in the index without a name"
    );

    let back = fixture.pack(&source(&fixture, "1", "old")).unwrap();
    assert_eq!(back, old);
    assert_eq!(fixture.resolve("shop/cart:1").unwrap(), old);
    assert_eq!(fixture.index()["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn packing_keeps_what_other_tools_wrote_into_the_index() {
    let fixture = Fixture::new();
    let first = fixture.pack(&source(&fixture, "1", "one")).unwrap();
    let mut index = fixture.index();
    index["annotations"] = serde_json::json!({ "tool": "other" });
    index["manifests"][0]["artifactType"] = serde_json::json!("application/example");
    fs::write(fixture.path("layout/index.json"), index.to_string()).unwrap();
    fixture.pack(&source(&fixture, "2", "two")).unwrap();
    let index = fixture.index();
    assert_eq!(index["annotations"]["tool"], "other");
    assert_eq!(index["manifests"][0]["artifactType"], "application/example");
    assert_eq!(fixture.resolve("shop/cart:1").unwrap(), first);
}

#[test]
fn packing_again_heals_a_damaged_blob() {
    let fixture = Fixture::new();
    let image = fixture.pack(&source(&fixture, "1", "program")).unwrap();
    for blob in fs::read_dir(fixture.path("layout/blobs/sha256")).unwrap() {
        fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    assert_eq!(fixture.resolve("shop/cart:1").unwrap_err().kind(), PortErrorKind::Corrupt);
    fixture.pack(&source(&fixture, "1", "program")).unwrap();
    assert_eq!(fixture.resolve("shop/cart:1").unwrap(), image);
}

#[test]
fn a_source_that_breaks_a_rule_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    let before = fixture.index();
    let base = source(&fixture, "1", "program");
    let host = fixture.host_file("x", "x");
    let pinned = format!("shop/cart:1@{}", crate::digest::digest_of(b"").unwrap());
    for (bad, needle) in [
        (base.clone().file("../x", &host), "`..`"),
        (base.clone().file("app/cart", &host), "given twice"),
        (base.clone().file("app", &host), "given twice"),
        (base.clone().file("app/cart/x", &host), "one of its folders"),
        (base.clone().file("a/.wh.x", &host), "`.wh.`"),
        (base.clone().file("folder/", &host), "names a folder"),
        (base.clone().file("", &host), "names a folder"),
        (base.clone().file("x", fixture.path("bundles")), "not a regular file"),
        (base.clone().variable("A=B", ""), "variable's name"),
        (base.clone().variable("A", "\0"), "null character"),
        (base.clone().working_directory("/.."), "working directory"),
        (ImageSource::new(reference("shop/cart:1"), Vec::<String>::new()), "entry point"),
        (ImageSource::new(reference(&pinned), ["/app"]), "no digest"),
    ] {
        let error = fixture.pack(&bad).unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Invalid, "{}", chain(&error));
        assert!(error.message().contains(needle), "`{needle}` is not in: {error}");
    }
    let absent = fixture.pack(&base.file("x", fixture.path("absent"))).unwrap_err();
    assert_eq!(absent.kind(), PortErrorKind::NotFound, "{}", chain(&absent));
    assert_eq!(fixture.index(), before);
}

#[test]
fn writers_on_one_layout_lose_no_names() {
    let fixture = Fixture::new();
    let sources: Vec<_> =
        (0..16).map(|number| source(&fixture, &number.to_string(), &format!("program {number}"))).collect();
    std::thread::scope(|scope| {
        for source in &sources {
            let root = fixture.path("layout");
            // A handle of its own, as another process would have: the lock is the file's, not the handle's.
            scope.spawn(move || block_on(OciLayout::open(root).unwrap().pack(source)).unwrap());
        }
    });
    for number in 0..16 {
        assert!(fixture.resolve(&format!("shop/cart:{number}")).is_ok(), "{number}");
    }
}

#[test]
fn many_creators_of_one_layout_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let creators: Vec<_> =
            (0..8).map(|_| scope.spawn(|| OciLayout::create(folder.path().join("layout")))).collect();
        for creator in creators {
            creator.join().unwrap().unwrap();
        }
    });
}

const CHILD_LAYOUT: &str = "OCI_LAYOUT_TEST_LAYOUT";
const CHILD_FILE: &str = "OCI_LAYOUT_TEST_FILE";

/// Not a test of its own: the process that the next test kills.
#[test]
fn child_that_packs_until_it_is_killed() {
    let (Some(layout), Some(file)) = (std::env::var_os(CHILD_LAYOUT), std::env::var_os(CHILD_FILE)) else {
        return;
    };
    let source = ImageSource::new(reference("shop/cart:1"), ["/app"]).executable("/app", file);
    block_on(OciLayout::open(layout).unwrap().pack(&source)).unwrap();
}

#[test]
fn a_packing_that_is_killed_half_way_leaves_a_readable_layout() {
    let fixture = Fixture::new();
    let before = fixture.pack(&source(&fixture, "1", "before")).unwrap();
    // Sparse, and far larger than can be packed before the kill.
    let endless = fixture.path("bundles/endless");
    fs::File::create(&endless).unwrap().set_len(1 << 40).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::packing::child_that_packs_until_it_is_killed"])
        .env(CHILD_LAYOUT, fixture.path("layout"))
        .env(CHILD_FILE, &endless)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let unfinished = || {
        fs::read_dir(fixture.path("layout")).unwrap().flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with(PARTIAL_PREFIX)
                && entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !unfinished() {
        assert!(Instant::now() < deadline, "the child never began to write");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(unfinished(), "the child was killed too late to show anything");
    let layout = OciLayout::open(fixture.path("layout")).unwrap();
    assert_eq!(fixture.resolve("shop/cart:1").unwrap(), before);
    let after = block_on(layout.pack(&source(&fixture, "2", "after"))).unwrap();
    assert_eq!(fixture.resolve("shop/cart:2").unwrap(), after);
    assert!(!unfinished(), "the next writer removes what the dead one left");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_files_round_trip(
        files in prop::collection::btree_map("[a-z]{1,3}(/[a-zA-Z0-9 ._é-]{1,60}x){0,3}", "\\PC{0,40}", 1..8)
    ) {
        let fixture = Fixture::new();
        let mut source = ImageSource::new(reference("shop/cart:1"), ["/app"]);
        for (number, (path, content)) in files.iter().enumerate() {
            source = source.file(path, fixture.host_file(&number.to_string(), content));
        }
        match fixture.pack(&source) {
            Ok(image) => {
                fixture.unpack(&image).unwrap();
                for (path, content) in &files {
                    let found = fs::read_to_string(fixture.destination().join(path)).unwrap();
                    prop_assert_eq!(&found, content);
                }
                let unpacked = fixture.unpacked().into_iter().filter(|name| !name.ends_with('/')).count();
                prop_assert_eq!(unpacked, files.len());
            }
            Err(error) => prop_assert_eq!(error.kind(), PortErrorKind::Invalid, "{}", error),
        }
    }
}
