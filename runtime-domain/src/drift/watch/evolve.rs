//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::drift::watch::{DriftWatch, DriftWatchRecord, Outlook, Watch, WatchEvent, WatchState};
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for DriftWatch {
    const KIND: AggregateKind = AggregateKind::DriftWatch;
    const SCHEMA: u16 = 1;
    type Event = WatchEvent;
    type Record = DriftWatchRecord;

    fn uuid(&self) -> Uuid {
        self.environment_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        BTreeSet::new()
    }

    fn claims(&self) -> BTreeSet<Claim> {
        // Its identifier is the environment's: there cannot be two.
        BTreeSet::new()
    }

    fn wake_at(&self) -> Option<Timestamp> {
        match &self.state {
            // Due at once; whoever has compared says when to look again, without a commit.
            WatchState::Watching(watch) => Some(watch.since),
            WatchState::Stopped { .. } => None,
        }
    }

    fn evolve(state: Option<Self>, event: &WatchEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (before, WatchEvent::DriftWatchBegun { tenant_id, environment_id, terms }) => {
                let (outlook, outlook_since) = match before.map(|watch| watch.state) {
                    Some(WatchState::Watching(watch)) => (watch.outlook, watch.outlook_since),
                    _ => (Outlook::Unknown, at),
                };
                let watch = Watch { since: at, outlook, outlook_since };
                Ok(Self {
                    tenant_id: *tenant_id,
                    environment_id: *environment_id,
                    terms: (**terms).clone(),
                    state: WatchState::Watching(watch),
                })
            }
            (None, _) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(watch), event) => watch.apply(event, at),
        }
    }

    fn to_record(&self) -> DriftWatchRecord {
        DriftWatchRecord::of(self)
    }

    fn from_record(schema: u16, record: DriftWatchRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

impl DriftWatch {
    fn apply(self, event: &WatchEvent, at: Timestamp) -> Result<Self, Misapplied> {
        let misapplied = Misapplied { event: event.name(), state: self.status().name() };
        let state = match (self.state, event) {
            (WatchState::Watching(watch), WatchEvent::DriftOutlookChanged { outlook }) => {
                WatchState::Watching(Watch { outlook: outlook.clone(), outlook_since: at, ..watch })
            }
            (WatchState::Watching(_), WatchEvent::DriftWatchStopped { reason }) => {
                WatchState::Stopped { since: at, reason: reason.clone() }
            }
            _ => return Err(misapplied),
        };
        Ok(Self { state, ..self })
    }
}
