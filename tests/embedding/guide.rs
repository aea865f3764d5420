//! The guide names what is there, and shows what works.

use std::path::Path;

use factory_runtime::manifest;

use crate::source::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} is read: {error}"))
}

/// Every page for people, but for the generated ones, which are made of the code.
fn pages() -> Vec<String> {
    let mut pages =
        ["README.md", "ARCHITECTURE.md", "COMPARE.md", "CONTRIBUTING.md"].map(str::to_owned).to_vec();
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else if Path::new(&path).extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut broken = Vec::new();
    let pages = pages();
    assert!(pages.len() > 10, "the pages are found: {pages:?}");
    for page in &pages {
        let folder = Path::new(page).parent().unwrap_or(Path::new(""));
        for link in read(page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !root().join(folder).join(file).exists() {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_scenario_that_is_compared_is_a_test_that_names_its_issue() {
    let compared = read("COMPARE.md");
    let rows: Vec<&str> =
        compared.lines().filter(|line| line.starts_with("| ") && line.contains('#')).collect();
    assert_eq!(rows.len(), 8, "the table is found: {rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [issue, _, _, test] = cells.as_slice() else { panic!("{row} has four cells") };
        let number: String =
            issue.split('#').nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
        let test = test.trim_matches('`');
        assert!(read(test).contains(&number), "{test} does not name {issue}");
    }
}

#[test]
fn the_tutorials_program_is_the_example_that_is_run() {
    let page = read("docs/tutorial.md");
    let told = page.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```\n").next()).unwrap();
    let example = read("examples/tutorial/main.rs");
    let (_, program) = example.split_once("#![allow(").unwrap();
    let (_, program) = program.split_once('\n').unwrap();
    assert_eq!(told.trim(), program.trim(), "copy examples/tutorial/main.rs into docs/tutorial.md");
}

#[test]
fn the_manifest_of_the_guide_is_one() {
    let page = read("docs/how-to/deploy.md");
    let (_, rest) = page.split_once("const RELEASE: &str = \"").unwrap();
    let (yaml, _) = rest.split_once("\";").unwrap();
    let manifest = manifest::parse(yaml).unwrap();
    assert_eq!((manifest.components.len(), manifest.gates.len()), (1, 2));
}
