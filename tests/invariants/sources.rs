//! What the code says of itself: its files, its doc comments, and the tests that stand below them.

use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of Rust that may say something that a page is made of, by its name below the root, with its text.
pub fn sources() -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = [
        "runtime-domain",
        "runtime-ports",
        "runtime-services",
        "runtime-api",
        "runtime-adapters",
        "runtime-simulation",
        "runtime-testkit",
        "tests",
    ]
    .map(|folder| root().join(folder))
    .into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let named = |file: &PathBuf| file.strip_prefix(root()).expect("a file of ours").display().to_string();
    files.iter().map(|file| (named(file), std::fs::read_to_string(file).expect("a source file"))).collect()
}

/// The text of a doc line, with the links taken out of it.
pub fn documented(line: &str) -> Option<String> {
    let line = line.trim_start();
    let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))?;
    let mut plain = String::new();
    let mut rest = text.strip_prefix(' ').unwrap_or(text);
    while let Some((before, after)) = rest.split_once("](") {
        let Some((_, behind)) = after.split_once(')') else { break };
        plain.push_str(&before.replace('[', ""));
        rest = behind;
    }
    plain.push_str(&rest.replace("[`", "`").replace("`]", "`"));
    Some(plain)
}

/// The function that the doc line of this index stands above; for a file's own docs, the file.
pub fn documents<'a>(lines: &[&'a str], index: usize, file: &'a str) -> &'a str {
    if lines.get(index).is_some_and(|line| line.starts_with("//!")) {
        return Path::new(file).file_stem().and_then(|stem| stem.to_str()).expect("a file's name");
    }
    let below = lines.iter().skip(index + 1).map(|line| line.trim_start()).take(12);
    let function = below
        .take_while(|line| !line.starts_with('}'))
        .map(|line| ["pub ", "pub(crate) ", "pub(super) ", "async "].iter().fold(line, without))
        .find_map(|line| line.strip_prefix("fn "));
    let Some((name, _)) = function.and_then(|rest| rest.split_once(['(', '<'])) else {
        panic!("{file}:{}: no test stands below this line", index + 1)
    };
    name
}

fn without<'a>(line: &'a str, word: &&str) -> &'a str {
    line.strip_prefix(word).unwrap_or(line)
}

/// Writes a page where the variable is set, and fails otherwise where it is not what was made of the code.
pub fn written(page: &str, made: &str, variable: &str) {
    let path = root().join(page);
    if std::env::var_os(variable).is_some() {
        std::fs::write(&path, made).expect("the page is written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{page} is not what the code says: run `{variable}=1 cargo test --test invariants`"
    );
}
