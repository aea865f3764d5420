//! What is asked of configurations, and what is told of who runs them.

use std::collections::BTreeMap;

use runtime_domain::configuration::{ConfigScope, Consumer, EntryKey};
use runtime_domain::id::{ConfigurationId, DeploymentId, EnvironmentId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_services::configuration::{
    ConsumerStanding, EffectiveValue as Effective, Synchronisation as Begun, Synchronise,
};
use runtime_services::deployments::Exceptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Change, EntryValue, Status};
use crate::document::releases::Strategy;

/// Asks for a list of versions. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListConfigurations {
    /// Only in this environment.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Only with one of these statuses.
    #[serde(default)]
    pub status: Vec<Status>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for a version's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigurationHistoryRequest {
    /// The version.
    pub configuration_id: ConfigurationId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Takes a version back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WithdrawConfiguration {
    /// The version.
    pub configuration_id: ConfigurationId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Asks what holds for a component under a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EffectiveRequest {
    /// The version.
    pub configuration_id: ConfigurationId,
    /// The component's module.
    pub module: ModuleId,
}

/// What holds for a component under a version, by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveConfiguration {
    /// By key.
    pub entries: BTreeMap<EntryKey, EffectiveValue>,
}

/// What holds under one key, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveValue {
    /// What holds.
    pub value: EntryValue,
    /// The scope that set it.
    pub scope: ConfigScope,
    /// The scopes that set it, too, and gave way, the weakest first.
    pub shadowed: Vec<ConfigScope>,
}

impl EffectiveConfiguration {
    pub(crate) fn of(entries: BTreeMap<EntryKey, Effective>) -> Self {
        let entries = entries.into_iter().map(|(key, effective)| {
            let Effective { value, scope, shadowed } = effective;
            (key, EffectiveValue { value: EntryValue::of(&value), scope, shadowed })
        });
        Self { entries: entries.collect() }
    }
}

/// Asks what leads from one version to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiffRequest {
    /// From this version.
    pub configuration_id: ConfigurationId,
    /// To this one.
    pub to: ConfigurationId,
}

/// What leads from one version to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationDiff {
    /// What differs.
    pub changes: Vec<Change>,
}

/// Who runs which version in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationConsumers {
    /// Every consumer that a version in force expects, or that was seen.
    pub consumers: Vec<ConsumerReport>,
}

/// What is known of one consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerReport {
    /// Its component.
    pub module: ModuleId,
    /// Its name within the component.
    pub name: String,
    /// The newest version in force that it should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u32>,
    /// Which version in force it was seen with; none where it is none of them, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_version: Option<u32>,
    /// What it was seen to run with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_checksum: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

impl ConfigurationConsumers {
    pub(crate) fn of(standings: BTreeMap<Consumer, ConsumerStanding>) -> Self {
        let consumers = standings.into_iter().map(|(consumer, standing)| {
            let (checksum, since) = standing.observed.unzip();
            ConsumerReport {
                module: consumer.module,
                name: consumer.name.as_str().to_owned(),
                expected_version: standing.expected.map(|version| version.get()),
                observed_version: standing.version.map(|version| version.get()),
                observed_checksum: checksum.map(|checksum| checksum.as_str().to_owned()),
                observed_at: since,
            }
        });
        Self { consumers: consumers.collect() }
    }
}

/// Brings a version to what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SynchroniseConfiguration {
    /// The version.
    pub configuration_id: ConfigurationId,
    /// How the components that are rolled out are; as their last rollout was, where it is not said.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// Whether components that declare it take the version in place.
    #[serde(default = "yes")]
    pub in_place: bool,
    /// Why it cannot wait until the environment's calendar opens.
    #[serde(default)]
    pub break_glass: Option<String>,
    /// Why an image may come again that the environment went back from.
    #[serde(default)]
    pub release_hold: Option<String>,
}

const fn yes() -> bool {
    true
}

impl SynchroniseConfiguration {
    pub(crate) fn into_wanted(self) -> Synchronise {
        Synchronise {
            configuration: self.configuration_id,
            strategy: self.strategy.as_ref().map(Strategy::strategy),
            in_place: self.in_place,
            exceptions: Exceptions { break_glass: self.break_glass, release_hold: self.release_hold },
        }
    }
}

/// What was begun to bring a version to what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Synchronisation {
    /// The deployments that bring it.
    pub deployment_ids: Vec<DeploymentId>,
    /// Components that take it in place.
    pub in_place: Vec<String>,
    /// Components for which it changes nothing.
    pub unconcerned: Vec<ModuleId>,
}

impl Synchronisation {
    pub(crate) fn of(begun: Begun) -> Self {
        Self {
            deployment_ids: begun.deployments.iter().map(|done| done.aggregate.id()).collect(),
            in_place: begun.in_place.iter().map(ToString::to_string).collect(),
            unconcerned: begun.unconcerned.into_iter().collect(),
        }
    }
}
