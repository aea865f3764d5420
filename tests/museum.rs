//! The museum's catalogue and the code name the same bugs, and each names a test that exists. That each is caught, `scripts/museum` shows.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

const CATALOGUE: &str = "tests/museum/catalogue.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    suites: BTreeMap<String, Suite>,
    piece: Vec<Piece>,
}

/// A program of tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    package: String,
    /// `lib`, or the name of a test of the package.
    target: String,
    /// What it tells of how long it took: `cases` or `seeds`.
    counts: Option<String>,
    #[serde(default, rename = "environment")]
    _environment: BTreeMap<String, String>,
}

/// A bug.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    name: String,
    /// Whose it was.
    bug: String,
    /// What it does.
    what: String,
    suite: String,
    /// The test that fails where it is let out.
    test: String,
    #[serde(default, rename = "hangs")]
    _hangs: bool,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn catalogue() -> Catalogue {
    let text = std::fs::read_to_string(root().join(CATALOGUE)).expect("the catalogue");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{CATALOGUE}: {error}"))
}

/// Every file below a folder that ends so, build output aside.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bugs that stand in the code, with the files that they stand in.
fn in_the_code() -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut found: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let folders =
        ["runtime-domain", "runtime-ports", "runtime-services", "runtime-api", "runtime-adapters", "src"];
    for file in folders.iter().flat_map(|folder| files(&root().join(folder), ".rs")) {
        let text = read(&file);
        for (at, _) in text.match_indices("bug!(\"") {
            // `debug!("…")` is a log's.
            if text.get(..at).is_some_and(|before| before.ends_with(char::is_alphanumeric)) {
                continue;
            }
            let rest = text.get(at + "bug!(\"".len()..).expect("what follows");
            let (name, _) = rest.split_once('"').expect("a name");
            found.entry(name.to_owned()).or_default().insert(file.clone());
        }
    }
    found
}

/// The folder of each package.
fn packages() -> BTreeMap<String, PathBuf> {
    let manifests = files(&root(), "Cargo.toml");
    let named = manifests.iter().filter_map(|manifest| {
        let manifest_text: toml::Table = read(manifest).parse().expect("a manifest");
        let name = manifest_text.get("package")?.get("name")?.as_str()?.to_owned();
        Some((name, manifest.parent()?.to_owned()))
    });
    named.collect()
}

/// The source of the tests of a suite.
fn tests_of(suite: &Suite, packages: &BTreeMap<String, PathBuf>) -> String {
    let folder =
        packages.get(&suite.package).unwrap_or_else(|| panic!("there is no package {}", suite.package));
    let sources = if suite.target == "lib" {
        files(&folder.join("src"), ".rs")
    } else {
        let tests = folder.join("tests");
        let mut sources = files(&tests.join(&suite.target), ".rs");
        sources
            .extend([tests.join(format!("{}.rs", suite.target))].into_iter().filter(|file| file.is_file()));
        sources
    };
    assert!(!sources.is_empty(), "{} has no tests {}", suite.package, suite.target);
    sources.iter().map(|file| read(file)).collect()
}

#[test]
fn the_catalogue_and_the_code_name_the_same_bugs() {
    let (catalogue, code) = (catalogue(), in_the_code());
    let listed: BTreeSet<String> = catalogue.piece.iter().map(|piece| piece.name.clone()).collect();
    assert_eq!(listed.len(), catalogue.piece.len(), "no two pieces have one name");
    assert_eq!(listed, code.keys().cloned().collect());
    assert!(listed.len() >= 30, "a museum has at least thirty pieces");
    for (name, files) in code {
        assert_eq!(files.len(), 1, "{name} stands in one room: {files:?}");
    }
}

#[test]
fn every_piece_says_whose_bug_it_was_and_names_a_test_that_exists() {
    let (catalogue, packages) = (catalogue(), packages());
    let sources: BTreeMap<&String, String> =
        catalogue.suites.iter().map(|(name, suite)| (name, tests_of(suite, &packages))).collect();
    for suite in catalogue.suites.values() {
        let counts = suite.counts.as_deref();
        assert!(matches!(counts, None | Some("cases" | "seeds")), "{}: counts {counts:?}", suite.package);
    }
    for Piece { name, bug, what, suite, test, .. } in &catalogue.piece {
        assert!(!bug.is_empty() && !what.is_empty(), "{name}: whose is it, and what does it do?");
        let source = sources.get(suite).unwrap_or_else(|| panic!("{name}: there is no suite {suite}"));
        let function = test.rsplit("::").next().expect("a name");
        assert!(source.contains(&format!("fn {function}(")), "{name}: {suite} has no test {function}");
    }
}
