//! Paths inside an image: always relative to its root, always below it.

use std::path::{Path, PathBuf};

/// The longest path, in bytes. Shorter than the operating system's, to leave room for where the image is unpacked.
pub(crate) const LONGEST_PATH: usize = 1_024;
const LONGEST_PART: usize = 255;
const DEEPEST: usize = 128;

/// Which rule a layer's entry breaks, in words that complete "entry `…`: ".
pub(crate) type Rule = &'static str;

/// A path in normal form: no `.`, no `..`, no empty part, no leading slash. No parts at all is the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EntryPath {
    parts: Vec<String>,
}

impl EntryPath {
    pub(crate) const ROOT: Self = Self { parts: Vec::new() };

    /// Parses a layer entry's own path, or the target of a hard link.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Rule> {
        let text = std::str::from_utf8(bytes).map_err(|_| "its path is not UTF-8")?;
        if text.starts_with('/') {
            return Err("its path is absolute; it must be relative to the image's root");
        }
        let mut path = Self::ROOT;
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err("its path has a `..`, which could leave the image's root"),
                part => path.push(part)?,
            }
        }
        path.checked()
    }

    /// Where a symbolic link at this path leads, seen from the image's root; absolute targets begin at the image's root too.
    pub(crate) fn link_target(&self, target: &[u8]) -> Result<Self, Rule> {
        let text = std::str::from_utf8(target).map_err(|_| "its target is not UTF-8")?;
        if text.is_empty() {
            return Err("its target is empty");
        }
        let mut path = if text.starts_with('/') { Self::ROOT } else { self.parent() };
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    path.parts.pop().ok_or("its target leaves the image's root")?;
                }
                part => path.push(part)?,
            }
        }
        path.checked()
    }

    fn push(&mut self, part: &str) -> Result<(), Rule> {
        if part.contains('\0') {
            return Err("a part of the path has a null character");
        }
        if part.len() > LONGEST_PART {
            return Err("a part of the path is longer than 255 bytes");
        }
        self.parts.push(part.to_owned());
        Ok(())
    }

    fn checked(self) -> Result<Self, Rule> {
        if self.parts.len() > DEEPEST {
            return Err("the path is deeper than 128 folders");
        }
        if self.parts.iter().map(|part| part.len() + 1).sum::<usize>() > LONGEST_PATH {
            return Err("the path is longer than 1,024 bytes");
        }
        Ok(self)
    }

    pub(crate) fn is_root(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn parts(&self) -> &[String] {
        &self.parts
    }

    pub(crate) fn name(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    pub(crate) fn parent(&self) -> Self {
        let count = self.parts.len().saturating_sub(1);
        Self { parts: self.parts.iter().take(count).cloned().collect() }
    }

    /// The path of `name` in this folder. `name` comes from an entry path, or from the file system.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self { parts: self.parts.iter().cloned().chain([name.to_owned()]).collect() }
    }

    /// Every folder on the way here, the nearest to the root first, the root and this path left out.
    pub(crate) fn folders(&self) -> impl Iterator<Item = Self> {
        (1..self.parts.len()).map(|count| Self { parts: self.parts.iter().take(count).cloned().collect() })
    }

    pub(crate) fn is_below(&self, folder: &Self) -> bool {
        self.parts.len() > folder.parts.len() && self.parts.starts_with(&folder.parts)
    }

    pub(crate) fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(&self.parts);
        path
    }

    /// The text for a symbolic link at `link` that leads here: `..` first, then names.
    ///
    /// Of that form alone it is certain that it stays inside: the link's own folder is a real one, so each `..` climbs one real
    /// folder, and never climbs out of a folder that another link has led to.
    pub(crate) fn relative_to(&self, link: &Self) -> PathBuf {
        let folder = link.parent();
        let shared = self.parts.iter().zip(&folder.parts).take_while(|(one, other)| one == other).count();
        let mut path: PathBuf = (shared..folder.parts.len()).map(|_| "..").collect();
        path.extend(self.parts.iter().skip(shared));
        if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_path_that_could_leave_the_root_is_refused() {
        for text in ["..", "../a", "a/../../b", "a/..", "/etc/passwd", "//a", "a\0b", "./../a"] {
            assert!(EntryPath::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(EntryPath::parse(&[0xff, 0xfe]).is_err());
        assert!(EntryPath::parse("a/".repeat(200).as_bytes()).is_err());
        assert!(EntryPath::parse("a".repeat(256).as_bytes()).is_err());
        assert_eq!(path("./a//b/."), path("a/b"));
    }

    #[test]
    fn a_links_target_is_written_from_its_own_folder() {
        for (link, target, expected) in [
            ("bin/sh", "/usr/bin/dash", "../usr/bin/dash"),
            ("usr/lib/x", "x.1", "x.1"),
            ("usr/lib/x", "../../etc/x", "../../etc/x"),
            ("usr/lib/x", "../lib/y", "y"),
            ("a/self", ".", "."),
            ("root", "/", "."),
        ] {
            let written = path(link).link_target(target.as_bytes()).unwrap().relative_to(&path(link));
            assert_eq!(written, PathBuf::from(expected), "{link} -> {target}");
        }
        for target in ["../..", "../../etc/passwd", "/..", "/../etc", "x/../../../y", ""] {
            assert!(path("a/link").link_target(target.as_bytes()).is_err(), "{target:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_never_leaves_its_root(text in "[a./\\\\]{0,24}") {
            if let Ok(path) = EntryPath::parse(text.as_bytes()) {
                let root = Path::new("/root");
                prop_assert!(path.under(root).starts_with(root));
                prop_assert!(!path.parts().iter().any(|part| part == ".." || part.contains('/')));
            }
        }

        #[test]
        fn a_links_text_climbs_no_further_than_the_root(link in "[ab]{1,2}(/[ab]{1,2}){0,4}", target in "[ab./]{1,16}") {
            let link = path(&link);
            if let Ok(target) = link.link_target(target.as_bytes()) {
                let text = target.relative_to(&link);
                let parts: Vec<_> = text.components().map(|part| part.as_os_str().to_owned()).collect();
                let climbs = parts.iter().take_while(|part| *part == "..").count();
                prop_assert!(climbs < link.parts().len());
                prop_assert!(parts.iter().skip(climbs).all(|part| part != ".."));
            }
        }
    }
}
