//! What a component gets of a version.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::component::{ConfigurationVersionRef, VariableName};
use crate::configuration::{
    Checksum, ConfigVersion, ConfigurationEntries, ConfigurationEntry, ConfigurationValue, EntryKey,
    RuntimeConfiguration, SecretReference,
};
use crate::id::{ConfigurationId, TenantId};
use crate::value::ModuleId;

/// What one component gets of a version of its environment's configuration: the entries that hold for it, under the whole version's name.
///
/// It is all that a surface needs, so that a surface never asks a store. A reference to a secret stays one (CFG-2): whoever delivers
/// secrets resolves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveredConfiguration {
    configuration: ConfigurationId,
    version: ConfigVersion,
    checksum: Checksum,
    entries: ConfigurationEntries,
}

/// Why entries cannot be environment variables. It names keys, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VariableError {
    /// A key makes no variable.
    #[error(
        "`{key}` makes no environment variable: rename it (`FACTORY_` is the runtime's own), or deliver the configuration as a file only"
    )]
    Key {
        /// The key.
        key: EntryKey,
    },
    /// Two keys make the same variable.
    #[error(
        "`{one}` and `{other}` make the same environment variable: rename one, or deliver the configuration as a file only"
    )]
    Twice {
        /// A key.
        one: EntryKey,
        /// The other one.
        other: EntryKey,
    },
    /// A text cannot be one.
    #[error(
        "what `{key}` holds has a zero byte, which no environment variable can: deliver the configuration as a file only"
    )]
    Zero {
        /// The key.
        key: EntryKey,
    },
}

impl RuntimeConfiguration {
    /// What a release's tuple names this version by.
    pub fn version_ref(&self) -> ConfigurationVersionRef {
        ConfigurationVersionRef { configuration: self.configuration_id, checksum: self.checksum.clone() }
    }

    /// What a component gets of this version, and for a tenant where it works for one.
    pub fn delivered(&self, module: &ModuleId, tenant: Option<TenantId>) -> DeliveredConfiguration {
        DeliveredConfiguration {
            configuration: self.configuration_id,
            version: self.version,
            checksum: self.checksum.clone(),
            entries: self.entries.prevailing(module, tenant),
        }
    }
}

impl DeliveredConfiguration {
    /// The version's identifier.
    pub fn configuration(&self) -> ConfigurationId {
        self.configuration
    }

    /// The version's number. A surface gives an instance nothing older than what it has.
    pub fn version(&self) -> ConfigVersion {
        self.version
    }

    /// The checksum of the whole version, by which an instance tells what it runs with.
    pub fn checksum(&self) -> &Checksum {
        &self.checksum
    }

    /// What a release's tuple names it by.
    pub fn to_version_ref(&self) -> ConfigurationVersionRef {
        ConfigurationVersionRef { configuration: self.configuration, checksum: self.checksum.clone() }
    }

    /// What holds, by key.
    pub fn values(&self) -> BTreeMap<&EntryKey, &ConfigurationValue> {
        self.entries.as_slice().iter().map(|entry| (&entry.key, &entry.value)).collect()
    }

    /// The secrets that are referred to, by key.
    pub fn secrets(&self) -> BTreeMap<&EntryKey, &SecretReference> {
        let secrets = self.entries.as_slice().iter().filter_map(|entry| match &entry.value {
            ConfigurationValue::Secret(reference) => Some((&entry.key, reference)),
            _ => None,
        });
        secrets.collect()
    }

    /// Whether a component that gets the one gets nothing else by the other, whatever their versions.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.values() == other.values()
    }

    /// The file that an instance reads: a JSON object of `version` (a number), `checksum`, and `entries` (by key). Numbers are exact; a secret
    /// is an object with `secret`, the reference's text.
    pub fn document(&self) -> String {
        let quoted = |text: &str| serde_json::Value::String(text.to_string()).to_string();
        let entries = self.values().into_iter().map(|(key, value)| {
            let value = match value {
                ConfigurationValue::Text(text) => quoted(text),
                ConfigurationValue::Number(number) => number.to_string(),
                ConfigurationValue::Boolean(boolean) => boolean.to_string(),
                ConfigurationValue::Json(document) => document.to_string(),
                ConfigurationValue::Secret(reference) => {
                    format!("{{\"secret\":{}}}", quoted(&reference.to_string()))
                }
            };
            format!("{}:{value}", quoted(key.as_str()))
        });
        let entries: alloc::vec::Vec<String> = entries.collect();
        let (version, checksum) = (self.version.get(), quoted(self.checksum.as_str()));
        format!("{{\"version\":{version},\"checksum\":{checksum},\"entries\":{{{}}}}}\n", entries.join(","))
    }

    /// The entries as environment variables, secrets left out: of a key, `.` and `:` become `__`, and `-` becomes `_`. Texts are as they are;
    /// numbers, booleans and JSON as JSON writes them.
    ///
    /// # Errors
    /// A key makes no variable, two make the same one, or a text has a zero byte.
    pub fn variables(&self) -> Result<BTreeMap<VariableName, String>, VariableError> {
        let mut variables = BTreeMap::new();
        let mut sources: BTreeMap<VariableName, &EntryKey> = BTreeMap::new();
        for (key, value) in self.values() {
            let text = match value {
                ConfigurationValue::Text(text) => text.clone(),
                ConfigurationValue::Number(number) => number.to_string(),
                ConfigurationValue::Boolean(boolean) => boolean.to_string(),
                ConfigurationValue::Json(document) => document.to_string(),
                ConfigurationValue::Secret(_) => continue,
            };
            if text.contains('\0') {
                return Err(VariableError::Zero { key: key.clone() });
            }
            let name = key.as_str().replace(['.', ':'], "__").replace('-', "_");
            let name = VariableName::new(&name).map_err(|_| VariableError::Key { key: key.clone() })?;
            match sources.entry(name.clone()) {
                Entry::Occupied(taken) => {
                    return Err(VariableError::Twice { one: (*taken.get()).clone(), other: key.clone() });
                }
                Entry::Vacant(free) => free.insert(key),
            };
            variables.insert(name, text);
        }
        Ok(variables)
    }
}

impl ConfigurationEntries {
    /// The entries that hold for a component, each key once: a part of these, checked as these were.
    fn prevailing(&self, module: &ModuleId, tenant: Option<TenantId>) -> Self {
        let strongest: BTreeMap<&EntryKey, &ConfigurationEntry> =
            self.holding(module, tenant).map(|entry| (&entry.key, entry)).collect();
        self.only(|entry| strongest.get(&entry.key).is_some_and(|strong| strong.scope == entry.scope))
    }
}
