//! The images that the suite pushes, and what is looked at once they are unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runtime_domain::component::ImageReference;
use runtime_ports::registry::Bundle;

use crate::conformance::{Failure, Outcome, ensure, equal};

/// An image that is to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleImage {
    /// Its name, which has a tag and no digest.
    pub reference: ImageReference,
    /// Its regular files, by their path below the image's root.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What is run: the first is one of the files, as an absolute path, and may be executed.
    pub entrypoint: Vec<String>,
    /// The default arguments.
    pub arguments: Vec<String>,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// Where it is run, as an absolute path.
    pub working_directory: String,
}

pub(super) fn named(reference: &str) -> Result<ImageReference, Failure> {
    ImageReference::new(reference).map_err(|error| Failure::new(error.to_string()))
}

/// An image whose files hold `text`; two of different text share a file.
pub(super) fn image(reference: &str, text: &str) -> Result<SampleImage, Failure> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    // Bytes that no text has, and more than one buffer of them.
    let large: Vec<u8> = [text.as_bytes(), &[0, 255]].concat().repeat(12_000);
    Ok(SampleImage {
        reference: named(reference)?,
        files: BTreeMap::from([
            ("app/run".to_owned(), format!("#!/bin/sh\necho {text}\n").into_bytes()),
            ("app/data/large".to_owned(), large),
            ("app/empty".to_owned(), Vec::new()),
            ("app/shared".to_owned(), b"of both".to_vec()),
        ]),
        entrypoint: words(&["/app/run", "--always"]),
        arguments: words(&["--text", "two words"]),
        variables: BTreeMap::from([
            ("TEXT".to_owned(), text.to_owned()),
            ("ODD".to_owned(), "a=b 'c'".to_owned()),
        ]),
        working_directory: "/app/data".to_owned(),
    })
}

/// Everything below a folder: folders with a slash, links with an `@`.
pub(super) fn below(folder: &Path) -> Result<Vec<String>, Failure> {
    let fault = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let (mut found, mut folders) = (Vec::new(), vec![(folder.to_owned(), String::new())]);
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let (kind, name) = (entry.file_type().map_err(fault)?, entry.file_name());
            let name = format!("{prefix}{}", name.to_string_lossy());
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            }
            let mark = if kind.is_dir() {
                "/"
            } else if kind.is_symlink() {
                "@"
            } else {
                ""
            };
            found.push(format!("{name}{mark}"));
        }
    }
    found.sort();
    Ok(found)
}

/// That a folder holds an image's files, and nothing else.
pub(super) fn holds(root: &Path, image: &SampleImage) -> Outcome {
    let found: Vec<String> = below(root)?.into_iter().filter(|name| !name.ends_with('/')).collect();
    equal("the files", found, image.files.keys().cloned().collect())?;
    for (name, content) in &image.files {
        let there = fs::read(root.join(name)).map_err(|error| Failure::new(format!("{name}: {error}")))?;
        ensure(there == *content, format!("`{name}` holds {} bytes that were not pushed", there.len()))?;
    }
    Ok(())
}

#[cfg(unix)]
fn may_be_executed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn may_be_executed(path: &Path) -> bool {
    path.is_file()
}

/// That a bundle says what was pushed, and is where it was asked for.
pub(super) fn says(bundle: &Bundle, image: &SampleImage, destination: &Path) -> Outcome {
    equal("the root", bundle.root.as_path(), destination)?;
    equal("the entry point", &bundle.entrypoint, &image.entrypoint)?;
    equal("the arguments", &bundle.arguments, &image.arguments)?;
    equal("how many variables", bundle.variables.len(), image.variables.len())?;
    equal("the variables", &bundle.variables.iter().cloned().collect(), &image.variables)?;
    let working = Path::new(image.working_directory.trim_start_matches('/'));
    equal("the working directory", bundle.working_directory.as_path(), working)?;
    ensure(bundle.root.join(working).is_dir(), "the working directory is not there")?;
    let run = image.entrypoint.first().map(|path| path.trim_start_matches('/')).unwrap_or_default();
    ensure(may_be_executed(&bundle.root.join(run)), format!("`{run}` may not be executed"))
}
