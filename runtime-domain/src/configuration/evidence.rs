//! What a configuration proves to others.

use crate::aggregate::EvidenceRef;
use crate::component::ConfigurationVersionRef;
use crate::configuration::{
    Checksum, ConfigVersion, ConfigurationRefusal, ConfigurationState, RuntimeConfiguration,
};
use crate::id::{AggregateKind, ConfigurationId, EnvironmentId, TenantId};
use crate::value::Revision;

/// Proof that a version is published and in force, so that a release may name it and an older version may give way to it.
///
/// Only [`RuntimeConfiguration::prove`] hands it out. It can stop being true: a commit that rests on it re-checks that the version is
/// still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct PublishedConfiguration {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) configuration: ConfigurationId,
    pub(crate) version: ConfigVersion,
    pub(crate) checksum: Checksum,
    pub(crate) at: Revision,
}

impl PublishedConfiguration {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The configuration.
    pub fn configuration(&self) -> ConfigurationId {
        self.configuration
    }

    /// Its number.
    pub fn version(&self) -> ConfigVersion {
        self.version
    }

    /// The checksum of its content.
    pub fn checksum(&self) -> &Checksum {
        &self.checksum
    }

    /// What a release's tuple names it by.
    pub fn to_version_ref(&self) -> ConfigurationVersionRef {
        ConfigurationVersionRef { configuration: self.configuration, checksum: self.checksum.clone() }
    }

    /// The fact to re-check: the version's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            kind: AggregateKind::RuntimeConfiguration,
            id: self.configuration.uuid(),
            revision: self.at,
        }
    }
}

/// Proof that a version's number is used, in whatever state the version is (CFG-1). It allows nothing but to count on from it.
///
/// Only [`RuntimeConfiguration::used_version`] hands it out; a commit that rests on it re-checks that the version is still at exactly
/// this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct UsedVersion {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) configuration: ConfigurationId,
    pub(crate) version: ConfigVersion,
    pub(crate) in_force: Option<Checksum>,
    pub(crate) at: Revision,
}

impl UsedVersion {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The configuration.
    pub fn configuration(&self) -> ConfigurationId {
        self.configuration
    }

    /// Its number.
    pub fn version(&self) -> ConfigVersion {
        self.version
    }

    /// The checksum of its content while it is in force: publishing the same would make nothing new.
    pub fn in_force(&self) -> Option<&Checksum> {
        self.in_force.as_ref()
    }

    /// The fact to re-check: the version's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            kind: AggregateKind::RuntimeConfiguration,
            id: self.configuration.uuid(),
            revision: self.at,
        }
    }
}

impl RuntimeConfiguration {
    /// Shows that the version is in force. `at` is its stored revision.
    ///
    /// # Errors
    /// It was superseded or withdrawn.
    pub fn prove(&self, at: Revision) -> Result<PublishedConfiguration, ConfigurationRefusal> {
        match &self.state {
            ConfigurationState::Published(_) | ConfigurationState::Synced(_) => Ok(PublishedConfiguration {
                tenant: self.tenant_id,
                environment: self.environment_id,
                configuration: self.configuration_id,
                version: self.version,
                checksum: self.checksum.clone(),
                at,
            }),
            ConfigurationState::Superseded(_) | ConfigurationState::Withdrawn(_) => {
                Err(ConfigurationRefusal::NotInForce { version: self.version, status: self.state.status() })
            }
        }
    }

    /// Shows that the version's number is used. `at` is its stored revision.
    pub fn used_version(&self, at: Revision) -> UsedVersion {
        UsedVersion {
            tenant: self.tenant_id,
            environment: self.environment_id,
            configuration: self.configuration_id,
            version: self.version,
            in_force: self.consumption().map(|_| self.checksum.clone()),
            at,
        }
    }
}
