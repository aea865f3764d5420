//! The aggregate.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar::BreakGlass;
use crate::configuration::{Checksum, ConfigVersion, ConfigurationEntries, ConsumerName};
use crate::id::{ConfigurationId, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// One version of an environment's configuration.
///
/// It comes to be by [`RuntimeConfiguration::publish`] and changes by [`RuntimeConfiguration::decide`]; its entries never do (CFG-3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeConfiguration {
    pub(super) configuration_id: ConfigurationId,
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) version: ConfigVersion,
    pub(super) entries: ConfigurationEntries,
    pub(super) checksum: Checksum,
    pub(super) break_glass: Option<BreakGlass>,
    pub(super) published_at: Timestamp,
    pub(super) state: ConfigurationState,
}

/// Where a version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigurationState {
    /// Not every expected consumer is observed running it.
    Published(Published),
    /// Every expected consumer is observed running exactly it.
    Synced(Synced),
    /// A newer version took over.
    Superseded(Superseded),
    /// It was taken back before anybody ran it.
    Withdrawn(Withdrawn),
}

/// Not every expected consumer is observed running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Since when.
    pub since: Timestamp,
    /// Who should run it, and who runs what.
    pub consumption: Consumption,
}

/// Every expected consumer is observed running exactly it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synced {
    /// Since when.
    pub applied_at: Timestamp,
    /// Who should run it, and who runs what.
    pub consumption: Consumption,
}

/// A newer version took over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superseded {
    /// The newer version.
    pub by: ConfigurationId,
    /// Its number.
    pub by_version: ConfigVersion,
    /// Since when.
    pub superseded_at: Timestamp,
    /// Since when every expected consumer ran this one, where they did to the end.
    pub applied_at: Option<Timestamp>,
}

/// It was taken back before anybody ran it. Its number stays used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// Since when.
    pub withdrawn_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Something that runs with configuration: an instance or a revision of a module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The module.
    pub module: ModuleId,
    /// Which of its instances or revisions.
    pub name: ConsumerName,
}

impl fmt::Display for Consumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.module, self.name)
    }
}

/// What a consumer was observed running with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// Who.
    pub consumer: Consumer,
    /// The checksum of what it runs with.
    pub checksum: Checksum,
    /// When that was first observed.
    pub observed_at: Timestamp,
}

/// Who should run a version, and who was observed running which.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumption {
    /// Who should run it. Nobody yet means that it is not known, so nothing is Synced.
    pub expected: BTreeSet<Consumer>,
    /// The latest observation of each consumer, in order of consumer.
    pub sightings: Vec<Sighting>,
    /// True once a consumer was observed running exactly this version.
    pub was_consumed: bool,
}

/// What is known of one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerReport<'c> {
    /// It runs exactly this version.
    InSync {
        /// When that was first observed.
        since: Timestamp,
    },
    /// It runs something else.
    OutOfSync {
        /// The checksum of what it runs with.
        checksum: &'c Checksum,
        /// When that was first observed.
        since: Timestamp,
    },
    /// It was not observed yet.
    Unseen,
}

impl Consumption {
    /// The most consumers that are expected or observed.
    pub const MOST: usize = 10_000;

    pub(super) fn sighting(&self, consumer: &Consumer) -> Option<&Sighting> {
        let found = self.sightings.binary_search_by(|sighting| sighting.consumer.cmp(consumer)).ok()?;
        self.sightings.get(found)
    }

    /// The expected consumers that are not observed running exactly `checksum`.
    pub fn missing<'c>(&'c self, checksum: &'c Checksum) -> impl Iterator<Item = &'c Consumer> {
        self.expected.iter().filter(move |consumer| !self.runs(consumer, checksum))
    }

    /// Whether somebody is expected, and everybody who is was observed running exactly `checksum`.
    pub fn is_whole(&self, checksum: &Checksum) -> bool {
        !self.expected.is_empty() && self.missing(checksum).next().is_none()
    }

    /// Whether a consumer was observed running exactly `checksum`.
    pub(super) fn runs(&self, consumer: &Consumer, checksum: &Checksum) -> bool {
        self.sighting(consumer).is_some_and(|sighting| sighting.checksum == *checksum)
    }

    pub(super) fn expect(&mut self, consumers: &BTreeSet<Consumer>) {
        // Who left is not looked for any more; whoever was seen before being expected stays known.
        let left: BTreeSet<Consumer> = self.expected.difference(consumers).cloned().collect();
        self.sightings.retain(|sighting| !left.contains(&sighting.consumer));
        self.expected = consumers.clone();
    }

    pub(super) fn see(&mut self, sighting: &Sighting, own: &Checksum) {
        self.was_consumed |= sighting.checksum == *own;
        match self.sightings.binary_search_by(|known| known.consumer.cmp(&sighting.consumer)) {
            Ok(at) => {
                if let Some(known) = self.sightings.get_mut(at) {
                    *known = sighting.clone();
                }
            }
            Err(at) => self.sightings.insert(at, sighting.clone()),
        }
    }
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConfigurationStatus {
    /// Not every expected consumer is observed running it.
    Published,
    /// Every expected consumer is observed running exactly it.
    Synced,
    /// A newer version took over.
    Superseded,
    /// It was taken back before anybody ran it.
    Withdrawn,
}

impl ConfigurationStatus {
    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published => "Published",
            Self::Synced => "Synced",
            Self::Superseded => "Superseded",
            Self::Withdrawn => "Withdrawn",
        }
    }
}

impl fmt::Display for ConfigurationStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl ConfigurationState {
    /// The state's name.
    pub const fn status(&self) -> ConfigurationStatus {
        match self {
            Self::Published(_) => ConfigurationStatus::Published,
            Self::Synced(_) => ConfigurationStatus::Synced,
            Self::Superseded(_) => ConfigurationStatus::Superseded,
            Self::Withdrawn(_) => ConfigurationStatus::Withdrawn,
        }
    }
}

impl RuntimeConfiguration {
    /// Its identifier.
    pub fn id(&self) -> ConfigurationId {
        self.configuration_id
    }

    /// The tenant whose environment it is of. It never changes.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// Its number within the environment.
    pub fn version(&self) -> ConfigVersion {
        self.version
    }

    /// What it holds. It never changes.
    pub fn entries(&self) -> &ConfigurationEntries {
        &self.entries
    }

    /// The checksum of what it holds.
    pub fn checksum(&self) -> &Checksum {
        &self.checksum
    }

    /// Who broke the glass to publish it, and why.
    pub fn break_glass(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }

    /// When it was published.
    pub fn published_at(&self) -> Timestamp {
        self.published_at
    }

    /// Since when every expected consumer runs it, or ran it until it was superseded.
    pub fn applied_at(&self) -> Option<Timestamp> {
        match &self.state {
            ConfigurationState::Synced(state) => Some(state.applied_at),
            ConfigurationState::Superseded(state) => state.applied_at,
            ConfigurationState::Published(_) | ConfigurationState::Withdrawn(_) => None,
        }
    }

    /// Who should run it and who runs what, while it is Published or Synced.
    pub fn consumption(&self) -> Option<&Consumption> {
        match &self.state {
            ConfigurationState::Published(state) => Some(&state.consumption),
            ConfigurationState::Synced(state) => Some(&state.consumption),
            ConfigurationState::Superseded(_) | ConfigurationState::Withdrawn(_) => None,
        }
    }

    /// Who runs what: every consumer that is expected or was observed, in order.
    pub fn consumers(&self) -> BTreeMap<&Consumer, ConsumerReport<'_>> {
        let Some(consumption) = self.consumption() else { return BTreeMap::new() };
        let unseen = consumption.expected.iter().map(|consumer| (consumer, ConsumerReport::Unseen));
        let seen = consumption.sightings.iter().map(|sighting| {
            let since = sighting.observed_at;
            let report = if sighting.checksum == self.checksum {
                ConsumerReport::InSync { since }
            } else {
                ConsumerReport::OutOfSync { checksum: &sighting.checksum, since }
            };
            (&sighting.consumer, report)
        });
        unseen.chain(seen).collect()
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &ConfigurationState {
        &self.state
    }
}
