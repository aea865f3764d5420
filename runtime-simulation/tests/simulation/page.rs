//! Whether what PROOF.md says can be run.

use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below a folder, as one text.
fn sources(folder: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(folder) else { return String::new() };
    let of = |path: &Path| {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() {
            sources(path)
        } else if is_rust {
            read(path)
        } else {
            String::new()
        }
    };
    entries.map(|entry| of(&entry.unwrap().path())).collect()
}

/// The folder of a package that is a member of the workspace.
fn package(name: &str) -> Option<std::path::PathBuf> {
    let workspace = read(&root().join("Cargo.toml"));
    let (_, members) = workspace.split_once("members = [")?;
    let (members, _) = members.split_once(']')?;
    let members =
        members.split('"').skip(1).step_by(2).map(|member| root().join(member.trim_end_matches("/*")));
    let below = |folder: std::path::PathBuf| {
        let inner = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        inner.chain([folder]).collect::<Vec<_>>()
    };
    let named = format!("name = \"{name}\"");
    members.flat_map(below).find(|folder| {
        std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains(&named))
    })
}

/// What of a command does not exist, if anything.
fn missing(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().skip_while(|word| word.contains('=')).collect();
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag)?;
        words.get(at + 1).copied()
    };
    let first = words.first()?;
    if *first != "cargo" {
        return (!root().join(first).is_file()).then(|| format!("the script {first}"));
    }
    let name = after("-p")?;
    let Some(folder) = package(name) else { return Some(format!("the package {name}")) };
    let test = after("--test")?;
    let (own, file) = (folder.join("tests").join(test), folder.join("tests").join(format!("{test}.rs")));
    let source = if own.is_dir() { sources(&own) } else { std::fs::read_to_string(file).unwrap_or_default() };
    if source.is_empty() {
        return Some(format!("the test {test} of {name}"));
    }
    let exact = after("--exact")?;
    let function = exact.rsplit("::").next().unwrap_or(exact);
    (!source.contains(&format!("fn {function}("))).then(|| format!("the test {exact} in {test} of {name}"))
}

/// The commands in a page.
fn commands(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("cargo test ") || text.starts_with("scripts/")).collect()
}

#[test]
fn every_command_of_the_page_of_what_was_run_can_be_run() {
    let page = read(&root().join("PROOF.md"));
    let commands = commands(&page);
    assert!(commands.len() >= 5, "{commands:?}");
    let missing: Vec<String> = commands.iter().filter_map(|command| missing(command)).collect();
    assert!(missing.is_empty(), "PROOF.md names what is not there: {missing:?}; run scripts/proof");
}

#[test]
fn a_command_that_cannot_be_run_is_found() {
    let simulation = "A=1 cargo test --profile proof -p runtime-simulation --test simulation -- --exact";
    assert_eq!(
        missing(&format!("{simulation} page::a_command_that_cannot_be_run_is_found --nocapture")),
        None
    );
    assert!(missing(&format!("{simulation} nobody_wrote_this")).is_some());
    assert!(missing("cargo test -p nobody --test matrix").is_some());
    assert!(missing("cargo test -p runtime-services --test nobody").is_some());
    assert!(missing("scripts/nobody").is_some());
}
