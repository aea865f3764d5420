//! What the sources say of themselves.

use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, Type};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The items of a file.
pub fn items(path: &str) -> Vec<Item> {
    let text =
        std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} is read: {error}"));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{path} is Rust: {error}")).items
}

/// The items of every file below a folder, in the order of the files' names, tests left out.
pub fn items_below(folder: &str) -> Vec<Item> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    let text = |file: &PathBuf| std::fs::read_to_string(file).expect("a source file");
    files.iter().flat_map(|file| syn::parse_file(&text(file)).expect("Rust").items).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_none_or(|name| name != "tests.rs")
        {
            files.push(path);
        }
    }
}

/// The documentation of an item: its first paragraph, and what its section `Errors` says, each as one line without links.
pub fn documented(attributes: &[Attribute]) -> (String, String) {
    let (mut first, mut errors) = (Vec::new(), Vec::new());
    let (mut is_first, mut is_errors) = (true, false);
    for line in attributes.iter().filter_map(doc_line) {
        let line = line.trim();
        if let Some(section) = line.strip_prefix("# ") {
            (is_first, is_errors) = (false, section == "Errors");
        } else if is_errors {
            errors.push(line.to_owned());
        } else if line.is_empty() {
            is_first = is_first && first.is_empty();
        } else if is_first {
            first.push(line.to_owned());
        }
    }
    (plain(&first.join(" ")), plain(errors.join(" ").trim()))
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// A text for a cell of a table: the links are taken out of it, and it does not end the cell.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((_, behind)) = after.split_once(')') else { break };
        match before.rsplit_once('[') {
            Some((front, label)) => plain.extend([front, label]),
            None => plain.push_str(before),
        }
        rest = behind;
    }
    plain.push_str(rest);
    plain.replace("[`", "`").replace("`]", "`").replace('|', "\\|").replace('<', "&lt;")
}

/// The name of a type that an `impl` is of.
pub fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}
