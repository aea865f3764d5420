//! Decides commands: what happens, or why not.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::aggregate::Decision;
use crate::deployment::DeployedVersion;
use crate::id::ServiceId;
use crate::inventory::command::{InventoryCommand, RegisterService};
use crate::inventory::event::{InventoryEvent, InventoryUpdate, Registered};
use crate::inventory::refusal::InventoryRefusal;
use crate::inventory::state::{
    FRESHNESS, HEARTBEAT, RecordedVersion, RuntimeService, RuntimeStatus, Snapshot, conclude,
};
use crate::surface::ComponentObservation;
use crate::time::{Span, Timestamp};

type Decided = Result<Decision<InventoryEvent>, InventoryRefusal>;

impl RuntimeService {
    /// Decides that a record begins. It cannot be refused: the evidence says all there is to check, and that the module has no other
    /// record is kept by [`Claim::service`](crate::claim::Claim::service).
    pub fn register(command: RegisterService) -> Decision<InventoryEvent> {
        registered(&command.version)
    }

    /// Decides a command against the present state. Nothing changes until the events are applied, so this is also the preview.
    ///
    /// # Errors
    /// Evidence or an observation is about something else; the refusal says what would be legal.
    pub fn decide(&self, command: InventoryCommand, now: Timestamp) -> Decided {
        match command {
            InventoryCommand::RecordDeployedVersion { version } => self.record_version(&version),
            InventoryCommand::RecordObservation { observation } => self.record_observation(&observation, now),
            InventoryCommand::MarkUnobserved => Ok(self.mark_unobserved(now)),
            InventoryCommand::RetireService { reason } => Ok(self.retire(reason)),
        }
    }

    fn record_version(&self, evidence: &DeployedVersion) -> Decided {
        if evidence.tenant() != self.tenant_id {
            return Err(InventoryRefusal::ForeignTenant);
        }
        if evidence.environment() != self.environment_id {
            return Err(InventoryRefusal::ForeignEnvironment);
        }
        if evidence.revision().module != self.module_id {
            return Err(InventoryRefusal::ForeignModule {
                expected: self.module_id.clone(),
                given: evidence.revision().module.clone(),
            });
        }
        let version = RecordedVersion::from(evidence);
        if version == self.version {
            return Ok(Decision::unchanged(format!("{} is recorded already", version.revision)));
        }
        if self.status() == RuntimeStatus::Retired {
            return Ok(registered(evidence));
        }
        // What is not known stays so: a new version tells nothing about instances.
        let (status, why) = match (self.status(), self.state.seen()) {
            (RuntimeStatus::Unknown, _) | (_, None) => {
                (self.status(), format!("{} was recorded and nothing seen of it yet", version.revision))
            }
            (_, Some(seen)) => conclude(seen, &version.revision, true),
        };
        let explanation = format!("{} is {} now", version.revision, version.version);
        Ok(updated(InventoryUpdate::VersionRecorded { version, status, why }, explanation))
    }

    fn record_observation(&self, observation: &ComponentObservation, now: Timestamp) -> Decided {
        let key = &observation.key;
        let is_own = (key.tenant, key.environment, &key.module)
            == (self.tenant_id, self.environment_id, &self.module_id);
        if !is_own || observation.revisions.keys().any(|revision| revision.module != self.module_id) {
            return Err(InventoryRefusal::ForeignObservation);
        }
        if self.status() == RuntimeStatus::Retired {
            return Ok(Decision::unchanged("the service is retired: a late report changes nothing"));
        }
        let snapshot = Snapshot::of(observation, now);
        if Span::between(snapshot.observed_at, now) > FRESHNESS {
            return Ok(Decision::unchanged("the observation is too old to tell how the service is now"));
        }
        let last = self.state.seen();
        if last.is_some_and(|last| snapshot.observed_at <= last.observed_at) {
            return Ok(Decision::unchanged("the observation is no newer than the last one"));
        }
        let may_start = self.status() == RuntimeStatus::Starting;
        let (status, why) = conclude(&snapshot, &self.version.revision, may_start);
        match last {
            Some(last) if status == self.status() && snapshot.shows_the_same(last) => {
                Ok(seen_again(last.observed_at, snapshot.observed_at))
            }
            _ => {
                let explanation = format!("{status}: {why}");
                Ok(updated(InventoryUpdate::Observed { snapshot, status, why }, explanation))
            }
        }
    }

    fn mark_unobserved(&self, now: Timestamp) -> Decision<InventoryEvent> {
        match self.status() {
            RuntimeStatus::Retired => {
                return Decision::unchanged("the service is retired: nothing is to be seen");
            }
            RuntimeStatus::Unknown => return Decision::unchanged("it is Unknown already"),
            _ => {}
        }
        let silence = Span::between(self.last_heard(), now);
        if silence <= FRESHNESS {
            return Decision::unchanged(format!("it was heard of {silence} ago, which is recent enough"));
        }
        let why = format!("nothing was seen for {silence}");
        updated(InventoryUpdate::Unobserved { why: why.clone() }, why)
    }

    fn retire(&self, reason: String) -> Decision<InventoryEvent> {
        if self.status() == RuntimeStatus::Retired {
            return Decision::unchanged("it is retired already");
        }
        let explanation = format!("retired: {reason}");
        Decision::of(vec![InventoryEvent::RuntimeServiceRetired { reason }], explanation)
    }

    /// When it was last seen, or else registered.
    pub(super) fn last_heard(&self) -> Timestamp {
        self.last_observed_at().unwrap_or(self.registered_at)
    }
}

fn registered(version: &DeployedVersion) -> Decision<InventoryEvent> {
    let explanation = format!("registered: {} is {}", version.revision(), version.component().version);
    let registered = Registered {
        service_id: ServiceId::of(version.environment(), &version.revision().module),
        tenant_id: version.tenant(),
        environment_id: version.environment(),
        version: RecordedVersion::from(version),
    };
    updated(InventoryUpdate::Registered(registered), explanation)
}

fn seen_again(last: Timestamp, observed_at: Timestamp) -> Decision<InventoryEvent> {
    if Span::between(last, observed_at) < HEARTBEAT {
        return Decision::unchanged("all is as it was");
    }
    Decision::of(vec![InventoryEvent::ServiceSeen { observed_at }], "all is as it was, and was seen to be")
}

fn updated(update: InventoryUpdate, explanation: String) -> Decision<InventoryEvent> {
    Decision::of(vec![InventoryEvent::RuntimeInventoryUpdated(update)], explanation)
}
