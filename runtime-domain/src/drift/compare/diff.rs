//! A difference as it is shown and stored. It is for people: nothing reads a value back out of it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::drift::finding::hex;
use crate::drift::secrecy;

/// The most entries that a difference shows; more are counted.
pub const MOST_ENTRIES: usize = 200;
/// The longest value that is shown whole, in bytes; a longer one is told apart by its hash.
pub const LONGEST_SHOWN: usize = 512;
/// The longest path, in bytes.
pub const LONGEST_PATH: usize = 2_048;

/// One side of a difference. A redacted value is no text, so it can never be taken for a desired value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ShownValue {
    /// There is none, or only the default.
    Absent,
    /// There is one, and it is or may be a secret.
    Redacted,
    /// In canonical form, shortened where it is long.
    Text(String),
}

impl ShownValue {
    pub(in crate::drift) fn of(text: &str) -> Self {
        if secrecy::is_like_a_secret(text) {
            return Self::Redacted;
        }
        if text.len() <= LONGEST_SHOWN {
            return Self::Text(text.to_owned());
        }
        let hash = hex(&Sha256::digest(text.as_bytes()));
        let end = text.floor_char_boundary(LONGEST_SHOWN - 100);
        Self::Text(format!("{}… sha256:{hash}", text.get(..end).unwrap_or_default()))
    }

    fn is_kept(&self) -> bool {
        match self {
            Self::Absent | Self::Redacted => true,
            Self::Text(text) => text.len() <= LONGEST_SHOWN && !secrecy::is_like_a_secret(text),
        }
    }
}

/// One path at which desired and actual differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DiffEntry {
    /// Where, as `/spec/replicas`; `~1` stands for `/` and `~0` for `~`.
    pub path: String,
    /// What is desired.
    pub desired: ShownValue,
    /// What is there.
    pub actual: ShownValue,
}

/// A difference that has at least one entry, in the order of paths: "differs, but nowhere" cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "StoredDiff", into = "StoredDiff")]
pub struct NonEmptyDiff {
    entries: Vec<DiffEntry>,
    omitted: u32,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct StoredDiff {
    entries: Vec<DiffEntry>,
    omitted: u32,
}

impl From<NonEmptyDiff> for StoredDiff {
    fn from(NonEmptyDiff { entries, omitted }: NonEmptyDiff) -> Self {
        Self { entries, omitted }
    }
}

/// A stored difference is not one that a comparison makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a difference has 1 to {MOST_ENTRIES} entries in the order of paths, with unequal sides and without secrets"
)]
pub struct DiffError;

impl TryFrom<StoredDiff> for NonEmptyDiff {
    type Error = DiffError;

    fn try_from(StoredDiff { entries, omitted }: StoredDiff) -> Result<Self, DiffError> {
        let ordered = entries.is_sorted_by(|before, after| before.path < after.path);
        let full = entries.len() == MOST_ENTRIES;
        let sound = entries.iter().all(|entry| {
            let secret = entry.path.split('/').any(secrecy::is_secret_name);
            let shown =
                |value: &ShownValue| value.is_kept() && !(secret && matches!(value, ShownValue::Text(_)));
            entry.path.len() <= LONGEST_PATH
                && (entry.desired != entry.actual || entry.desired == ShownValue::Redacted)
                && shown(&entry.desired)
                && shown(&entry.actual)
        });
        let counted = !entries.is_empty() && entries.len() <= MOST_ENTRIES && (omitted == 0 || full);
        if ordered && sound && counted { Ok(Self { entries, omitted }) } else { Err(DiffError) }
    }
}

impl NonEmptyDiff {
    /// `None` where there are no entries. Paths are made unique by what they are read from.
    pub(in crate::drift) fn of(mut entries: Vec<DiffEntry>) -> Option<Self> {
        entries.sort();
        entries.dedup_by(|after, before| after.path == before.path);
        let omitted = entries.len().saturating_sub(MOST_ENTRIES);
        entries.truncate(MOST_ENTRIES);
        let omitted = u32::try_from(omitted).unwrap_or(u32::MAX);
        (!entries.is_empty()).then_some(Self { entries, omitted })
    }

    /// Where they differ, in the order of paths; never empty.
    pub fn entries(&self) -> &[DiffEntry] {
        &self.entries
    }

    /// How many more places there are than are shown.
    pub fn omitted(&self) -> u32 {
        self.omitted
    }
}
