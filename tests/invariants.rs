//! INVARIANTS.md is generated from the code: each rule's number and text from `Rule`, where it is kept from the bullets of the
//! contexts' docs, and the tests that show it from the lines above them.
//!
//! `UPDATE_INVARIANTS=1 cargo test --test invariants` writes the page; without it, a page that is not what the code says is a failure.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use factory_runtime::domain::refusal::Rule;

const PAGE: &str = "INVARIANTS.md";

const INTRODUCTION: &str = "# Invariants\n\n\
    Generated from the code by `UPDATE_INVARIANTS=1 cargo test --test invariants`; do not edit. Each rule of the specification: where it is kept, and\n\
    the tests that fail when it is not.\n\n\
    | kept by | means |\n|---|---|\n\
    | type | what breaks the rule cannot be written down, or is refused where it is parsed |\n\
    | evidence | a command consumes a proof that only the aggregate which knows hands out; the commit re-checks its revision |\n\
    | claim | the store refuses a commit whose exclusive key another aggregate holds |\n\
    | check | decided against the state, and checked again when a record is loaded |\n";

/// One bullet `- **DEP-3** (claim): …` of a module's docs.
struct Kept {
    by: BTreeSet<String>,
    how: String,
    file: String,
}

#[derive(Default)]
struct Found {
    kept: BTreeMap<String, Vec<Kept>>,
    shown: BTreeMap<String, BTreeSet<(String, String)>>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [
        "runtime-domain",
        "runtime-ports",
        "runtime-services",
        "runtime-adapters",
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
    files
}

/// The text of a doc line, with the links taken out of it.
fn documented(line: &str) -> Option<String> {
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

/// `**DEP-3** (claim, check): how` of a bullet's text.
fn bullet(text: &str) -> Option<(String, BTreeSet<String>, String)> {
    let (number, rest) = text.strip_prefix("**")?.split_once("** (")?;
    let (by, how) = rest.split_once("):")?;
    let by = by.split(',').map(|word| word.trim().to_owned()).collect();
    Some((number.to_owned(), by, how.trim().to_owned()))
}

fn read(file: &Path, found: &mut Found) {
    let text = std::fs::read_to_string(file).expect("a source file");
    let name = file.strip_prefix(root()).expect("a file of ours").display().to_string();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(text) = documented(line) else { continue };
        if let Some(begun) = text.strip_prefix("- ") {
            let wrapped = lines.iter().skip(index + 1).map_while(|line| {
                documented(line).filter(|text| text.starts_with("  ")).map(|text| text.trim().to_owned())
            });
            let whole = wrapped.fold(begun.to_owned(), |whole, line| whole + " " + &line);
            if let Some((number, by, how)) = bullet(&whole) {
                found.kept.entry(number).or_default().push(Kept { by, how, file: name.clone() });
            }
        } else if let Some(numbers) = shown(&text) {
            let test = shown_by(&lines, index, file);
            for number in numbers {
                found.shown.entry(number).or_default().insert((test.clone(), name.clone()));
            }
        }
    }
}

/// The numbers of a line `Shows DEP-3, X-1.`
fn shown(text: &str) -> Option<Vec<String>> {
    let is_number = |number: &str| {
        let (letters, digits) = number.split_once('-')?;
        let is_one = letters.bytes().all(|byte| byte.is_ascii_uppercase()) && digits.parse::<u8>().is_ok();
        is_one.then(|| number.to_owned())
    };
    text.strip_prefix("Shows ")?.strip_suffix('.')?.split(", ").map(is_number).collect()
}

/// The function that the doc line stands above; for a compile-fail test, the file.
fn shown_by(lines: &[&str], index: usize, file: &Path) -> String {
    if lines.get(index).is_some_and(|line| line.starts_with("//!")) {
        return file.file_stem().expect("a file's name").to_string_lossy().into_owned();
    }
    let after = lines.iter().skip(index + 1).take(4);
    let function = after
        .filter_map(|line| {
            line.trim_start().strip_prefix("fn ").or_else(|| line.trim_start().strip_prefix("async fn "))
        })
        .next();
    let Some((name, _)) = function.and_then(|rest| rest.split_once('(')) else {
        panic!("{}:{}: no test stands below this line", file.display(), index + 1)
    };
    name.to_owned()
}

fn found() -> Found {
    let mut found = Found::default();
    for file in sources() {
        read(&file, &mut found);
    }
    found
}

fn page(found: &Found) -> String {
    let mut page = INTRODUCTION.to_owned();
    for rule in Rule::ALL.into_iter().filter(|rule| rule.is_numbered()) {
        write!(page, "\n## {rule}\n\n{}\n\n", rule.statement()).expect("text");
        for kept in found.kept.get(rule.number()).into_iter().flatten() {
            let by: Vec<&str> = kept.by.iter().map(String::as_str).collect();
            writeln!(page, "- *{}* (`{}`): {}", by.join(", "), kept.file, kept.how).expect("text");
        }
        page.push_str("\nShown by:\n\n");
        for (test, file) in found.shown.get(rule.number()).into_iter().flatten() {
            writeln!(page, "- `{test}` (`{file}`)").expect("text");
        }
    }
    page
}

#[test]
fn every_rule_says_where_it_is_kept_and_has_a_test_that_shows_it() {
    let found = found();
    let known: BTreeSet<&str> = Rule::ALL.into_iter().map(Rule::number).collect();
    let words = BTreeSet::from(["type", "evidence", "claim", "check"].map(str::to_owned));
    let mut missing = Vec::new();
    for rule in Rule::ALL.into_iter().filter(|rule| rule.is_numbered()) {
        if !found.kept.contains_key(rule.number()) {
            missing.push(format!("{rule}: no doc bullet says where it is kept"));
        }
        if !found.shown.contains_key(rule.number()) {
            missing.push(format!("{rule}: no test shows it"));
        }
    }
    for (number, kept) in &found.kept {
        for kept in kept.iter().filter(|kept| !kept.by.is_subset(&words) || !known.contains(number.as_str()))
        {
            missing.push(format!(
                "{}: `{number}` {:?} is no rule, or is kept by no known means",
                kept.file, kept.by
            ));
        }
    }
    // Rules of hosts, stores and workers (X-2, X-4, …) may be shown by tests too; they are no refusals.
    let is_rule = |number: &&String| known.contains(number.as_str()) || number.starts_with("X-");
    missing.extend(
        found.shown.keys().filter(|number| !is_rule(number)).map(|number| format!("{number} is no rule")),
    );
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_page_is_what_the_code_says() {
    let page = page(&found());
    let path = root().join(PAGE);
    if std::env::var_os("UPDATE_INVARIANTS").is_some() {
        std::fs::write(&path, page).expect("the page is written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "{PAGE} is not what the code says: run `UPDATE_INVARIANTS=1 cargo test --test invariants`"
    );
}
