//! GRAVEYARD.md is generated from the code: which bugs of others there are from `graveyard.txt`, and what happened there, what happens
//! here and the tests that show it from the lines above those tests.
//!
//! A test that shows a bug says `/// Buried: project#1, project#2. Theirs: what happened there. Ours: what happens here.`; one that shows it
//! too, in another place or more of it, says `/// Buried: project#1.`
//!
//! `UPDATE_GRAVEYARD=1 cargo test --test invariants` writes the page; without it, a page that is not what the code says is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::sources::{documented, documents, sources, written};

const LIST: &str = include_str!("graveyard.txt");

const INTRODUCTION: &str = "# Graveyard\n\n\
    Generated from the code by `UPDATE_GRAVEYARD=1 cargo test --test invariants`; do not edit. Bugs that others met, as they were reported, each with the tests\n\
    that fail where it happens here. Many were mended long ago, and being named is no verdict on a project: they were found because many people\n\
    rely on these systems, and told because their makers do so in public. We learnt from every one.\n";

/// What the tests say of one bug.
#[derive(Default)]
struct Grave {
    told: Vec<(String, String)>,
    tests: BTreeSet<(String, String)>,
}

fn sections() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    LIST.split("\n# ").skip(1).map(|section| {
        let (heading, lines) = section.split_once('\n').expect("lines below a heading");
        (heading, lines.lines().filter(|line| !line.is_empty()))
    })
}

/// The names of the bugs under each heading.
fn bugs() -> Vec<(&'static str, Vec<&'static str>)> {
    let of_bugs = sections().filter(|(heading, _)| *heading != "Projects");
    of_bugs.map(|(heading, lines)| (heading, lines.collect())).collect()
}

/// A bug's name, with a link to where it was told.
fn linked(name: &str) -> String {
    if let Some((project, number)) = name.split_once('#') {
        let mut projects =
            sections().filter(|(heading, _)| *heading == "Projects").flat_map(|(_, lines)| lines);
        let place = projects.find_map(|line| line.strip_prefix(project)?.strip_prefix(" = "));
        let place = place.unwrap_or_else(|| panic!("`{project}` is among the projects of graveyard.txt"));
        return format!("[{name}](https://github.com/{place}/issues/{number})");
    }
    match name.find("CVE-") {
        Some(number) => format!("[{name}](https://nvd.nist.gov/vuln/detail/{})", &name[number..]),
        None => name.to_owned(),
    }
}

/// The paragraph of a doc comment that begins with this line.
fn paragraph(lines: &[&str], index: usize) -> String {
    let texts = lines.iter().skip(index).map_while(|line| documented(line));
    let of_it = texts.enumerate().take_while(|(at, text)| *at == 0 || !is_another(text));
    let texts: Vec<String> = of_it.map(|(_, text)| text.trim().to_owned()).collect();
    texts.join(" ")
}

fn is_another(text: &str) -> bool {
    text.trim().is_empty() || text.starts_with("Shows ") || text.starts_with("Buried: ")
}

/// `a#1, b#2. Theirs: … Ours: …` as names, and what was told of them.
fn told(text: &str) -> (Vec<&str>, Option<(&str, &str)>) {
    let (names, told) = match text.split_once(". Theirs: ") {
        Some((names, told)) => {
            (names, Some(told.split_once(". Ours: ").expect("`Theirs: ….` is followed by `Ours: ….`")))
        }
        None => (text.trim_end_matches('.'), None),
    };
    (names.split(", ").collect(), told.map(|(theirs, ours)| (theirs, ours.trim_end_matches('.'))))
}

/// Whether what stands below this line is run by itself, or by every suite of conformance.
fn is_tried(lines: &[&str], index: usize, file: &str) -> bool {
    let above = lines.iter().skip(index).take_while(|line| !line.contains("fn "));
    let mut attributes = above.filter(|line| line.trim_start().starts_with("#["));
    file.starts_with("runtime-testkit/src/conformance/")
        || attributes.any(|line| line.contains("[test]") || line.contains("::test"))
}

fn graves() -> BTreeMap<String, Grave> {
    let mut graves: BTreeMap<String, Grave> = BTreeMap::new();
    for (file, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            // Doc comments of ours that explain these lines have them in backticks.
            if !documented(line).is_some_and(|text| text.starts_with("Buried: ")) {
                continue;
            }
            let paragraph = paragraph(&lines, index);
            let (names, told) = told(paragraph.trim_start_matches("Buried: "));
            let test = documents(&lines, index, &file);
            assert!(is_tried(&lines, index, &file), "{file}:{}: `{test}` is no test", index + 1);
            for name in names {
                let grave = graves.entry(name.to_owned()).or_default();
                grave.told.extend(told.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())));
                grave.tests.insert((test.to_owned(), file.clone()));
            }
        }
    }
    graves
}

fn page(graves: &BTreeMap<String, Grave>) -> String {
    let bugs = bugs();
    let all = bugs.iter().flat_map(|(_, names)| names);
    let shown = all.clone().filter(|name| graves.contains_key(**name)).count();
    let mut page = INTRODUCTION.to_owned();
    write!(page, "\n**{shown} of {}** are shown.\n", all.count()).expect("text");
    let cell = |text: &str| text.replace('|', "\\|");
    for (heading, names) in bugs {
        write!(page, "\n## {heading}\n\n| bug | there | here | shown by |\n|---|---|---|---|\n")
            .expect("text");
        for name in names {
            let Some(Grave { told, tests }) = graves.get(name) else { continue };
            let Some((theirs, ours)) = told.first() else { continue };
            let tests: Vec<String> =
                tests.iter().map(|(test, file)| format!("`{test}` (`{file}`)")).collect();
            let (theirs, ours, tests) = (cell(theirs), cell(ours), tests.join("<br>"));
            writeln!(page, "| {} | {theirs} | {ours} | {tests} |", linked(name)).expect("text");
        }
    }
    page
}

#[test]
fn every_bug_of_others_has_a_test_that_shows_it_and_says_once_what_is_theirs() {
    let (bugs, graves) = (bugs(), graves());
    let names: Vec<&str> = bugs.into_iter().flat_map(|(_, names)| names).collect();
    let known: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(known.len(), names.len(), "a bug is on the list once");
    let mut wrong = Vec::new();
    for name in names {
        match graves.get(name).map_or(0, |grave| grave.told.len()) {
            0 => wrong.push(format!("{name}: no test says what is theirs and what is ours")),
            1 => (),
            _ => wrong.push(format!("{name}: more than one test says what is theirs")),
        }
    }
    let strays = graves.keys().filter(|name| !known.contains(name.as_str()));
    wrong.extend(strays.map(|name| format!("{name} is not on the list")));
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_graveyard_is_what_the_code_says() {
    written("GRAVEYARD.md", &page(&graves()), "UPDATE_GRAVEYARD");
}
