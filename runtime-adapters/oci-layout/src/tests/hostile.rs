use std::fs;

use proptest::prelude::*;
use runtime_ports::{PortErrorKind, Retry};
use serde_json::json;
use tar::EntryType;

use crate::UnpackLimits;
use crate::tests::fixture::{Fixture, GZIP, Raw, archive, chain, entry, file, folder, hard_link, symlink};

/// Unpacks the layers, and expects them to be refused by `rule`, naming `name`, with nothing left behind.
fn assert_refused(layers: &[Vec<u8>], name: &str, rule: &str) {
    let fixture = Fixture::new();
    let error = fixture.unpack_layers(layers).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt, "{}", chain(&error));
    assert_eq!(error.operation(), "registry.unpack");
    assert!(error.message().contains(&format!("`{name}`")), "{error}");
    assert!(error.message().contains(rule), "{error}");
    fixture.assert_untouched();
}

#[test]
fn an_entry_that_climbs_out_is_refused() {
    for name in ["../outside", "a/../../outside", "..", "a/.."] {
        assert_refused(&[archive(&[file(name, "x")])], name, "`..`");
    }
}

#[test]
fn an_absolute_entry_is_refused() {
    assert_refused(&[archive(&[file("/etc/passwd", "x")])], "/etc/passwd", "absolute");
}

#[test]
fn an_entry_through_a_link_of_the_same_layer_is_refused() {
    let layer = archive(&[folder("real"), symlink("door", "real"), file("door/x", "x")]);
    assert_refused(&[layer], "door/x", "through a symbolic link");
}

#[test]
fn an_entry_through_a_link_of_an_earlier_layer_is_refused() {
    let planted = archive(&[folder("real"), symlink("door", "/real")]);
    assert_refused(&[planted, archive(&[file("door/x", "x")])], "door/x", "through a symbolic link");
}

#[test]
fn a_whiteout_through_a_link_is_refused() {
    let planted = archive(&[file("real/kept", "x"), symlink("door", "real")]);
    for name in ["door/.wh.kept", "door/.wh..wh..opq/x"] {
        let rule = if name.ends_with("/x") { "reserved" } else { "through a symbolic link" };
        assert_refused(&[planted.clone(), archive(&[file(name, "")])], name, rule);
    }
}

#[test]
fn a_link_that_leads_outside_is_refused() {
    for target in ["../outside", "../../outside", "a/../../outside", "/../outside", ".."] {
        assert_refused(&[archive(&[symlink("door", target)])], "door", "leaves the image's root");
    }
    assert_refused(&[archive(&[symlink("door", "")])], "door", "without a target");
}

#[test]
fn a_hard_link_that_leads_outside_is_refused() {
    assert_refused(&[archive(&[hard_link("door", "../../outside")])], "door", "`..`");
    assert_refused(&[archive(&[hard_link("door", "/etc/passwd")])], "door", "absolute");
    assert_refused(&[archive(&[hard_link("door", "absent")])], "door", "does not exist");
    assert_refused(&[archive(&[hard_link("door", "door")])], "door", "itself");
    let through = archive(&[folder("real"), symlink("a", "real"), hard_link("door", "a/x")]);
    assert_refused(&[through], "door", "through a symbolic link");
}

#[test]
fn a_hard_link_to_a_symbolic_link_is_refused_since_it_would_change_its_depth() {
    let layer = archive(&[folder("a/b"), symlink("a/b/up", "../.."), hard_link("up", "a/b/up")]);
    assert_refused(&[layer], "up", "not a regular file");
}

#[test]
fn devices_pipes_and_unknown_entries_are_refused() {
    for (kind, rule) in [
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNUSparse, "sparse"),
        (EntryType::new(b'Z'), "unknown type"),
    ] {
        assert_refused(&[archive(&[entry(kind, "thing")])], "thing", rule);
    }
}

#[test]
fn one_path_of_two_types_in_one_layer_is_refused() {
    let same_path = "same path twice";
    assert_refused(&[archive(&[file("a", "x"), symlink("a", "b")])], "a", same_path);
    assert_refused(&[archive(&[symlink("a", "b"), file("a", "x")])], "a", same_path);
    assert_refused(&[archive(&[folder("a"), file("a", "x")])], "a", same_path);
    assert_refused(&[archive(&[file("a/b", "x"), file("a", "x")])], "a", same_path);
    assert_refused(&[archive(&[file("a", "x"), file("a/b", "x")])], "a/b", "through a file");
    assert_refused(&[archive(&[file("a/", "x")])], "a/", "a folder's");
    assert_refused(&[archive(&[file(".", "x")])], ".", "root");
}

#[test]
fn extended_headers_cannot_smuggle_a_path_past_the_checks() {
    let pax = |records: &str| Raw {
        content: records.as_bytes().to_vec(),
        ..entry(EntryType::XHeader, "PaxHeaders/x")
    };
    let long_name =
        Raw { content: b"../outside\0".to_vec(), ..entry(EntryType::GNULongName, "././@LongLink") };
    assert_refused(&[archive(&[pax("19 path=../outside\n"), file("a", "x")])], "../outside", "`..`");
    assert_refused(&[archive(&[long_name, file("a", "x")])], "../outside", "`..`");
    assert_refused(
        &[archive(&[pax("23 linkpath=../outside\n"), symlink("a", "b")])],
        "a",
        "leaves the image's root",
    );
    assert_refused(&[archive(&[pax("9 size=5\n"), file("a", "x")])], "a", "given twice");
    let twice = archive(&[pax("10 path=b\n"), pax("10 path=c\n"), file("a", "x")]);
    assert_refused(&[twice], "b", "twice");
    let global = Raw { content: b"10 path=b\n".to_vec(), ..entry(EntryType::XGlobalHeader, "global") };
    assert_refused(&[archive(&[global, file("a", "x")])], "global", "renames every entry");
    let huge = Raw { content: vec![b'x'; 70_000], ..entry(EntryType::XHeader, "huge") };
    assert_refused(&[archive(&[huge, file("a", "x")])], "huge", "longer than 64 KiB");
    assert_refused(&[archive(&[pax("10 path=b\n")])], "(end)", "does not follow");
}

#[test]
fn a_whiteout_that_names_no_file_is_refused() {
    for name in [".wh.", "a/.wh...", "a/.wh.."] {
        assert_refused(&[archive(&[file("a/b", "x")]), archive(&[file(name, "")])], name, "names no file");
    }
}

#[test]
fn an_archive_that_ends_within_an_entry_is_refused() {
    let whole = archive(&[file("a", &"x".repeat(4_000))]);
    let fixture = Fixture::new();
    let error = fixture.unpack_layers(&[whole[..2_000].to_vec()]).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt, "{}", chain(&error));
    fixture.assert_untouched();
}

#[test]
fn bytes_that_are_no_archive_are_refused() {
    let fixture = Fixture::new();
    let error = fixture.unpack_layers(&[vec![7; 2_048]]).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt, "{}", chain(&error));
    let layer = fixture.blob(GZIP, b"not gzip");
    let manifest = fixture.manifest(&[(layer.clone(), layer["digest"].as_str().unwrap().to_owned())]);
    let error = fixture.unpack(&fixture.image_of(&manifest)).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt, "{}", chain(&error));
    fixture.assert_untouched();
}

#[test]
fn a_compression_bomb_is_stopped_at_the_limit_and_not_tried_again() {
    let mut fixture = Fixture::new();
    fixture.layout = fixture.layout.with_limits(UnpackLimits::new(1_000_000, 100));
    let bomb = fixture.gzip_layer(&archive(&[file("zeros", &"\0".repeat(3_000_000))]));
    let manifest = fixture.manifest(&[bomb]);
    let error = fixture.unpack(&fixture.image_of(&manifest)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (PortErrorKind::Exhausted, Retry::Never), "{}", chain(&error));
    assert!(error.message().contains("UnpackLimits"), "{error}");
    fixture.assert_untouched();
}

#[test]
fn a_bomb_behind_the_end_of_the_archive_is_stopped_too() {
    let mut fixture = Fixture::new();
    fixture.layout = fixture.layout.with_limits(UnpackLimits::new(1_000_000, 100));
    let mut tar = archive(&[file("a", "x")]);
    tar.extend(vec![0; 3_000_000]);
    let bomb = fixture.gzip_layer(&tar);
    let manifest = fixture.manifest(&[bomb]);
    let error = fixture.unpack(&fixture.image_of(&manifest)).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Exhausted, "{}", chain(&error));
    fixture.assert_untouched();
}

#[test]
fn more_entries_than_allowed_are_refused_implied_folders_included() {
    let mut fixture = Fixture::new();
    fixture.layout = fixture.layout.with_limits(UnpackLimits::new(1_000_000, 10));
    let error = fixture.unpack_layers(&[archive(&[file("1/2/3/4/5/6/7/8/9/10/11", "x")])]).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (PortErrorKind::Exhausted, Retry::Never), "{}", chain(&error));
    fixture.assert_untouched();
}

#[cfg(unix)]
#[test]
fn privileged_and_foreign_writable_modes_are_dropped() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::new();
    let set = Raw { mode: 0o6777, ..file("set", "x") };
    let shared = Raw { mode: 0o1777, ..folder("shared") };
    let closed = Raw { mode: 0, ..folder("closed") };
    fixture.unpack_layers(&[archive(&[set, shared, closed])]).unwrap();
    let mode = |name| fs::metadata(fixture.destination().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("set"), mode("shared"), mode("closed")), (0o755, 0o755, 0o700));
}

#[test]
fn a_file_is_replaced_and_not_written_through_its_hard_link() {
    let fixture = Fixture::new();
    let below = archive(&[file("a", "old"), hard_link("b", "a")]);
    fixture.unpack_layers(&[below, archive(&[file("a", "new")])]).unwrap();
    assert_eq!(fs::read_to_string(fixture.destination().join("a")).unwrap(), "new");
    assert_eq!(fs::read_to_string(fixture.destination().join("b")).unwrap(), "old");
}

#[test]
fn a_working_directory_that_climbs_out_is_refused() {
    let fixture = Fixture::new();
    let config = json!({
        "config": { "Entrypoint": ["/app"], "WorkingDir": "/../.." },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let config = fixture.blob(crate::document::CONFIG, config.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let manifest = fixture.blob(crate::document::MANIFEST, manifest.to_string().as_bytes());
    let error = fixture.unpack(&fixture.image_of(&manifest)).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("working directory"), "{error}");
    fixture.assert_untouched();
}

fn hostile_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c"]),
        1 => prop::sample::select(vec!["..", ".", "", "outside", "bundles", ".wh.a", ".wh..wh..opq", "\\"]),
    ];
    (any::<bool>(), prop::collection::vec(part, 1..5))
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")))
        .prop_filter("fits a header", |path| !path.is_empty())
}

/// Mostly harmless, so that archives get far enough for the rest to matter.
fn any_path() -> impl Strategy<Value = String> {
    let tame =
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|it| it.join("/"));
    prop_oneof![6 => tame, 1 => hostile_path()]
}

fn any_entry() -> impl Strategy<Value = Raw> {
    let kind = prop::sample::select(vec![
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Symlink,
        EntryType::Link,
    ]);
    (kind, any_path(), prop_oneof![any_path(), hostile_path()], 0_u32..0o10_000).prop_map(
        |(kind, name, link, mode)| {
            let content = if kind == EntryType::Regular { b"planted".to_vec() } else { Vec::new() };
            Raw { name, kind, link, mode, content }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn hostile_layers_never_write_outside_and_leave_all_or_nothing(
        layers in prop::collection::vec(prop::collection::vec(any_entry(), 1..6), 1..4)
    ) {
        let fixture = Fixture::new();
        let layers: Vec<_> = layers.iter().map(|entries| archive(entries)).collect();
        match fixture.unpack_layers(&layers) {
            Ok(_) => {
                fixture.assert_outside_untouched();
                let root = fixture.destination().canonicalize().unwrap();
                for name in fixture.unpacked() {
                    // What a link leads to, if anything, is inside.
                    if let Ok(real) = root.join(&name).canonicalize() {
                        prop_assert!(real.starts_with(&root), "{name} leads to {}", real.display());
                    }
                }
                prop_assert_eq!(fs::read_dir(fixture.path("bundles")).unwrap().count(), 1);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), PortErrorKind::Corrupt, "{}", chain(&error));
                fixture.assert_untouched();
            }
        }
    }

    #[test]
    fn random_bytes_as_a_layer_never_panic_or_write(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let fixture = Fixture::new();
        if fixture.unpack_layers(&[bytes]).is_err() {
            fixture.assert_untouched();
        } else {
            fixture.assert_outside_untouched();
        }
    }
}

#[test]
fn an_unfinished_workspace_of_a_dead_process_is_removed_by_the_next() {
    let fixture = Fixture::new();
    let abandoned = fixture.path("bundles/.unpack-dead");
    fs::create_dir_all(abandoned.join("root/half")).unwrap();
    fs::write(abandoned.join("lock"), "").unwrap();
    let alive = fixture.path("bundles/.unpack-alive");
    fs::create_dir_all(alive.join("root")).unwrap();
    let lock = fs::File::create(alive.join("lock")).unwrap();
    lock.lock().unwrap();
    fixture.unpack_layers(&[archive(&[file("a", "x")])]).unwrap();
    assert!(!abandoned.exists());
    assert!(alive.exists());
}
