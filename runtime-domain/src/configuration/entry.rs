//! Entries: typed values under keys, each in a scope.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::configuration::{Checksum, ConfigurationRefusal, Decimal, JsonDocument, secrecy};
use crate::id::{SecretBindingId, TenantId};
use crate::value::{ModuleId, Name};

/// Why something is no part of an entry. It never repeats what was written, which could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not a key.
    #[error(
        "this is not a key: write 1 to {} letters, digits and any of `._-:`, beginning with a letter or `_`, \
         ending in a letter, a digit or `_`",
        EntryKey::LONGEST
    )]
    Key,
    /// Not a scope.
    #[error(
        "this is not a scope: write `environment`, `service:` and a module, or `tenant:` and a tenant identifier"
    )]
    Scope,
    /// Not a number.
    #[error(
        "this is not a number: write a decimal such as 0.05 without leading zeros, of at most {} digits",
        Decimal::MOST_DIGITS
    )]
    Number,
    /// Not JSON.
    #[error("this is not JSON: write one JSON value, such as {{\"limit\":5}}")]
    Json,
    /// A key comes twice in an object.
    #[error("a key comes twice in a JSON object: write each key once")]
    JsonDuplicate,
    /// JSON lies too deep.
    #[error("the JSON lies more than {} levels deep: flatten it", JsonDocument::DEEPEST)]
    JsonTooDeep,
    /// JSON is too long.
    #[error("the JSON is longer than {} bytes: split it over several keys", JsonDocument::LONGEST)]
    JsonTooLong,
    /// Not a version of a secret.
    #[error(
        "this is not a secret's version: write 1 to {} letters, digits and any of `.-_`, as its vault names it",
        SecretReference::LONGEST_VERSION
    )]
    SecretVersion,
    /// The type and the value do not fit each other.
    #[error(
        "the value does not fit its type: write a string for `text`, a decimal for `number`, true or false for `boolean`, JSON for \
         `json`, and a binding (and a version, if one is pinned) for `secret`"
    )]
    Type,
}

/// The name of an entry: 1 to 128 letters, digits and any of `._-:`, beginning with a letter or `_`, and ending in a letter, a digit or
/// `_`. Upper and lower case differ. `.`, `:` and `__` are the usual ways to write levels; none has a meaning here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[A-Za-z_]([A-Za-z0-9._:-]{0,126}[A-Za-z0-9_])?$")))]
#[serde(try_from = "String", into = "String")]
pub struct EntryKey(String);

impl EntryKey {
    /// The longest key, in bytes.
    pub const LONGEST: usize = 128;

    /// Parses a key.
    ///
    /// # Errors
    /// As the type says what a key is.
    pub fn new(text: &str) -> Result<Self, EntryError> {
        let bytes = text.as_bytes();
        let legal = (1..=Self::LONGEST).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(byte))
            && bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
            && bytes.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if legal { Ok(Self(text.to_owned())) } else { Err(EntryError::Key) }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for EntryKey {
    type Err = EntryError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl TryFrom<String> for EntryKey {
    type Error = EntryError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<EntryKey> for String {
    fn from(key: EntryKey) -> Self {
        key.0
    }
}
impl fmt::Display for EntryKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// For whom an entry holds. The later of these wins where several hold: what one tenant was promised stands above what a service is set
/// to, which stands above what all share. No scope is of a service and a tenant together: a key that only one service reads makes the
/// tenant's scope that.
///
/// Written `environment`, `service:cart`, `tenant:ten_…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^(environment|service:[a-z]([a-z0-9-]{0,38}[a-z0-9])?|tenant:ten_[0-9a-f]{32})$")))]
#[serde(try_from = "String", into = "String")]
pub enum ConfigScope {
    /// Everything in the environment.
    Environment,
    /// One component, for every tenant.
    Service(ModuleId),
    /// One tenant, in every component.
    Tenant(TenantId),
}

impl ConfigScope {
    fn holds_for(&self, module: &ModuleId, tenant: Option<TenantId>) -> bool {
        match self {
            Self::Environment => true,
            Self::Service(service) => service == module,
            Self::Tenant(of) => Some(*of) == tenant,
        }
    }
}
impl fmt::Display for ConfigScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => formatter.write_str("environment"),
            Self::Service(module) => write!(formatter, "service:{module}"),
            Self::Tenant(tenant) => write!(formatter, "tenant:{tenant}"),
        }
    }
}
impl FromStr for ConfigScope {
    type Err = EntryError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "environment" => Ok(Self::Environment),
            Some(("service", module)) => Name::new(module).map(Self::Service).map_err(|_| EntryError::Scope),
            Some(("tenant", tenant)) => tenant.parse().map(Self::Tenant).map_err(|_| EntryError::Scope),
            _ => Err(EntryError::Scope),
        }
    }
}
impl TryFrom<String> for ConfigScope {
    type Error = EntryError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<ConfigScope> for String {
    fn from(scope: ConfigScope) -> Self {
        scope.to_string()
    }
}

/// A secret as configuration may name it: by its binding. What it is worth stays in its vault (CFG-2).
///
/// Displayed as the binding and, where a version is pinned, `@` and the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretReference {
    binding: SecretBindingId,
    version: Option<String>,
}

impl SecretReference {
    /// The longest version that can be pinned, in bytes.
    pub const LONGEST_VERSION: usize = 64;

    /// Whatever version the binding is at.
    pub fn to(binding: SecretBindingId) -> Self {
        Self { binding, version: None }
    }

    /// Exactly this version of the vault's.
    ///
    /// # Errors
    /// The version is not 1 to 64 letters, digits and any of `.-_`.
    pub fn pinned(binding: SecretBindingId, version: &str) -> Result<Self, EntryError> {
        let legal = (1..=Self::LONGEST_VERSION).contains(&version.len())
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if legal {
            Ok(Self { binding, version: Some(version.to_owned()) })
        } else {
            Err(EntryError::SecretVersion)
        }
    }

    /// The binding.
    pub fn binding(&self) -> SecretBindingId {
        self.binding
    }

    /// The version that is pinned, if one is.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}
impl fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            None => write!(formatter, "{}", self.binding),
            Some(version) => write!(formatter, "{}@{version}", self.binding),
        }
    }
}

/// What an entry holds. `Debug` tells type and size only, since a value may be looked at before it was checked for secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "WrittenValue", into = "WrittenValue")]
pub enum ConfigurationValue {
    /// Text, as it is written. At most [`ConfigurationValue::LONGEST_TEXT`] bytes in a configuration.
    Text(String),
    /// An exact decimal.
    Number(Decimal),
    /// True or false.
    Boolean(bool),
    /// A JSON document.
    Json(JsonDocument),
    /// A reference to a secret.
    Secret(SecretReference),
}

impl ConfigurationValue {
    /// The longest text, in bytes.
    pub const LONGEST_TEXT: usize = 16 * 1_024;

    /// The type's name: `text`, `number`, `boolean`, `json` or `secret`.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Boolean(_) => "boolean",
            Self::Json(_) => "json",
            Self::Secret(_) => "secret",
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => number.as_str().len(),
            Self::Boolean(_) => 1,
            Self::Json(document) => document.to_string().len(),
            Self::Secret(reference) => reference.to_string().len(),
        }
    }
}

impl fmt::Debug for ConfigurationValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({} bytes)", self.type_name(), self.bytes())
    }
}

/// The written form of a value: its type, and the value as that type is written.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct WrittenValue {
    r#type: String,
    value: Value,
}

impl TryFrom<WrittenValue> for ConfigurationValue {
    type Error = EntryError;

    fn try_from(written: WrittenValue) -> Result<Self, Self::Error> {
        match (written.r#type.as_str(), written.value) {
            ("text", Value::String(text)) => Ok(Self::Text(text)),
            ("number", Value::String(text)) => Decimal::new(&text).map(Self::Number),
            ("number", Value::Number(number)) => Decimal::from_json(&number.to_string()).map(Self::Number),
            ("boolean", Value::Bool(boolean)) => Ok(Self::Boolean(boolean)),
            ("json", Value::String(text)) => JsonDocument::parse(&text).map(Self::Json),
            ("json", value) => JsonDocument::from_value(&value).map(Self::Json),
            ("secret", Value::Object(mut members)) => {
                let binding = match members.remove("binding") {
                    Some(Value::String(text)) => text.parse().map_err(|_| EntryError::Type)?,
                    _ => return Err(EntryError::Type),
                };
                let reference = match members.remove("version") {
                    None | Some(Value::Null) => SecretReference::to(binding),
                    Some(Value::String(version)) => SecretReference::pinned(binding, &version)?,
                    Some(_) => return Err(EntryError::Type),
                };
                if members.is_empty() { Ok(Self::Secret(reference)) } else { Err(EntryError::Type) }
            }
            _ => Err(EntryError::Type),
        }
    }
}

impl From<ConfigurationValue> for WrittenValue {
    fn from(value: ConfigurationValue) -> Self {
        let r#type = value.type_name().to_string();
        let value = match value {
            ConfigurationValue::Text(text) => Value::String(text),
            ConfigurationValue::Number(number) => Value::String(number.into()),
            ConfigurationValue::Boolean(boolean) => Value::Bool(boolean),
            ConfigurationValue::Json(document) => Value::String(document.to_string()),
            ConfigurationValue::Secret(reference) => {
                let mut members = serde_json::Map::new();
                members.insert("binding".to_string(), Value::String(reference.binding.to_string()));
                if let Some(version) = reference.version {
                    members.insert("version".to_string(), Value::String(version));
                }
                Value::Object(members)
            }
        };
        Self { r#type, value }
    }
}

/// One setting: what holds under a key, in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfigurationEntry {
    /// For whom.
    pub scope: ConfigScope,
    /// Under which name.
    pub key: EntryKey,
    /// What.
    pub value: ConfigurationValue,
}

/// One scope of a configuration, with its entries in order of key. Made by [`ConfigurationEntries::scopes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigurationScope<'e> {
    /// For whom.
    pub scope: &'e ConfigScope,
    /// What is set.
    pub entries: &'e [ConfigurationEntry],
}

/// The content of a configuration: in order of scope and key, each key once per scope, bounded, and without a secret's value (CFG-2).
///
/// Deserialising goes through the same door as [`ConfigurationEntries::new`]. Clones share their entries: a content never changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Vec<ConfigurationEntry>")]
pub struct ConfigurationEntries(Arc<[ConfigurationEntry]>);

impl ConfigurationEntries {
    /// The most entries of one configuration.
    pub const MOST: usize = 2_000;
    /// The most bytes of all scopes, keys and values together.
    pub const MOST_BYTES: usize = 256 * 1_024;

    /// Checks and orders entries.
    ///
    /// # Errors
    /// CFG-2 where an entry looks like a secret; CONTENT where a key comes twice in a scope, or a bound is passed.
    pub fn new(mut entries: Vec<ConfigurationEntry>) -> Result<Self, ConfigurationRefusal> {
        if entries.len() > Self::MOST {
            return Err(ConfigurationRefusal::TooMany);
        }
        let mut bytes = 0_usize;
        for entry in &entries {
            secrecy::inspect_entry(entry)?;
            if let ConfigurationValue::Text(text) = &entry.value
                && text.len() > ConfigurationValue::LONGEST_TEXT
            {
                let (scope, key) = (entry.scope.clone(), entry.key.clone());
                return Err(ConfigurationRefusal::TextTooLong { scope, key });
            }
            bytes += entry.scope.to_string().len() + entry.key.as_str().len() + entry.value.bytes();
        }
        if bytes > Self::MOST_BYTES {
            return Err(ConfigurationRefusal::TooLarge);
        }
        entries.sort_by(|one, other| (&one.scope, &one.key).cmp(&(&other.scope, &other.key)));
        let twice = entries.windows(2).find_map(|pair| match pair {
            [one, next] if (&one.scope, &one.key) == (&next.scope, &next.key) => Some(one),
            _ => None,
        });
        match twice {
            Some(entry) => {
                Err(ConfigurationRefusal::Twice { scope: entry.scope.clone(), key: entry.key.clone() })
            }
            None => Ok(Self(entries.into())),
        }
    }

    /// The entries, in order of scope and key.
    pub fn as_slice(&self) -> &[ConfigurationEntry] {
        &self.0
    }

    /// The entries, shared.
    pub(super) fn to_shared(&self) -> Arc<[ConfigurationEntry]> {
        Arc::clone(&self.0)
    }

    /// Those of the entries that are chosen: a part of what was checked needs no check.
    pub(super) fn only(&self, chosen: impl Fn(&ConfigurationEntry) -> bool) -> Self {
        Self(self.0.iter().filter(|entry| chosen(entry)).cloned().collect())
    }

    /// The scopes that have entries, in order of precedence, the weakest first.
    pub fn scopes(&self) -> impl Iterator<Item = ConfigurationScope<'_>> {
        self.0
            .chunk_by(|one, next| one.scope == next.scope)
            .filter_map(|entries| Some(ConfigurationScope { scope: &entries.first()?.scope, entries }))
    }

    /// The entries that hold for a module and a tenant, the weakest scope first.
    pub(super) fn holding<'e>(
        &'e self,
        module: &'e ModuleId,
        tenant: Option<TenantId>,
    ) -> impl Iterator<Item = &'e ConfigurationEntry> {
        self.0.iter().filter(move |entry| entry.scope.holds_for(module, tenant))
    }

    /// The secrets that entries refer to, with the scope of each reference.
    pub fn secrets(&self) -> BTreeSet<(&ConfigScope, &SecretReference)> {
        self.0
            .iter()
            .filter_map(|entry| match &entry.value {
                ConfigurationValue::Secret(reference) => Some((&entry.scope, reference)),
                _ => None,
            })
            .collect()
    }

    /// The checksum of the content. Equal contents have equal checksums, in whatever order they were written.
    pub fn checksum(&self) -> Checksum {
        Checksum::of(&self.0)
    }
}

impl TryFrom<Vec<ConfigurationEntry>> for ConfigurationEntries {
    type Error = ConfigurationRefusal;
    fn try_from(entries: Vec<ConfigurationEntry>) -> Result<Self, Self::Error> {
        Self::new(entries)
    }
}

impl From<ConfigurationEntries> for Vec<ConfigurationEntry> {
    fn from(entries: ConfigurationEntries) -> Self {
        entries.0.to_vec()
    }
}

/// A value in words, for a diff: only ever of entries that were checked for secrets.
pub(super) fn in_words(value: &ConfigurationValue) -> String {
    match value {
        ConfigurationValue::Text(text) => format!("{text:?}"),
        ConfigurationValue::Number(number) => number.to_string(),
        ConfigurationValue::Boolean(boolean) => boolean.to_string(),
        ConfigurationValue::Json(document) => document.to_string(),
        ConfigurationValue::Secret(reference) => format!("the secret {reference}"),
    }
}
