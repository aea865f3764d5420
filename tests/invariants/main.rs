//! INVARIANTS.md is generated from the code: each rule's number and text from `Rule`, where it is kept from the bullets of the
//! contexts' docs, and the tests that show it from the lines above them.
//!
//! `UPDATE_INVARIANTS=1 cargo test --test invariants` writes the page; without it, a page that is not what the code says is a failure.
//! GRAVEYARD.md is made in the same way: see `graveyard.rs`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use factory_runtime::domain::refusal::Rule;

use sources::{documented, documents, sources, written};

mod graveyard;
mod sources;

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

/// `**DEP-3** (claim, check): how` of a bullet's text.
fn bullet(text: &str) -> Option<(String, BTreeSet<String>, String)> {
    let (number, rest) = text.strip_prefix("**")?.split_once("** (")?;
    let (by, how) = rest.split_once("):")?;
    let by = by.split(',').map(|word| word.trim().to_owned()).collect();
    Some((number.to_owned(), by, how.trim().to_owned()))
}

fn read(file: &str, text: &str, found: &mut Found) {
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(text) = documented(line) else { continue };
        if let Some(begun) = text.strip_prefix("- ") {
            let wrapped = lines.iter().skip(index + 1).map_while(|line| {
                documented(line).filter(|text| text.starts_with("  ")).map(|text| text.trim().to_owned())
            });
            let whole = wrapped.fold(begun.to_owned(), |whole, line| whole + " " + &line);
            if let Some((number, by, how)) = bullet(&whole) {
                found.kept.entry(number).or_default().push(Kept { by, how, file: file.to_owned() });
            }
        } else if let Some(numbers) = shown(&text) {
            let test = documents(&lines, index, file);
            for number in numbers {
                found.shown.entry(number).or_default().insert((test.to_owned(), file.to_owned()));
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

fn found() -> Found {
    let mut found = Found::default();
    for (file, text) in sources() {
        read(&file, &text, &mut found);
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
    written("INVARIANTS.md", &page(&found()), "UPDATE_INVARIANTS");
}
