//! What a command comes to.

mod calendar;
mod expiry;
mod promotion;
mod quota;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::aggregate::Decision;
use crate::environment::{
    EnvironmentChange, EnvironmentCommand, EnvironmentEvent, EnvironmentRefusal, EnvironmentRequested,
    EnvironmentStage, EnvironmentState, ProvisionRuntimeEnvironment, ProvisionedResources,
    RuntimeEnvironment,
};
use crate::reason;
use crate::surface::SurfaceKind;
use crate::time::Timestamp;

type Decided = Result<Decision<EnvironmentEvent>, EnvironmentRefusal>;

impl RuntimeEnvironment {
    /// Decides on a new environment.
    ///
    /// # Errors
    /// No surface, or a destination that cannot be read.
    pub fn provision(command: &ProvisionRuntimeEnvironment, _now: Timestamp) -> Decided {
        if command.surfaces.is_empty() {
            return Err(EnvironmentRefusal::NoSurface);
        }
        check_destinations(&command.egress_allow_list)?;
        let explanation = format!("{} environment `{}` was asked for", command.stage, command.name);
        let requested = EnvironmentRequested {
            environment_id: command.environment_id,
            tenant_id: command.tenant_id,
            project_id: command.project_id,
            name: command.name.clone(),
            stage: command.stage,
            region: command.region.clone(),
            isolation_model: command.isolation_model,
            surfaces: command.surfaces.clone(),
            egress_allow_list: command.egress_allow_list.clone(),
            capacity: command.capacity,
        };
        Ok(Decision::of(vec![EnvironmentEvent::EnvironmentRequested(requested)], explanation))
    }

    /// Answers the command that made this environment when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// X-3 where the environment differs from what is asked for; LIFECYCLE where it is gone, so
    /// that its name is free.
    pub fn provision_again(&self, command: &ProvisionRuntimeEnvironment) -> Decided {
        if let EnvironmentState::Decommissioned(_) = self.state {
            return Err(self.lifecycle(
                "ProvisionRuntimeEnvironment",
                "ask for a new environment, with a new identifier; the name is free",
            ));
        }
        let same = command.tenant_id == self.tenant_id
            && command.project_id == self.project_id
            && command.name == self.name
            && command.stage == self.stage
            && command.region == self.region
            && command.isolation_model == self.isolation_model
            && command.surfaces == self.surfaces
            && command.egress_allow_list == self.egress_allow_list
            && command.capacity == self.ledger.capacity();
        if same {
            Ok(Decision::unchanged("this environment was asked for before"))
        } else {
            Err(EnvironmentRefusal::Different { name: command.name.clone() })
        }
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::environment) says.
    pub fn decide(&self, command: &EnvironmentCommand, now: Timestamp) -> Decided {
        match command {
            EnvironmentCommand::RecordProvisioningStarted => self.start(),
            EnvironmentCommand::RecordProvisioned { resources } => self.provisioned(resources),
            EnvironmentCommand::RecordProvisioningFailed { reason, retry_at } => {
                self.provisioning_failed(&reason::reported(reason), *retry_at)
            }
            EnvironmentCommand::RetryProvisioning => self.retry(now),
            EnvironmentCommand::ChangeEnvironment(change) => self.change(change, now),
            EnvironmentCommand::ProtectFromDeletion => self.protect(true),
            EnvironmentCommand::Unprotect => self.protect(false),
            EnvironmentCommand::ChangeCalendar { calendar } => self.change_calendar(calendar),
            EnvironmentCommand::StopTheLine { by, reason } => self.stop_the_line(by, reason),
            EnvironmentCommand::ResumeTheLine { by, reason } => self.resume_the_line(by, reason),
            EnvironmentCommand::ChangeExpiry { expires_at } => self.change_expiry(*expires_at),
            EnvironmentCommand::Expire => self.expire(now),
            EnvironmentCommand::RecordResourcesLost { resources } => self.resources_lost(resources),
            EnvironmentCommand::DecommissionRuntimeEnvironment { reason } => self.decommission(reason),
            EnvironmentCommand::RecordDecommissioned => self.decommissioned(),
            EnvironmentCommand::RecordDecommissioningFailed { reason, retry_at } => {
                self.decommissioning_failed(&reason::reported(reason), *retry_at)
            }
        }
    }

    fn start(&self) -> Decided {
        match &self.state {
            EnvironmentState::Requested(_) => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentProvisioningStarted],
                "a reconciler took it up",
            )),
            EnvironmentState::Provisioning(_) => Ok(Decision::unchanged("provisioning was begun before")),
            EnvironmentState::ProvisioningFailed(_) => {
                Err(self.lifecycle("RecordProvisioningStarted", "retry provisioning first"))
            }
            EnvironmentState::Provisioned(_)
            | EnvironmentState::Decommissioning(_)
            | EnvironmentState::Decommissioned(_) => {
                Err(self.lifecycle("RecordProvisioningStarted", "leave it: nothing waits to be provisioned"))
            }
        }
    }

    fn provisioned(&self, resources: &ProvisionedResources) -> Decided {
        let update = match &self.state {
            EnvironmentState::Provisioning(_) => false,
            EnvironmentState::Provisioned(state)
                if state.pending.is_none() && state.resources == *resources =>
            {
                return Ok(Decision::unchanged("these resources were recorded before"));
            }
            EnvironmentState::Provisioned(_) => true,
            EnvironmentState::Requested(_) | EnvironmentState::ProvisioningFailed(_) => {
                return Err(self.lifecycle("RecordProvisioned", "record first that provisioning has started"));
            }
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                return Err(self.lifecycle("RecordProvisioned", "let the engine destroy what it made"));
            }
        };
        if let Some(misfit) = self.misfit(resources) {
            return Err(EnvironmentRefusal::Misfit { misfit });
        }
        let resources = resources.clone();
        Ok(if update {
            Decision::of(
                vec![EnvironmentEvent::EnvironmentResourcesUpdated { resources }],
                "the engine brought the changed blueprint about",
            )
        } else {
            let explanation = format!("the engine brought it about as {}", resources.stack_ref);
            let event = EnvironmentEvent::RuntimeEnvironmentProvisioned {
                environment_id: self.environment_id,
                project_id: self.project_id,
                name: self.name.clone(),
                stage: self.stage,
                region: self.region.clone(),
                isolation_model: self.isolation_model,
                resources,
            };
            Decision::of(vec![event], explanation)
        })
    }

    /// What of the resources is not as the present blueprint asks: one target per surface, and the wanted boundary, no wider.
    pub(super) fn misfit(&self, resources: &ProvisionedResources) -> Option<String> {
        let targets: BTreeSet<SurfaceKind> =
            resources.compute_targets.iter().map(|target| target.surface).collect();
        if targets.len() != resources.compute_targets.len() {
            return Some("a surface has more than one compute target".into());
        }
        if let Some(missing) = self.surfaces.difference(&targets).next() {
            return Some(format!("surface {missing} has no compute target"));
        }
        if let Some(stray) = targets.difference(&self.surfaces).next() {
            return Some(format!("surface {stray} was not asked for"));
        }
        if resources.network_boundary.egress_allow_list != self.egress_allow_list {
            return Some("the network boundary keeps another egress list than the one asked for".into());
        }
        resources.stack_ref.trim().is_empty().then(|| "the engine gave no reference to the whole".into())
    }

    fn provisioning_failed(&self, why: &str, retry_at: Option<Timestamp>) -> Decided {
        let reason = String::from(why);
        match &self.state {
            EnvironmentState::Provisioning(_) => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentProvisioningFailed { reason, retry_at }],
                "the engine could not bring it about",
            )),
            EnvironmentState::Provisioned(state) if state.pending.is_some() => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentChangeFailed { reason, retry_at }],
                "the engine could not apply the change; what was there stays",
            )),
            EnvironmentState::ProvisioningFailed(state)
                if state.reason == why && state.retry_at == retry_at =>
            {
                Ok(Decision::unchanged("this failure was recorded before"))
            }
            EnvironmentState::Requested(_)
            | EnvironmentState::ProvisioningFailed(_)
            | EnvironmentState::Provisioned(_)
            | EnvironmentState::Decommissioning(_)
            | EnvironmentState::Decommissioned(_) => {
                Err(self.lifecycle("RecordProvisioningFailed", "leave it: nothing is being provisioned"))
            }
        }
    }

    fn retry(&self, now: Timestamp) -> Decided {
        match &self.state {
            EnvironmentState::ProvisioningFailed(_) => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentProvisioningRetried],
                "provisioning is tried again",
            )),
            EnvironmentState::Provisioned(state)
                if state
                    .pending
                    .as_ref()
                    .is_some_and(|pending| pending.retry_at.is_none_or(|retry_at| retry_at > now)) =>
            {
                Ok(Decision::of(
                    vec![EnvironmentEvent::EnvironmentProvisioningRetried],
                    "applying the change is tried again",
                ))
            }
            EnvironmentState::Requested(_) | EnvironmentState::Provisioning(_) => {
                Ok(Decision::unchanged("it is being provisioned"))
            }
            EnvironmentState::Provisioned(_) => Ok(Decision::unchanged("nothing waits to be tried again")),
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                Err(self.lifecycle("RetryProvisioning", "provision a new environment"))
            }
        }
    }

    fn change(&self, asked: &EnvironmentChange, now: Timestamp) -> Decided {
        let untouched = match &self.state {
            EnvironmentState::Requested(state) => state.attempts == 0,
            EnvironmentState::Provisioning(_)
            | EnvironmentState::ProvisioningFailed(_)
            | EnvironmentState::Provisioned(_) => false,
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                return Err(self.lifecycle("ChangeEnvironment", "provision a new environment"));
            }
        };
        let change = self.difference(asked);
        if !untouched {
            self.check_fixed(&change)?;
        }
        if change.surfaces.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(EnvironmentRefusal::NoSurface);
        }
        if let Some(destinations) = &change.egress_allow_list {
            check_destinations(destinations)?;
        }
        if change.stage == Some(EnvironmentStage::Prod) && self.expires_at.is_some() {
            return Err(EnvironmentRefusal::EndlessStage);
        }
        if change.is_empty() {
            return Ok(Decision::unchanged("it is as asked"));
        }
        let mut events = change.capacity.map_or(Ok(Vec::new()), |capacity| self.resize(capacity, now))?;
        events.push(EnvironmentEvent::EnvironmentChanged { change });
        Ok(Decision::of(events, "a change was asked for"))
    }

    /// What of a change differs from what is.
    fn difference(&self, asked: &EnvironmentChange) -> EnvironmentChange {
        EnvironmentChange {
            name: asked.name.clone().filter(|name| *name != self.name),
            stage: asked.stage.filter(|stage| *stage != self.stage),
            region: asked.region.clone().filter(|region| *region != self.region),
            surfaces: asked.surfaces.clone().filter(|surfaces| *surfaces != self.surfaces),
            egress_allow_list: asked.egress_allow_list.clone().filter(|list| *list != self.egress_allow_list),
            capacity: asked.capacity.filter(|capacity| *capacity != self.ledger.capacity()),
        }
    }

    /// ENV-2, and what else stands once resources may exist.
    fn check_fixed(&self, change: &EnvironmentChange) -> Result<(), EnvironmentRefusal> {
        let status = self.state.status();
        if change.stage.is_some() {
            return Err(EnvironmentRefusal::Fixed { field: "stage", status });
        }
        if change.region.is_some() {
            return Err(EnvironmentRefusal::Fixed { field: "region", status });
        }
        if change.name.is_some() {
            return Err(EnvironmentRefusal::NameTaken { status });
        }
        let kept = |surface: &SurfaceKind| {
            change.surfaces.as_ref().is_none_or(|surfaces| surfaces.is_empty() || surfaces.contains(surface))
        };
        match self.surfaces.iter().find(|surface| !kept(surface)) {
            Some(surface) => Err(EnvironmentRefusal::SurfaceRemoved { surface: *surface, status }),
            None => Ok(()),
        }
    }

    fn protect(&self, wanted: bool) -> Decided {
        let command = if wanted { "ProtectFromDeletion" } else { "Unprotect" };
        match &self.state {
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                Err(self.lifecycle(command, "protect an environment that is not being taken down"))
            }
            _ if self.is_protected == wanted => Ok(Decision::unchanged("it is as asked")),
            _ if wanted => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentProtected],
                "it is protected from deletion",
            )),
            _ => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentUnprotected],
                "its protection from deletion was taken away",
            )),
        }
    }

    fn decommission(&self, why: &str) -> Decided {
        match &self.state {
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                Ok(Decision::unchanged("it was asked for before"))
            }
            _ if self.is_protected => Err(EnvironmentRefusal::Protected),
            _ => {
                let reason = reason::stated(why).ok_or(EnvironmentRefusal::BadReason)?;
                Ok(Decision::of(
                    vec![EnvironmentEvent::EnvironmentDecommissioningStarted { reason }],
                    "it is to be taken down",
                ))
            }
        }
    }

    fn decommissioned(&self) -> Decided {
        match &self.state {
            EnvironmentState::Decommissioning(state) => Ok(Decision::of(
                vec![EnvironmentEvent::RuntimeEnvironmentDecommissioned {
                    environment_id: self.environment_id,
                    reason: state.reason.clone(),
                }],
                "the engine removed everything",
            )),
            EnvironmentState::Decommissioned(_) => Ok(Decision::unchanged("it was recorded before")),
            _ => Err(self.lifecycle("RecordDecommissioned", "decommission it first")),
        }
    }

    fn decommissioning_failed(&self, why: &str, retry_at: Timestamp) -> Decided {
        match &self.state {
            EnvironmentState::Decommissioning(_) => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentDecommissioningFailed { reason: why.into(), retry_at }],
                "the engine could not remove everything",
            )),
            _ => Err(self.lifecycle("RecordDecommissioningFailed", "leave it: nothing is being removed")),
        }
    }

    fn lifecycle(&self, command: &'static str, remedy: &'static str) -> EnvironmentRefusal {
        EnvironmentRefusal::Lifecycle { command, status: self.state.status(), remedy }
    }
}

fn check_destinations(destinations: &BTreeSet<String>) -> Result<(), EnvironmentRefusal> {
    match destinations.iter().find(|destination| !is_destination(destination)) {
        Some(destination) => {
            Err(EnvironmentRefusal::BadDestination { destination: destination.chars().take(80).collect() })
        }
        None => Ok(()),
    }
}

/// `host` or `host:port`, the host a DNS name or an IP address; an IPv6 address in brackets.
pub(super) fn is_destination(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let is_port_legal = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_port_legal && address.parse::<core::net::Ipv6Addr>().is_ok();
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    port.is_none_or(is_port) && is_host(host)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}
