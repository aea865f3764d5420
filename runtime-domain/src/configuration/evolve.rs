//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::configuration::{
    Checksum, ConfigScope, ConfigurationEvent, ConfigurationState, Consumption, Published,
    RuntimeConfiguration, RuntimeConfigurationRecord, Superseded, Synced, Withdrawn,
};
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for RuntimeConfiguration {
    const KIND: AggregateKind = AggregateKind::RuntimeConfiguration;
    const SCHEMA: u16 = 1;
    type Event = ConfigurationEvent;
    type Record = RuntimeConfigurationRecord;

    fn uuid(&self) -> Uuid {
        self.configuration_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.state.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        self.entries
            .scopes()
            .filter_map(|scope| match scope.scope {
                ConfigScope::Service(module) => Some(module.clone()),
                ConfigScope::Environment | ConfigScope::Tenant(_) => None,
            })
            .collect()
    }

    fn claims(&self) -> BTreeSet<Claim> {
        BTreeSet::from([Claim::configuration_version(self.environment_id, self.version)])
    }

    fn wake_at(&self) -> Option<Timestamp> {
        match &self.state {
            ConfigurationState::Published(state) => Some(state.since),
            // Who runs it may change, and older versions give way to it.
            ConfigurationState::Synced(state) => Some(state.applied_at),
            ConfigurationState::Superseded(_) | ConfigurationState::Withdrawn(_) => None,
        }
    }

    fn evolve(state: Option<Self>, event: &ConfigurationEvent, at: Timestamp) -> Result<Self, Misapplied> {
        let misapplied = |state| Misapplied { event: event.name(), state };
        match (state, event) {
            // A history whose entries are not those that were published is damaged (CFG-3).
            (None, ConfigurationEvent::ConfigurationPublished(published))
                if published.entries.checksum() == published.checksum =>
            {
                Ok(Self {
                    configuration_id: published.configuration_id,
                    tenant_id: published.tenant_id,
                    environment_id: published.environment_id,
                    version: published.version,
                    entries: published.entries.clone(),
                    checksum: published.checksum.clone(),
                    break_glass: published.break_glass.clone(),
                    published_at: at,
                    state: ConfigurationState::Published(Published {
                        since: at,
                        consumption: Consumption::default(),
                    }),
                })
            }
            (None, _) => Err(misapplied("absent")),
            (Some(configuration), event) => {
                let (state, applied_at) = (configuration.state.status().name(), configuration.applied_at());
                let next = next_state(configuration.state, event, &configuration.checksum, applied_at, at);
                Ok(Self { state: next.ok_or_else(|| misapplied(state))?, ..configuration })
            }
        }
    }

    fn to_record(&self) -> RuntimeConfigurationRecord {
        RuntimeConfigurationRecord::of(self)
    }

    fn from_record(schema: u16, record: RuntimeConfigurationRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

/// The state after an event, or nothing where the event cannot follow. `own` is the version's checksum.
fn next_state(
    state: ConfigurationState,
    event: &ConfigurationEvent,
    own: &Checksum,
    applied_at: Option<Timestamp>,
    at: Timestamp,
) -> Option<ConfigurationState> {
    Some(match (state, event) {
        (state, ConfigurationEvent::ConsumersExpected { consumers }) => {
            with(state, |consumption| consumption.expect(consumers))?
        }
        (state, ConfigurationEvent::ConsumptionRecorded { sighting }) => {
            with(state, |consumption| consumption.see(sighting, own))?
        }
        (ConfigurationState::Published(state), ConfigurationEvent::ConfigurationSynced { .. }) => {
            ConfigurationState::Synced(Synced { applied_at: at, consumption: state.consumption })
        }
        (ConfigurationState::Synced(state), ConfigurationEvent::ConfigurationFellOutOfSync { .. }) => {
            ConfigurationState::Published(Published { since: at, consumption: state.consumption })
        }
        (
            ConfigurationState::Published(_) | ConfigurationState::Synced(_),
            ConfigurationEvent::ConfigurationSuperseded { by, by_version },
        ) => ConfigurationState::Superseded(Superseded {
            by: *by,
            by_version: *by_version,
            superseded_at: at,
            applied_at,
        }),
        (ConfigurationState::Published(_), ConfigurationEvent::ConfigurationWithdrawn { reason }) => {
            ConfigurationState::Withdrawn(Withdrawn { withdrawn_at: at, reason: reason.clone() })
        }
        _ => return None,
    })
}

fn with(mut state: ConfigurationState, change: impl FnOnce(&mut Consumption)) -> Option<ConfigurationState> {
    match &mut state {
        ConfigurationState::Published(published) => change(&mut published.consumption),
        ConfigurationState::Synced(synced) => change(&mut synced.consumption),
        ConfigurationState::Superseded(_) | ConfigurationState::Withdrawn(_) => return None,
    }
    Some(state)
}
