//! What happens to a configuration.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::calendar::BreakGlass;
use crate::configuration::{Checksum, ConfigVersion, ConfigurationEntries, Consumer, Sighting};
use crate::id::{ConfigurationId, EnvironmentId, TenantId};

/// What a version begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionPublished {
    /// The configuration.
    pub configuration_id: ConfigurationId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its number within the environment.
    pub version: ConfigVersion,
    /// The checksum of its entries.
    pub checksum: Checksum,
    /// What it holds.
    pub entries: ConfigurationEntries,
    /// Who broke the glass, and why, where the calendar was closed.
    #[serde(default)]
    pub break_glass: Option<BreakGlass>,
}

/// What happens to a configuration. Exhaustive, so that a new event breaks the build of who must handle it. No event changes entries (CFG-3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum ConfigurationEvent {
    /// A version is there. Published.
    ConfigurationPublished(Box<VersionPublished>),
    /// Who should run it is known, or changed.
    ConsumersExpected {
        /// Who.
        consumers: BTreeSet<Consumer>,
    },
    /// A consumer was observed.
    ConsumptionRecorded {
        /// Who, with what, when.
        sighting: Sighting,
    },
    /// Every expected consumer was observed running exactly it. Published.
    ConfigurationSynced {
        /// The configuration.
        configuration_id: ConfigurationId,
        /// The environment.
        environment_id: EnvironmentId,
        /// Its number within the environment.
        version: ConfigVersion,
        /// The checksum that every consumer runs with.
        checksum: Checksum,
        /// Who runs it.
        consumers: BTreeSet<Consumer>,
    },
    /// Some expected consumers are not observed running it any more, or not yet.
    ConfigurationFellOutOfSync {
        /// Who.
        consumers: BTreeSet<Consumer>,
    },
    /// A newer version took over.
    ConfigurationSuperseded {
        /// The newer version.
        by: ConfigurationId,
        /// Its number.
        by_version: ConfigVersion,
    },
    /// It was taken back.
    ConfigurationWithdrawn {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for ConfigurationEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::ConfigurationPublished(_) => "ConfigurationPublished",
            Self::ConsumersExpected { .. } => "ConsumersExpected",
            Self::ConsumptionRecorded { .. } => "ConsumptionRecorded",
            Self::ConfigurationSynced { .. } => "ConfigurationSynced",
            Self::ConfigurationFellOutOfSync { .. } => "ConfigurationFellOutOfSync",
            Self::ConfigurationSuperseded { .. } => "ConfigurationSuperseded",
            Self::ConfigurationWithdrawn { .. } => "ConfigurationWithdrawn",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::ConfigurationPublished(_) | Self::ConfigurationSynced { .. } => Some(1),
            Self::ConsumersExpected { .. }
            | Self::ConsumptionRecorded { .. }
            | Self::ConfigurationFellOutOfSync { .. }
            | Self::ConfigurationSuperseded { .. }
            | Self::ConfigurationWithdrawn { .. } => None,
        }
    }
}
