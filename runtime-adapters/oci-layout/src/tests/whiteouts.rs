use std::fs;

use crate::tests::fixture::{Fixture, archive, file, folder, symlink};

fn unpacked(layers: &[Vec<u8>]) -> Vec<String> {
    let fixture = Fixture::new();
    fixture.unpack_layers(layers).unwrap();
    fixture.unpacked()
}

#[test]
fn a_whiteout_hides_a_file_of_a_lower_layer() {
    let below = archive(&[file("a/kept", "x"), file("a/gone", "x")]);
    assert_eq!(unpacked(&[below, archive(&[file("a/.wh.gone", "")])]), ["a/", "a/kept"]);
}

#[test]
fn a_whiteout_hides_a_whole_folder() {
    let below = archive(&[file("a/b/c", "x"), file("kept", "x")]);
    assert_eq!(unpacked(&[below, archive(&[file(".wh.a", "")])]), ["kept"]);
}

#[test]
fn a_whiteout_of_nothing_changes_nothing() {
    assert_eq!(unpacked(&[archive(&[file("x/y/.wh.absent", ""), file("kept", "x")])]), ["kept"]);
}

#[test]
fn an_opaque_folder_hides_what_is_below_and_keeps_what_its_own_layer_adds() {
    let below = archive(&[file("a/old", "x"), file("a/sub/old", "x")]);
    for order in [0, 1, 2] {
        let mut entries = vec![file("a/new", "x"), file("a/sub/new", "x")];
        entries.insert(order, file("a/.wh..wh..opq", ""));
        let found = unpacked(&[below.clone(), archive(&entries)]);
        assert_eq!(found, ["a/", "a/new", "a/sub/", "a/sub/new"], "order {order}");
    }
}

#[test]
fn a_whiteout_beside_its_replacement_keeps_the_replacement_in_either_order() {
    let below = archive(&[file("a/old", "x")]);
    for entries in [
        [file(".wh.a", ""), folder("a"), file("a/new", "x")],
        [folder("a"), file("a/new", "x"), file(".wh.a", "")],
    ] {
        assert_eq!(unpacked(&[below.clone(), archive(&entries)]), ["a/", "a/new"]);
    }
}

#[test]
fn an_upper_layer_replaces_a_folder_by_a_file_and_a_link_by_a_folder() {
    let below = archive(&[file("a/b", "x"), symlink("link", "a"), file("file", "x")]);
    let above = archive(&[file("a", "x"), folder("link"), file("link/c", "x"), symlink("file", "a")]);
    assert_eq!(unpacked(&[below, above]), ["a", "file", "link/", "link/c"]);
}

#[test]
fn folders_of_several_layers_are_merged() {
    let layers = [archive(&[file("a/b", "x")]), archive(&[folder("a"), file("a/c", "x")])];
    assert_eq!(unpacked(&layers), ["a/", "a/b", "a/c"]);
}

#[test]
fn an_absolute_link_leads_to_the_same_place_inside_the_bundle() {
    let fixture = Fixture::new();
    let layer = archive(&[file("usr/bin/dash", "shell"), symlink("bin/sh", "/usr/bin/dash")]);
    fixture.unpack_layers(&[layer]).unwrap();
    assert_eq!(fs::read_to_string(fixture.destination().join("bin/sh")).unwrap(), "shell");
}
