//! A canary: a known secret, looked for wherever no secret may be (X-11).
//!
//! Let a flow of your own host use [`Canary::value`] as a secret, keep what it says ([`Captured`] takes logs at trace level), and scan
//! that, its folders and the command lines of its processes. What is found is told with its place and encoding, never with its value.
//!
//! ```
//! use runtime_testkit::canary::Canary;
//!
//! let canary = Canary::new(b"bluethroat+/ \"17\"&sings").unwrap();
//! assert!(canary.in_text("an answer", "all is well").is_empty());
//! let told = canary.in_text("an error", r#"{"cause":"bluethroat+/ \"17\"&sings"}"#);
//! assert_eq!(told[0].to_string(), "an error, as JSON");
//! ```
//!
//! A scan that finds nothing shows something only if it would have found it: plant a leak in each of the places that you scan, too.

use std::collections::BTreeSet;
use std::fmt::{self, Debug, Write as _};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

mod encoding;

use encoding::patterns;

/// How a value is written where it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Base64 of RFC 4648, wherever in a longer text it begins.
    Base64,
    /// Base64url, likewise.
    Base64Url,
    /// Hexadecimal digits, lower or upper case.
    Hex,
    /// Percent-encoded, as a URL's path, query or form writes it, or every byte.
    Percent,
    /// As a JSON text escapes it.
    Json,
    /// As Rust's `Debug` writes bytes: `[98, 108, …]`.
    DebugBytes,
    /// UTF-16, in either order of bytes.
    Utf16,
    /// Backwards.
    Reversed,
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "plain text",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Hex => "hexadecimal digits",
            Self::Percent => "percent-encoded text",
            Self::Json => "JSON",
            Self::DebugBytes => "a list of bytes",
            Self::Utf16 => "UTF-16",
            Self::Reversed => "text backwards",
        })
    }
}

/// Where the canary was found. It does not say what was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Where: a file's path, `process 17's command line`, or as the caller named it.
    pub place: String,
    /// How it was written there.
    pub encoding: Encoding,
}

impl fmt::Display for Leak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, as {}", self.place, self.encoding)
    }
}

/// A value that is no canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryError;

impl fmt::Display for CanaryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a canary has 16 to 256 bytes: a shorter one is found by chance, a longer one is cut in two by a store's pages")
    }
}

impl std::error::Error for CanaryError {}

/// A known secret, and everything that it looks like.
pub struct Canary {
    value: Vec<u8>,
    patterns: Vec<(Encoding, Vec<u8>)>,
    search: Search,
}

impl Debug for Canary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Canary(…)")
    }
}

impl Canary {
    /// A canary of this value. Choose one with quotes, spaces, `+` and `/`, so that its encodings differ.
    ///
    /// # Errors
    /// It has fewer than 16 bytes or more than 256.
    pub fn new(value: &[u8]) -> Result<Self, CanaryError> {
        if !(16..=256).contains(&value.len()) {
            return Err(CanaryError);
        }
        let patterns = patterns(value);
        Ok(Self { value: value.to_vec(), search: Search::of(&patterns), patterns })
    }

    /// The value, to be used as a secret.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Every way in which the value is looked for: one of each encoding at least. To plant leaks with.
    pub fn written(&self) -> impl Iterator<Item = (Encoding, &[u8])> {
        self.patterns.iter().map(|(encoding, pattern)| (*encoding, pattern.as_slice()))
    }

    /// Looks through bytes.
    pub fn in_bytes(&self, place: &str, bytes: &[u8]) -> Vec<Leak> {
        let mut found = BTreeSet::new();
        for rest in self.search.candidates(bytes) {
            let begins = self.patterns.iter().filter(|(_, pattern)| rest.starts_with(pattern));
            found.extend(begins.map(|(encoding, _)| *encoding));
        }
        found.into_iter().map(|encoding| Leak { place: place.to_owned(), encoding }).collect()
    }

    /// Looks through a text.
    pub fn in_text(&self, place: &str, text: &str) -> Vec<Leak> {
        self.in_bytes(place, text.as_bytes())
    }

    /// Looks through what `Debug` writes of something, both ways.
    pub fn in_debug(&self, place: &str, what: &impl Debug) -> Vec<Leak> {
        self.in_text(place, &format!("{what:?}\n{what:#?}"))
    }

    /// Looks through an error and its causes, as `Display` and as `Debug`.
    pub fn in_error(&self, place: &str, error: &(dyn std::error::Error + 'static)) -> Vec<Leak> {
        let mut text = format!("{error:?}\n{error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{inner}\n{inner:?}");
            cause = inner.source();
        }
        self.in_text(place, &text)
    }

    /// Looks through every file below a folder, names and targets of links too, but not below `except`. What is removed meanwhile is passed over.
    ///
    /// # Errors
    /// A file could not be read: then nothing is shown.
    pub fn in_folder(&self, folder: &Path, except: &[PathBuf]) -> io::Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in passed_over(fs::read_dir(&folder))?.into_iter().flatten() {
                let path = entry?.path();
                if except.contains(&path) {
                    continue;
                }
                leaks.extend(self.in_text(&format!("the name {}", path.display()), &path.to_string_lossy()));
                let Some(found) = passed_over(fs::symlink_metadata(&path))? else { continue };
                if found.is_dir() {
                    folders.push(path);
                } else if found.is_symlink() {
                    let target = passed_over(fs::read_link(&path))?.unwrap_or_default();
                    leaks.extend(self.in_text(&path.display().to_string(), &target.to_string_lossy()));
                } else if found.is_file() {
                    leaks.extend(self.in_file(&path)?);
                }
            }
        }
        Ok(leaks)
    }

    /// Looks through a file, a part at a time.
    fn in_file(&self, path: &Path) -> io::Result<Vec<Leak>> {
        const PART: usize = 4 * 1024 * 1024;
        let longest = self.patterns.iter().map(|(_, pattern)| pattern.len()).max().unwrap_or(0);
        let Some(mut file) = passed_over(File::open(path))? else { return Ok(Vec::new()) };
        let mut found = BTreeSet::new();
        let mut bytes = Vec::with_capacity(PART + longest);
        loop {
            // What a part ends with may begin what the next one goes on with.
            let kept = bytes.len().min(longest);
            bytes.drain(..bytes.len() - kept);
            let limit = u64::try_from(PART).unwrap_or(u64::MAX);
            let read = file.by_ref().take(limit).read_to_end(&mut bytes)?;
            found.extend(self.in_bytes(&path.display().to_string(), &bytes));
            if read < PART {
                return Ok(found.into_iter().collect());
            }
        }
    }

    /// Looks through the command lines of every process of the machine that can be looked at, where the system shows them (Linux).
    ///
    /// # Errors
    /// The processes cannot be listed: then nothing is shown.
    pub fn in_command_lines(&self) -> io::Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(process) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            else {
                continue;
            };
            // A process that ends meanwhile has no command line any more.
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            leaks.extend(self.in_bytes(&format!("process {process}'s command line"), &line));
        }
        Ok(leaks)
    }
}

/// Nothing where what was looked at is gone meanwhile.
fn passed_over<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks for many patterns at once, as Wu and Manber do: two bytes tell how far on the next place is that any pattern can end its first
/// part at.
struct Search {
    /// The length of the shortest pattern.
    length: usize,
    /// By pairs of bytes.
    skips: Vec<u8>,
}

impl Search {
    fn of(patterns: &[(Encoding, Vec<u8>)]) -> Self {
        let length = patterns.iter().map(|(_, pattern)| pattern.len()).min().unwrap_or(2).clamp(2, 256);
        let longest = u8::try_from(length - 1).unwrap_or(u8::MAX);
        let mut skips = vec![longest; 1 << 16];
        for (_, pattern) in patterns {
            for (at, pair) in pattern.windows(2).take(length - 1).enumerate() {
                let rest = u8::try_from(length - 2 - at).unwrap_or(u8::MAX);
                if let Some(skip) = skips.get_mut(Self::pair(pair)) {
                    *skip = rest.min(*skip);
                }
            }
        }
        Self { length, skips }
    }

    fn pair(pair: &[u8]) -> usize {
        pair.iter().fold(0, |pair, byte| pair << 8 | usize::from(*byte))
    }

    /// Every place where a pattern may begin, and the rest may not.
    fn candidates<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let mut at = self.length - 2;
        std::iter::from_fn(move || {
            while let Some(pair) = bytes.get(at..at + 2) {
                let skip = self.skips.get(Self::pair(pair)).copied().map_or(1, usize::from);
                at += skip.max(1);
                if skip == 0 {
                    return bytes.get(at - 1 - (self.length - 2)..);
                }
            }
            None
        })
    }
}

/// Keeps everything that is written to it, such as logs. Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Debug for Captured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Captured").field("bytes", &self.bytes().len()).finish()
    }
}

impl Captured {
    /// Everything so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"bluethroat+/ \"17\"&sings";

    #[test]
    fn every_encoding_is_found_wherever_it_begins_and_by_its_name() {
        let canary = Canary::new(VALUE).unwrap();
        let encodings: BTreeSet<Encoding> = canary.written().map(|(encoding, _)| encoding).collect();
        assert_eq!(encodings.len(), 9);
        for (encoding, pattern) in canary.written() {
            for before in 0..40 {
                let text = [&vec![b'x'; before], pattern, b"yz"].concat();
                let found = canary.in_bytes("a place", &text);
                assert!(found.iter().any(|leak| leak.encoding == encoding), "{encoding} at {before}");
            }
        }
        assert_eq!(canary.in_bytes("a place", &vec![b'x'; 100_000]), []);
    }

    #[test]
    fn what_others_encode_is_found() {
        let canary = Canary::new(VALUE).unwrap();
        let text = str::from_utf8(VALUE).unwrap();
        assert!(!canary.in_text("json", &format!("{text:?}")).is_empty());
        assert!(!canary.in_text("bytes", &format!("{VALUE:?}")).is_empty());
        assert!(!canary.in_debug("bytes", &VALUE.to_vec()).is_empty());
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(!canary.in_bytes("wide", &wide).is_empty());
        // Of `xbluethroat…` and `xxbluethroat…`, as any encoder gives them.
        for whole in [
            "eGJsdWV0aHJvYXQrLyAiMTciJnNpbmdz",
            "eHhibHVldGhyb2F0Ky8gIjE3IiZzaW5ncw==",
            "Ymx1ZXRocm9hdCsvICIxNyImc2luZ3M=",
        ] {
            assert!(!canary.in_text("base64", whole).is_empty(), "{whole}");
        }
        assert!(!canary.in_text("a form", "q=bluethroat%2B%2F+%2217%22%26sings").is_empty());
        assert!(!canary.in_text("a path", "/bluethroat+/%20%2217%22&sings").is_empty());
    }

    #[test]
    fn a_file_is_looked_through_over_the_seams_of_its_parts() {
        let canary = Canary::new(VALUE).unwrap();
        let folder = std::env::temp_dir().join(format!("canary-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).unwrap();
        let mut bytes = vec![b'x'; 4 * 1024 * 1024 - 7];
        bytes.extend_from_slice(VALUE);
        fs::write(folder.join("inner/seam"), bytes).unwrap();
        let found = canary.in_folder(&folder, &[]).unwrap();
        let spared = canary.in_folder(&folder, &[folder.join("inner")]).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(spared, []);
    }

    #[test]
    fn a_canary_that_is_too_short_is_refused_and_none_shows_itself() {
        assert_eq!(Canary::new(b"short").unwrap_err(), CanaryError);
        let canary = Canary::new(VALUE).unwrap();
        assert_eq!(canary.in_debug("itself", &canary), []);
    }
}
