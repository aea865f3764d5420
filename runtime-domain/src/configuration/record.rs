//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::calendar::BreakGlass;
use crate::configuration::{
    Checksum, ConfigVersion, ConfigurationEntries, ConfigurationEntry, ConfigurationState, Consumption,
    RuntimeConfiguration,
};
use crate::id::{ConfigurationId, EnvironmentId, TenantId};
use crate::reason;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// The stored form of a [`RuntimeConfiguration`], schema 1.
///
/// Its entries are checked as those of a command are, for secrets too, and compared with the checksum (CFG-2, CFG-3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfigurationRecord {
    configuration_id: ConfigurationId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    version: ConfigVersion,
    entries: Arc<[ConfigurationEntry]>,
    checksum: Checksum,
    break_glass: Option<BreakGlass>,
    published_at: Timestamp,
    state: ConfigurationState,
}

impl RuntimeConfigurationRecord {
    pub(super) fn of(configuration: &RuntimeConfiguration) -> Self {
        let RuntimeConfiguration {
            configuration_id,
            tenant_id,
            environment_id,
            version,
            entries,
            checksum,
            break_glass,
            published_at,
            state,
        } = configuration.clone();
        Self {
            configuration_id,
            tenant_id,
            environment_id,
            version,
            entries: entries.to_shared(),
            checksum,
            break_glass,
            published_at,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeConfiguration, RecordError> {
        let refused =
            |rule, why: String| RecordError { aggregate: RuntimeConfiguration::KIND.name(), rule, why };
        if schema != RuntimeConfiguration::SCHEMA {
            let known = RuntimeConfiguration::SCHEMA;
            return Err(refused(
                "SCHEMA",
                format!("schema {schema} is not known: this version reads {known}"),
            ));
        }
        let entries = ConfigurationEntries::new(self.entries.to_vec())
            .map_err(|refusal| refused(refusal.rule().number(), refusal.to_string()))?;
        if entries.checksum() != self.checksum {
            return Err(refused("CFG-3", "its entries are not those of its checksum".to_string()));
        }
        check_state(&self.state, self.version, &self.checksum)
            .map_err(|(rule, why)| refused(rule, why.to_string()))?;
        if self.break_glass.as_ref().is_some_and(|glass| !reason::is_kept(&glass.reason)) {
            return Err(refused(
                "CONTENT",
                "the reason for breaking the glass is empty or too long".to_string(),
            ));
        }
        Ok(RuntimeConfiguration {
            configuration_id: self.configuration_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            version: self.version,
            entries,
            checksum: self.checksum,
            break_glass: self.break_glass,
            published_at: self.published_at,
            state: self.state,
        })
    }
}

type Broken = (&'static str, &'static str);

fn check_state(
    state: &ConfigurationState,
    version: ConfigVersion,
    checksum: &Checksum,
) -> Result<(), Broken> {
    match state {
        ConfigurationState::Published(published) => {
            check_consumption(&published.consumption, checksum)?;
            if published.consumption.is_whole(checksum) {
                return Err(("LIFECYCLE", "every consumer runs it, and it is not Synced"));
            }
        }
        ConfigurationState::Synced(synced) => {
            check_consumption(&synced.consumption, checksum)?;
            if !synced.consumption.is_whole(checksum) {
                return Err(("LIFECYCLE", "it is Synced, and not every consumer was observed running it"));
            }
        }
        ConfigurationState::Superseded(superseded) if superseded.by_version <= version => {
            return Err(("CFG-1", "what superseded it is not newer"));
        }
        ConfigurationState::Withdrawn(withdrawn) if !reason::is_kept(&withdrawn.reason) => {
            return Err(("CONTENT", "the reason of its withdrawal is empty or too long"));
        }
        ConfigurationState::Superseded(_) | ConfigurationState::Withdrawn(_) => {}
    }
    Ok(())
}

fn check_consumption(consumption: &Consumption, checksum: &Checksum) -> Result<(), Broken> {
    let Consumption { expected, sightings, was_consumed } = consumption;
    if expected.len() > Consumption::MOST || sightings.len() > Consumption::MOST {
        return Err(("CONTENT", "it has too many consumers"));
    }
    if !sightings.is_sorted_by(|one, next| one.consumer < next.consumer) {
        return Err(("CONTENT", "its observations are out of order, or two of one consumer"));
    }
    if !was_consumed && sightings.iter().any(|sighting| sighting.checksum == *checksum) {
        return Err(("CONTENT", "a consumer runs it, and it says that none ever did"));
    }
    Ok(())
}
