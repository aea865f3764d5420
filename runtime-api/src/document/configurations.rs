//! Configurations.

use runtime_domain::configuration::{
    ConfigScope, ConfigurationDiff, ConfigurationEntries, ConfigurationEntry, ConfigurationRefusal,
    ConfigurationState, ConfigurationStatus, ConfigurationValue, Decimal, EntryChange, EntryKey,
    JsonDocument, RuntimeConfiguration, SecretReference,
};
use runtime_domain::id::{ConfigurationId, EnvironmentId, SecretBindingId, TenantId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_services::CommandError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::{Problem, ProblemKind};

mod requests;

pub use requests::{
    ConfigurationConsumers, ConfigurationDiff as Diff, ConfigurationHistoryRequest, ConsumerReport,
    DiffRequest, EffectiveConfiguration, EffectiveRequest, EffectiveValue, ListConfigurations,
    Synchronisation, SynchroniseConfiguration, WithdrawConfiguration,
};

/// Publishes the next version of an environment's configuration: the whole content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishConfiguration {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Every entry.
    pub entries: Vec<Entry>,
    /// Why it cannot wait until the environment's calendar opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

impl PublishConfiguration {
    pub(crate) fn content(&self) -> Result<ConfigurationEntries, Problem> {
        let entries = self.entries.iter().enumerate().map(|(number, entry)| {
            entry.parsed().map_err(|why| {
                Problem::new(ProblemKind::Unprocessable, format!("entries[{number}].value: {why}"))
            })
        });
        let entries = entries.collect::<Result<_, Problem>>()?;
        ConfigurationEntries::new(entries)
            .map_err(|refusal: ConfigurationRefusal| CommandError::Refused(refusal).into())
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ConfigurationEntry")]
pub struct Entry {
    /// Whom it is for: `environment`, `service:` and a module, or `tenant:` and a tenant.
    pub scope: ConfigScope,
    /// Its key.
    pub key: EntryKey,
    /// What it says.
    pub value: EntryValue,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ConfigurationValue")]
pub enum EntryValue {
    /// A text.
    Text {
        /// The text.
        value: String,
    },
    /// An exact decimal number.
    Number {
        /// The number, written in decimal.
        value: String,
    },
    /// Yes or no.
    Boolean {
        /// Which.
        value: bool,
    },
    /// A JSON document.
    Json {
        /// The document, as a text.
        value: String,
    },
    /// A reference to a secret binding; never a value (CFG-2).
    Secret {
        /// The binding.
        secret_binding_id: SecretBindingId,
        /// One version of it; whichever is current where it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
}

impl Entry {
    fn parsed(&self) -> Result<ConfigurationEntry, runtime_domain::configuration::EntryError> {
        let value = match &self.value {
            EntryValue::Text { value } => ConfigurationValue::Text(value.clone()),
            EntryValue::Number { value } => ConfigurationValue::Number(Decimal::new(value)?),
            EntryValue::Boolean { value } => ConfigurationValue::Boolean(*value),
            EntryValue::Json { value } => ConfigurationValue::Json(JsonDocument::parse(value)?),
            EntryValue::Secret { secret_binding_id, version } => ConfigurationValue::Secret(match version {
                Some(version) => SecretReference::pinned(*secret_binding_id, version)?,
                None => SecretReference::to(*secret_binding_id),
            }),
        };
        Ok(ConfigurationEntry { scope: self.scope.clone(), key: self.key.clone(), value })
    }

    pub(crate) fn of(entry: &ConfigurationEntry) -> Self {
        Self { scope: entry.scope.clone(), key: entry.key.clone(), value: EntryValue::of(&entry.value) }
    }
}

impl EntryValue {
    pub(crate) fn of(value: &ConfigurationValue) -> Self {
        match value {
            ConfigurationValue::Text(text) => Self::Text { value: text.clone() },
            ConfigurationValue::Number(number) => Self::Number { value: number.as_str().to_owned() },
            ConfigurationValue::Boolean(boolean) => Self::Boolean { value: *boolean },
            ConfigurationValue::Json(document) => Self::Json { value: document.to_string() },
            ConfigurationValue::Secret(reference) => Self::Secret {
                secret_binding_id: reference.binding(),
                version: reference.version().map(str::to_owned),
            },
        }
    }
}

/// Names a configuration version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigurationRequest {
    /// The version's identifier.
    pub configuration_id: ConfigurationId,
}

/// How a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ConfigurationStatus")]
pub enum Status {
    /// In force, and not seen everywhere yet.
    Published,
    /// Every consumer was seen on it.
    Synced,
    /// A later one took its place.
    Superseded,
    /// Taken back before anybody ran it.
    Withdrawn,
}

impl Status {
    pub(crate) const fn stored(self) -> ConfigurationStatus {
        match self {
            Self::Published => ConfigurationStatus::Published,
            Self::Synced => ConfigurationStatus::Synced,
            Self::Superseded => ConfigurationStatus::Superseded,
            Self::Withdrawn => ConfigurationStatus::Withdrawn,
        }
    }
}

impl From<ConfigurationStatus> for Status {
    fn from(status: ConfigurationStatus) -> Self {
        match status {
            ConfigurationStatus::Published => Self::Published,
            ConfigurationStatus::Synced => Self::Synced,
            ConfigurationStatus::Superseded => Self::Superseded,
            ConfigurationStatus::Withdrawn => Self::Withdrawn,
        }
    }
}

/// A configuration version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Its identifier.
    pub configuration_id: ConfigurationId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its number, strictly monotonic within the environment.
    pub version: u64,
    /// How it is.
    pub status: Status,
    /// What its content comes to.
    pub checksum: String,
    /// Its content.
    pub entries: Vec<Entry>,
    /// When it was published.
    pub published_at: Timestamp,
    /// When every consumer was seen on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Timestamp>,
    /// The version that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<ConfigurationId>,
    /// Why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_because: Option<String>,
    /// How often it was written.
    pub revision: u64,
}

impl Configuration {
    pub(crate) fn of(configuration: &RuntimeConfiguration, revision: Revision) -> Self {
        let (superseded_by, withdrawn_because) = match configuration.state() {
            ConfigurationState::Superseded(state) => (Some(state.by), None),
            ConfigurationState::Withdrawn(state) => (None, Some(state.reason.clone())),
            ConfigurationState::Published(_) | ConfigurationState::Synced(_) => (None, None),
        };
        Self {
            configuration_id: configuration.id(),
            tenant_id: configuration.tenant_id(),
            environment_id: configuration.environment_id(),
            version: configuration.version().get().into(),
            status: configuration.state().status().into(),
            checksum: configuration.checksum().as_str().to_owned(),
            entries: configuration.entries().as_slice().iter().map(Entry::of).collect(),
            published_at: configuration.published_at(),
            applied_at: configuration.applied_at(),
            superseded_by,
            withdrawn_because,
            revision: revision.0,
        }
    }
}

/// What publishing came to, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishConfigurationOutcome {
    /// The version.
    pub result: Configuration,
    /// False where the newest version holds the same already.
    pub changed: bool,
    /// Why, in words.
    pub explanation: String,
    /// Whether only a preview was asked for.
    pub dry_run: bool,
    /// What would differ from the newest version, where a preview was asked for.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// What differs under one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConfigurationChange")]
pub struct Change {
    /// Whom the entry is for.
    pub scope: ConfigScope,
    /// Its key.
    pub key: EntryKey,
    /// What it said; nothing where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntryValue>,
    /// What it says; nothing where it is not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EntryValue>,
}

pub(crate) fn changes(diff: &ConfigurationDiff) -> Vec<Change> {
    let changes = diff.changes().iter().map(|(scope, key, change)| {
        let (from, to) = match change {
            EntryChange::Added { to } => (None, Some(to)),
            EntryChange::Removed { from } => (Some(from), None),
            EntryChange::Changed { from, to } => (Some(from), Some(to)),
        };
        Change {
            scope: scope.clone(),
            key: key.clone(),
            from: from.map(EntryValue::of),
            to: to.map(EntryValue::of),
        }
    });
    changes.collect()
}
