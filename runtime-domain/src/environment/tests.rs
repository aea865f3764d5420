//! The table of the context's docs, and what holds for every history.

mod admit;
mod calendar;
mod expiry;
mod ledger;
mod rules;
mod table;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::calendar::ChangeCalendar;
use crate::environment::*;
use crate::scope::Actor;
use crate::surface::SurfaceKind;
use crate::tenancy::ResourceQuota;
use crate::testing::{Told, at, id, name};

pub(crate) fn provision(stage: EnvironmentStage) -> ProvisionRuntimeEnvironment {
    ProvisionRuntimeEnvironment {
        environment_id: id(1),
        tenant_id: id(2),
        project_id: id(3),
        name: name("shop"),
        stage,
        region: name("westeurope"),
        isolation_model: IsolationModel::Silo,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        egress_allow_list: egress(&["api.example.com:443"]),
        capacity: ResourceQuota::LARGEST,
    }
}

pub(super) fn ada() -> Actor {
    Actor::new("ada").unwrap()
}

/// Open to every activity from 22:00 to 04:00.
pub(super) fn nightly() -> ChangeCalendar {
    let text = serde_json::json!({ "windows": [{
        "name": "night",
        "activities": ["deployment", "configuration", "rotation", "remediation"],
        "days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
        "from": "22:00",
        "to": "04:00",
    }] });
    serde_json::from_value(text).unwrap()
}

pub(super) fn stop(reason: &str) -> EnvironmentCommand {
    EnvironmentCommand::StopTheLine { by: ada(), reason: reason.to_string() }
}

pub(super) fn egress(destinations: &[&str]) -> BTreeSet<String> {
    destinations.iter().map(ToString::to_string).collect()
}

/// What an engine makes of a blueprint.
pub(crate) fn made(blueprint: &EnvironmentBlueprint) -> ProvisionedResources {
    let target = |surface: &SurfaceKind| ComputeTarget {
        surface: *surface,
        resource_ids: Vec::from(["host".to_string()]),
    };
    ProvisionedResources {
        stack_ref: "acme/shop/dev".to_string(),
        compute_targets: blueprint.surfaces.iter().map(target).collect(),
        network_boundary: NetworkBoundary {
            egress_allow_list: blueprint.egress_allow_list.clone(),
            resource_ids: Vec::new(),
        },
        outputs: BTreeMap::from([("namespace".to_string(), "shop".to_string())]),
    }
}

pub(super) fn asked_for(stage: EnvironmentStage) -> Told<RuntimeEnvironment> {
    Told::begin(RuntimeEnvironment::provision(&provision(stage), at(0)), at(0))
}

impl Told<RuntimeEnvironment> {
    pub(super) fn command(
        &mut self,
        command: &EnvironmentCommand,
        seconds: u64,
    ) -> Result<(), EnvironmentRefusal> {
        let decision = self.now().decide(command, at(seconds))?;
        self.happen(decision, at(seconds));
        Ok(())
    }
}

pub(super) fn fail() -> EnvironmentCommand {
    EnvironmentCommand::RecordProvisioningFailed {
        reason: "no capacity".to_string(),
        retry_at: Some(at(500)),
    }
}

pub(super) fn decommission() -> EnvironmentCommand {
    EnvironmentCommand::DecommissionRuntimeEnvironment { reason: "moved".to_string() }
}

/// An environment in each state.
pub(crate) fn in_state(stage: EnvironmentStage, status: ProvisioningStatus) -> Told<RuntimeEnvironment> {
    let mut told = asked_for(stage);
    let resources = made(&told.now().blueprint());
    let path: &[EnvironmentCommand] = match status {
        ProvisioningStatus::Requested => &[],
        ProvisioningStatus::Provisioning => &[EnvironmentCommand::RecordProvisioningStarted],
        ProvisioningStatus::ProvisioningFailed => &[EnvironmentCommand::RecordProvisioningStarted, fail()],
        ProvisioningStatus::Provisioned => &[
            EnvironmentCommand::RecordProvisioningStarted,
            EnvironmentCommand::RecordProvisioned { resources },
        ],
        ProvisioningStatus::Decommissioning => &[decommission()],
        ProvisioningStatus::Decommissioned => &[decommission(), EnvironmentCommand::RecordDecommissioned],
    };
    for command in path {
        told.command(command, 1).unwrap();
    }
    assert_eq!(told.now().provisioning_status(), status);
    told
}
