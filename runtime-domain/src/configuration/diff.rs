//! What differs between two contents.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use crate::configuration::entry::in_words;
use crate::configuration::{
    ConfigScope, ConfigurationEntries, ConfigurationEntry, ConfigurationRefusal, ConfigurationValue, EntryKey,
};

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryChange {
    /// It is new.
    Added {
        /// What it holds.
        to: ConfigurationValue,
    },
    /// It is gone.
    Removed {
        /// What it held.
        from: ConfigurationValue,
    },
    /// It holds something else.
    Changed {
        /// What it held.
        from: ConfigurationValue,
        /// What it holds.
        to: ConfigurationValue,
    },
}

/// What differs between two contents, in order of scope and key. `Display` gives one line per change, marked `+`, `-` and `~`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationDiff {
    changes: Vec<(ConfigScope, EntryKey, EntryChange)>,
}

type Keyed<'e> = BTreeMap<(&'e ConfigScope, &'e EntryKey), &'e ConfigurationValue>;

fn keyed(entries: &ConfigurationEntries) -> Keyed<'_> {
    entries.as_slice().iter().map(|entry| ((&entry.scope, &entry.key), &entry.value)).collect()
}

impl ConfigurationDiff {
    /// What leads from `old` to `new`.
    pub fn between(old: &ConfigurationEntries, new: &ConfigurationEntries) -> Self {
        let (old, new) = (keyed(old), keyed(new));
        let places: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
        let change = |place| match (old.get(&place), new.get(&place)) {
            (None, Some(to)) => Some(EntryChange::Added { to: (*to).clone() }),
            (Some(from), None) => Some(EntryChange::Removed { from: (*from).clone() }),
            (Some(from), Some(to)) if from != to => {
                Some(EntryChange::Changed { from: (*from).clone(), to: (*to).clone() })
            }
            _ => None,
        };
        let changes = places
            .into_iter()
            .filter_map(|(scope, key)| Some((scope.clone(), key.clone(), change((scope, key))?)))
            .collect();
        Self { changes }
    }

    /// The changes, in order.
    pub fn changes(&self) -> &[(ConfigScope, EntryKey, EntryChange)] {
        &self.changes
    }

    /// True where nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes the changes to the content they were drawn from.
    ///
    /// # Errors
    /// CONTENT where `old` is not what the changes begin from, or a bound of contents is passed.
    pub fn apply(&self, old: &ConfigurationEntries) -> Result<ConfigurationEntries, ConfigurationRefusal> {
        let mut entries = keyed(old);
        for (scope, key, change) in &self.changes {
            let (from, to) = match change {
                EntryChange::Added { to } => (None, Some(to)),
                EntryChange::Removed { from } => (Some(from), None),
                EntryChange::Changed { from, to } => (Some(from), Some(to)),
            };
            if entries.remove(&(scope, key)) != from {
                return Err(ConfigurationRefusal::OtherBasis { scope: scope.clone(), key: key.clone() });
            }
            if let Some(to) = to {
                entries.insert((scope, key), to);
            }
        }
        let entry = |((scope, key), value): ((&ConfigScope, &EntryKey), &ConfigurationValue)| {
            ConfigurationEntry { scope: scope.clone(), key: key.clone(), value: value.clone() }
        };
        ConfigurationEntries::new(entries.into_iter().map(entry).collect())
    }
}

impl fmt::Display for ConfigurationDiff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scope, key, change) in &self.changes {
            match change {
                EntryChange::Added { to } => writeln!(formatter, "+ {scope} {key} = {}", in_words(to))?,
                EntryChange::Removed { from } => writeln!(formatter, "- {scope} {key} = {}", in_words(from))?,
                EntryChange::Changed { from, to } => {
                    writeln!(formatter, "~ {scope} {key} = {} (was {})", in_words(to), in_words(from))?;
                }
            }
        }
        Ok(())
    }
}
