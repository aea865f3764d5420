//! The walls of ARCHITECTURE.md, read from the tree itself: each test fails when someone builds through one.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The normal dependencies of every package of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--all-features", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let normal = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect()
    };
    packages
        .iter()
        .map(|package| (package["name"].as_str().expect("a name").to_owned(), normal(package)))
        .collect()
}

fn adapters() -> BTreeSet<String> {
    let folders = std::fs::read_dir(root().join("runtime-adapters")).expect("the adapters' folder");
    folders
        .map(|folder| format!("runtime-{}", folder.expect("a folder").file_name().to_string_lossy()))
        .collect()
}

/// The adapters that let others in. The others are asked by the services.
const DRIVING: [&str; 2] = ["runtime-grpc", "runtime-http"];

#[test]
fn dependencies_point_one_way() {
    let family = dependencies();
    let adapters = adapters();
    assert!(adapters.len() >= 6, "the adapters are found: {adapters:?}");
    let own = |name: &str| -> BTreeSet<&str> {
        let all = family.get(name).unwrap_or_else(|| panic!("{name} is a package")).iter();
        all.map(String::as_str).filter(|name| family.contains_key(*name)).collect()
    };
    assert_eq!(own("runtime-domain"), BTreeSet::new());
    assert_eq!(own("runtime-ports"), BTreeSet::from(["runtime-domain"]));
    assert_eq!(own("runtime-services"), BTreeSet::from(["runtime-domain", "runtime-ports"]));
    let below: BTreeSet<&str> = BTreeSet::from(["runtime-domain", "runtime-ports"]);
    let offered: BTreeSet<&str> = BTreeSet::from(["runtime-domain", "runtime-ports", "runtime-services"]);
    assert_eq!(own("runtime-api"), offered);
    for adapter in &adapters {
        let mut may = below.clone();
        if DRIVING.contains(&adapter.as_str()) {
            // Who lets others in offers what `runtime-api` has; of the services it knows only how the host is.
            may.extend(["runtime-api", "runtime-services"]);
        }
        assert!(own(adapter).is_subset(&may), "{adapter} knows {:?} and may know {may:?}", own(adapter));
    }
    assert!(own("runtime-testkit").is_subset(&below), "{:?}", own("runtime-testkit"));
    // The testkit stays beneath the services, whose own tests use it. What tells stories with whole hosts is beside them.
    let mut told = offered;
    told.extend(["runtime-memory", "runtime-testkit"]);
    assert_eq!(own("runtime-simulation"), told);
    // What knocks at the doors knows the doors, and nobody knows it.
    let knocking = own("factory-runtime-fuzz");
    for door in
        ["runtime-domain", "runtime-http", "runtime-http-prober", "runtime-oci-layout", "runtime-oidc"]
    {
        assert!(knocking.contains(door), "{door} is not knocked at");
    }
    for name in family.keys() {
        assert!(!own(name).contains("factory-runtime-fuzz"), "{name} knows what knocks at it");
    }
}

#[test]
fn the_domain_depends_on_eight_pure_crates_and_on_no_standard_library() {
    let allowed = ["chrono", "chrono-tz", "schemars", "serde", "serde_json", "sha2", "thiserror", "uuid"]
        .map(str::to_owned);
    assert_eq!(dependencies().get("runtime-domain"), Some(&BTreeSet::from(allowed)));
    let lib = std::fs::read_to_string(root().join("runtime-domain/src/lib.rs")).expect("the domain's root");
    assert!(lib.lines().any(|line| line == "#![no_std]"), "the domain is no_std");
    for file in rust_files(&root().join("runtime-domain/src")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        // The museum asks the environment which of its bugs is out, in no ordinary build.
        let text = text.replace("#[cfg(bug = \"any\")]\nextern crate std;", "");
        let named = text.lines().find(|line| line.trim_start().starts_with("extern crate std"));
        assert_eq!(named, None, "{} brings the standard library back", file.display());
    }
}

#[test]
fn modules_are_files_beside_their_folder() {
    let folders = [
        "runtime-domain",
        "runtime-ports",
        "runtime-services",
        "runtime-simulation",
        "runtime-testkit",
        "runtime-adapters",
        "src",
        "fuzz",
        "tests/fuzz",
    ];
    let files = folders.iter().flat_map(|folder| rust_files(&root().join(folder)));
    let strays: Vec<PathBuf> =
        files.filter(|file| file.file_name().is_some_and(|name| name == "mod.rs")).collect();
    assert_eq!(strays, Vec::<PathBuf>::new());
}

#[test]
fn every_context_of_the_domain_has_the_same_rooms() {
    for context in [
        "environment",
        "deployment",
        "inventory",
        "configuration",
        "secrets",
        "tenancy",
        "health",
        "scaling",
        "drift",
    ] {
        for room in
            ["state.rs", "command.rs", "event.rs", "decide.rs", "evolve.rs", "refusal.rs", "record.rs"]
        {
            let file = root().join("runtime-domain/src").join(context).join(room);
            assert!(file.is_file(), "{} is missing", file.display());
        }
    }
}

/// Shows X-11: what a secret is worth goes from a vault to a workload, past everything that decides, stores, logs or answers.
#[test]
fn no_secrets_value_passes_through_domain_services_or_facade() {
    for folder in ["runtime-domain/src", "runtime-services/src", "src"] {
        for file in rust_files(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            // The reconciler's test has a vault of its own, which gives nothing away.
            // The port's types, and its call; a refusal of the configuration is named like one of them.
            let named = ["secret_store::SecretValue", "SecretValue::new", "SecretSink", ".deliver(&access"]
                .into_iter()
                .find(|name| text.contains(name));
            let is_test = file.ends_with("reconcile/secrets/tests.rs");
            assert!(named.is_none() || is_test, "{} knows {named:?}", file.display());
        }
    }
}

/// Chance decides nothing in the services: a simulation of the same seed tells the same story.
#[test]
fn what_is_ready_together_is_taken_in_a_fixed_order() {
    let mut choices = 0;
    for file in rust_files(&root().join("runtime-services/src")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for choice in text.split("select! {").skip(1) {
            choices += 1;
            let is_fixed = choice.trim_start().starts_with("biased;");
            assert!(
                is_fixed || file.ends_with("tests.rs"),
                "{}: begin `select!` with `biased;`",
                file.display()
            );
        }
    }
    assert!(choices > 10, "the choices are found");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
