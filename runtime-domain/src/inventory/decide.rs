//! What a command comes to.

use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::deployment::DeployedVersion;
use crate::id::{EnvironmentId, TenantId};
use crate::inventory::{
    DeployedRevision, FRESHNESS, HEARTBEAT, InventoryChange, InventoryCommand, InventoryEvent,
    InventoryRefusal, RegisterService, RuntimeService, RuntimeStatus, ServiceRegistered, ServiceState,
    Unknown, UnknownCause,
};
use crate::reason;
use crate::surface::ComponentObservation;
use crate::time::{Span, Timestamp};

type Decided = Result<Decision<InventoryEvent>, InventoryRefusal>;

impl RuntimeService {
    /// Decides on a new inventory record.
    ///
    /// # Errors
    /// SVC-3 where the evidence is of another tenant; SVC-1 where it is of another environment.
    pub fn register(command: &RegisterService, now: Timestamp) -> Decided {
        check_scope(&command.version, command.tenant_id, command.environment_id)?;
        let deployed = deployed(&command.version, now);
        let module_id = deployed.revision.module.clone();
        let explanation =
            format!("deployment {} brought version {}", command.version.deployment(), deployed.version);
        let event = InventoryEvent::RuntimeInventoryUpdated {
            service_id: command.service_id,
            module_id,
            status: RuntimeStatus::Unknown,
            change: InventoryChange::Registered(ServiceRegistered {
                tenant_id: command.tenant_id,
                environment_id: command.environment_id,
                deployed,
            }),
        };
        Ok(Decision::of(vec![event], explanation))
    }

    /// Answers the command that made this record when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// As [`RuntimeService::register`]; SVC-1 where the version is of another module; X-3 where another version is recorded;
    /// LIFECYCLE where the service is Retired.
    pub fn register_again(&self, command: &RegisterService) -> Decided {
        self.check_alive("RegisterService")?;
        self.check_evidence(&command.version)?;
        check_scope(&command.version, command.tenant_id, command.environment_id)?;
        if *command.version.revision() == self.current.revision {
            Ok(Decision::unchanged("this service was registered before"))
        } else {
            Err(InventoryRefusal::Different { module: self.module_id.clone() })
        }
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::inventory) says.
    pub fn decide(&self, command: &InventoryCommand, now: Timestamp) -> Decided {
        match command {
            InventoryCommand::RecordDeployedVersion { version } => self.record_version(version, now),
            InventoryCommand::RecordObservation { observation } => self.record_observation(observation, now),
            InventoryCommand::MarkUnobserved { reason } => {
                self.check_alive("MarkUnobserved")?;
                Ok(self.unobserved(&reason::reported(reason), now))
            }
            InventoryCommand::RetireService { reason } => self.retire(reason),
        }
    }

    fn record_version(&self, version: &DeployedVersion, now: Timestamp) -> Decided {
        self.check_alive("RecordDeployedVersion")?;
        self.check_evidence(version)?;
        let deployed = deployed(version, now);
        if (DeployedRevision { recorded_at: self.current.recorded_at, ..deployed.clone() }) == self.current {
            return Ok(Decision::unchanged("this version was recorded before"));
        }
        let explanation = format!(
            "deployment {} brought version {}; nothing seen before is a verdict on it",
            version.deployment(),
            deployed.version
        );
        let change = InventoryChange::VersionRecorded(deployed);
        Ok(Decision::of(vec![self.updated(RuntimeStatus::Unknown, change)], explanation))
    }

    fn record_observation(&self, observation: &ComponentObservation, now: Timestamp) -> Decided {
        self.check_alive("RecordObservation")?;
        if observation.key != self.component_key() {
            return Err(InventoryRefusal::OtherComponent);
        }
        // A surface whose clock is ahead must not make later observations look old.
        let observed_at = observation.observed_at.min(now);
        if self.last_observed_at().is_some_and(|last| observed_at < last) {
            return Ok(Decision::unchanged("a newer observation was recorded"));
        }
        if Span::between(observed_at, now) > FRESHNESS {
            return Ok(self.unobserved("the newest observation is too old", now));
        }
        let state = self.derived(observation, observed_at);
        let is_due = Span::between(self.looked_at, now) >= HEARTBEAT;
        if !is_due && state.shows_the_same_as(&self.state) {
            return Ok(Decision::unchanged("nothing new was seen"));
        }
        let explanation = format!(
            "{} of {} instances are ready",
            state.last_observed().map_or(0, super::Observed::ready),
            state.last_observed().map_or(0, |observed| observed.instances.len())
        );
        Ok(Decision::of(vec![self.updated(state.status(), InventoryChange::Observed(state))], explanation))
    }

    /// What it comes to that nothing fresh was seen.
    fn unobserved(&self, reason: &str, now: Timestamp) -> Decision<InventoryEvent> {
        let is_stale = self.last_observed_at().is_none_or(|last| Span::between(last, now) > FRESHNESS);
        let is_unknown = self.state.status() == RuntimeStatus::Unknown;
        if is_stale && !is_unknown {
            let state = ServiceState::Unknown(Unknown {
                since: now,
                cause: UnknownCause::Stale { reason: reason.into() },
                last: self.state.last_observed().cloned(),
            });
            return Decision::of(
                vec![self.updated(RuntimeStatus::Unknown, InventoryChange::Observed(state))],
                "the newest observation is too old to tell how the service is",
            );
        }
        if self.awaits_first_look() || Span::between(self.looked_at, now) >= HEARTBEAT {
            return Decision::of(
                vec![InventoryEvent::ServiceObservationMissed { reason: reason.into() }],
                "it was looked at in vain",
            );
        }
        Decision::unchanged("it was looked at a moment ago")
    }

    fn retire(&self, why: &str) -> Decided {
        if self.state.status().is_final() {
            return Ok(Decision::unchanged("it was retired before"));
        }
        let reason = reason::stated(why).ok_or(InventoryRefusal::BadReason)?;
        let event = InventoryEvent::RuntimeServiceRetired {
            service_id: self.service_id,
            module_id: self.module_id.clone(),
            reason,
        };
        Ok(Decision::of(vec![event], "the component was taken away on purpose"))
    }

    fn updated(&self, status: RuntimeStatus, change: InventoryChange) -> InventoryEvent {
        InventoryEvent::RuntimeInventoryUpdated {
            service_id: self.service_id,
            module_id: self.module_id.clone(),
            status,
            change,
        }
    }

    fn check_alive(&self, command: &'static str) -> Result<(), InventoryRefusal> {
        let status = self.state.status();
        if status.is_final() { Err(InventoryRefusal::Lifecycle { command, status }) } else { Ok(()) }
    }

    fn check_evidence(&self, version: &DeployedVersion) -> Result<(), InventoryRefusal> {
        check_scope(version, self.tenant_id, self.environment_id)?;
        let module = &version.revision().module;
        if *module == self.module_id {
            Ok(())
        } else {
            Err(InventoryRefusal::OtherModule { module: module.clone() })
        }
    }
}

fn check_scope(
    version: &DeployedVersion,
    tenant: TenantId,
    environment: EnvironmentId,
) -> Result<(), InventoryRefusal> {
    if version.tenant() != tenant {
        Err(InventoryRefusal::ForeignTenant)
    } else if version.environment() != environment {
        Err(InventoryRefusal::OtherEnvironment)
    } else {
        Ok(())
    }
}

fn deployed(version: &DeployedVersion, now: Timestamp) -> DeployedRevision {
    let component = version.component();
    DeployedRevision {
        revision: version.revision().clone(),
        component_type: component.component_type,
        image: component.tuple.image.clone(),
        version: component.version.clone(),
        compute_target: component.surface,
        replicas: component.replicas,
        recorded_at: now,
    }
}
