//! An environment, as spec.md §2 and the context's table describe it.

use std::collections::BTreeSet;

use crate::model::environment::calendar::Times;
use crate::model::environment::ledger::Ledger;
use crate::model::{Facts, Foreseen, Model, exclusive, text};
use crate::plan::DESTINATIONS;
use crate::plan::environment::{Blueprint, Change, EnvironmentPlan, Fit};

mod calendar;
mod ledger;

/// The model of an environment.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentModel {
    life: Option<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    wanted: Blueprint,
    is_protected: bool,
    expires_at: Option<i64>,
    phase: Phase,
    /// How often provisioning was begun.
    tries: u32,
    ledger: Ledger,
    times: Times,
}

#[derive(Debug, Clone)]
enum Phase {
    Requested,
    Provisioning,
    Failed { reason: String, retry_at: Option<i64> },
    Provisioned { made: Made, waits: Option<Waits> },
    Decommissioning,
    Decommissioned,
}

/// What stands: for which surfaces and destinations, and from which making.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    surfaces: u8,
    egress: u16,
    making: u8,
}

/// A change that is not applied yet.
#[derive(Debug, Clone)]
struct Waits {
    retry_at: Option<i64>,
}

const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
/// The stage that never ends by itself.
const PROD: u8 = 3;
const CONTENT: Foreseen = Foreseen::Refused("CONTENT");

fn quietly() -> Foreseen {
    Foreseen::Changes(Vec::new())
}

fn is_legal(egress: u16) -> bool {
    DESTINATIONS.iter().enumerate().all(|(bit, (_, legal))| *legal || egress >> bit & 1 == 0)
}

impl Model for EnvironmentModel {
    type Plan = EnvironmentPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &EnvironmentPlan, now: i64) -> Foreseen {
        let Some(life) = &mut self.life else {
            let EnvironmentPlan::Provision(blueprint) = plan else { return Foreseen::Report };
            if blueprint.surfaces == 0 || !is_legal(blueprint.egress) {
                return CONTENT;
            }
            let wanted = blueprint.clone();
            self.life = Some(Life {
                wanted,
                is_protected: false,
                expires_at: None,
                phase: Phase::Requested,
                tries: 0,
                ledger: Ledger::default(),
                times: Times::default(),
            });
            return quietly();
        };
        match plan {
            EnvironmentPlan::Provision(blueprint) => life.provision_again(blueprint),
            EnvironmentPlan::Start => life.start(),
            EnvironmentPlan::Made { fit, making } => life.made(*fit, *making),
            EnvironmentPlan::Failed { reason, retry } => {
                life.failed(text::kept(reason), retry.map(|retry| now + i64::from(retry)))
            }
            EnvironmentPlan::Retry => life.retry(now),
            EnvironmentPlan::Change(change) => life.change(change, now),
            EnvironmentPlan::Protect => life.protect(true),
            EnvironmentPlan::Unprotect => life.protect(false),
            EnvironmentPlan::Decommission { reason } => life.decommission(reason),
            EnvironmentPlan::Expiry(seconds) => life.expiry(seconds.map(|seconds| now + i64::from(seconds))),
            EnvironmentPlan::Expire => life.expire(now),
            EnvironmentPlan::Lost { is_lost } => life.lost(*is_lost, now),
            EnvironmentPlan::Gone => life.gone(),
            EnvironmentPlan::NotGone { .. } => match life.phase {
                Phase::Decommissioning => quietly(),
                _ => LIFECYCLE,
            },
            EnvironmentPlan::Reserve { binding, tenant, quota, seconds } => {
                if life.is_leaving() {
                    return LIFECYCLE;
                }
                let wanted =
                    ledger::Wanted { tenant: *tenant, quota: *quota, until: now + i64::from(*seconds) };
                life.ledger.reserve(*binding, wanted, life.wanted.capacity, now)
            }
            EnvironmentPlan::Commit { is_elsewhere: true, .. }
            | EnvironmentPlan::Return { is_elsewhere: true, .. } => Foreseen::Refused("X-1"),
            EnvironmentPlan::Commit { binding, tenant, quota, .. } => {
                let is_leaving = life.is_leaving();
                life.ledger.commit(*binding, *tenant, *quota, is_leaving, now)
            }
            EnvironmentPlan::Return { binding, tenant, .. } => life.ledger.give_back(*binding, *tenant),
            EnvironmentPlan::Tick => life.ledger.tick(now),
            EnvironmentPlan::Calendar(_)
            | EnvironmentPlan::StopLine { .. }
            | EnvironmentPlan::ResumeLine { .. }
            | EnvironmentPlan::Clear { .. }
                if life.is_leaving() =>
            {
                LIFECYCLE
            }
            EnvironmentPlan::Calendar(calendar) => life.times.change(calendar),
            EnvironmentPlan::StopLine { reason } => life.times.turn(true, reason),
            EnvironmentPlan::ResumeLine { reason } => life.times.turn(false, reason),
            EnvironmentPlan::Clear { activity, glass } => life.times.clear(*activity, glass.as_deref(), now),
        }
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let (status, wakes) = match &life.phase {
            Phase::Requested => ("Requested", true),
            Phase::Provisioning => ("Provisioning", true),
            Phase::Failed { retry_at, .. } => ("ProvisioningFailed", retry_at.is_some()),
            Phase::Provisioned { waits, .. } => {
                ("Provisioned", waits.as_ref().is_some_and(|waits| waits.retry_at.is_some()))
            }
            Phase::Decommissioning => ("Decommissioning", true),
            Phase::Decommissioned => ("Decommissioned", false),
        };
        let name = format_args!("environment/prj_{:032x}/name-{}", 1, life.wanted.name).to_string();
        let claims = if status == "Decommissioned" { BTreeSet::new() } else { [exclusive(name)].into() };
        let ends = life.expires_at.is_some() && !life.is_protected && !life.is_leaving();
        let wakes = wakes || ends || life.ledger.waits();
        let facts = Facts { status: status.to_owned(), claims, wakes, ..Facts::default() };
        // ENV-1, ENV-3: what a deployment is told.
        let admits = match (&life.phase, life.wanted.stage) {
            (Phase::Provisioned { .. }, 3) => "ENV-3",
            (Phase::Provisioned { .. }, _) => "yes",
            _ => "ENV-1",
        };
        Some(
            facts
                .with("stage", life.wanted.stage)
                .with("region", life.wanted.region)
                .with("surfaces", life.wanted.surfaces)
                .with("protected", life.is_protected)
                .with("ends", ends)
                .with("admits", admits)
                .with("capacity", u16::from(life.wanted.capacity) + 1)
                .with("held", life.ledger.held())
                .with("stopped", life.times.is_stopped()),
        )
    }
}

impl Life {
    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Decommissioning | Phase::Decommissioned)
    }

    fn provision_again(&self, blueprint: &Blueprint) -> Foreseen {
        match &self.phase {
            Phase::Decommissioned => LIFECYCLE,
            _ if *blueprint == self.wanted => Foreseen::Same,
            _ => Foreseen::Refused("X-3"),
        }
    }

    fn start(&mut self) -> Foreseen {
        match self.phase {
            Phase::Requested => {
                self.phase = Phase::Provisioning;
                self.tries += 1;
                quietly()
            }
            Phase::Provisioning => Foreseen::Same,
            _ => LIFECYCLE,
        }
    }

    fn made(&mut self, fit: Fit, making: u8) -> Foreseen {
        let made = Made { surfaces: self.wanted.surfaces, egress: self.wanted.egress, making };
        let published = match &self.phase {
            Phase::Provisioning => vec!["RuntimeEnvironmentProvisioned"],
            Phase::Provisioned { made: before, waits: None } if *before == made && fit == Fit::Exact => {
                return Foreseen::Same;
            }
            Phase::Provisioned { .. } => Vec::new(),
            _ => return LIFECYCLE,
        };
        if fit != Fit::Exact {
            return CONTENT;
        }
        self.phase = Phase::Provisioned { made, waits: None };
        Foreseen::Changes(published)
    }

    fn failed(&mut self, reason: String, retry_at: Option<i64>) -> Foreseen {
        match &mut self.phase {
            Phase::Provisioning => {
                self.phase = Phase::Failed { reason, retry_at };
                quietly()
            }
            Phase::Failed { reason: before, retry_at: at } if *before == reason && *at == retry_at => {
                Foreseen::Same
            }
            Phase::Provisioned { waits: Some(waits), .. } => {
                waits.retry_at = retry_at;
                quietly()
            }
            _ => LIFECYCLE,
        }
    }

    fn retry(&mut self, now: i64) -> Foreseen {
        match &mut self.phase {
            Phase::Requested | Phase::Provisioning => Foreseen::Same,
            Phase::Failed { .. } => {
                self.phase = Phase::Requested;
                quietly()
            }
            Phase::Provisioned { waits: Some(waits), .. } if waits.retry_at.is_none_or(|at| at > now) => {
                waits.retry_at = Some(now);
                quietly()
            }
            Phase::Provisioned { .. } => Foreseen::Same,
            Phase::Decommissioning | Phase::Decommissioned => LIFECYCLE,
        }
    }

    fn change(&mut self, change: &Change, now: i64) -> Foreseen {
        if self.is_leaving() {
            return LIFECYCLE;
        }
        let own = &self.wanted;
        let other = Blueprint {
            name: change.name.unwrap_or(own.name),
            stage: change.stage.unwrap_or(own.stage),
            region: change.region.unwrap_or(own.region),
            surfaces: change.surfaces.unwrap_or(own.surfaces),
            egress: change.egress.unwrap_or(own.egress),
            capacity: change.capacity.unwrap_or(own.capacity),
            isolation: own.isolation,
        };
        let may_be_anywhere = matches!(self.phase, Phase::Requested) && self.tries == 0;
        if !may_be_anywhere {
            if other.stage != own.stage || other.region != own.region {
                return Foreseen::Refused("ENV-2");
            }
            if other.name != own.name {
                return Foreseen::Refused("X-3");
            }
            if other.surfaces != 0 && own.surfaces & !other.surfaces != 0 {
                return Foreseen::Refused("CAPABILITY");
            }
        }
        if other.surfaces == 0 || (other.egress != own.egress && !is_legal(other.egress)) {
            return CONTENT;
        }
        if other.stage != own.stage && other.stage == PROD && self.expires_at.is_some() {
            return LIFECYCLE;
        }
        if other == *own {
            return Foreseen::Same;
        }
        if other.capacity != own.capacity && !self.ledger.resize(other.capacity, now) {
            return Foreseen::Refused("TEN-2");
        }
        self.wanted = other;
        if let Phase::Provisioned { waits, .. } = &mut self.phase {
            *waits = Some(Waits { retry_at: Some(now) });
        }
        quietly()
    }

    fn protect(&mut self, wanted: bool) -> Foreseen {
        if self.is_leaving() {
            return LIFECYCLE;
        }
        let is_same = self.is_protected == wanted;
        self.is_protected = wanted;
        if is_same { Foreseen::Same } else { quietly() }
    }

    fn expiry(&mut self, expires_at: Option<i64>) -> Foreseen {
        if self.is_leaving() || (expires_at.is_some() && self.wanted.stage == PROD) {
            return LIFECYCLE;
        }
        if self.expires_at == expires_at {
            return Foreseen::Same;
        }
        self.expires_at = expires_at;
        quietly()
    }

    fn expire(&mut self, now: i64) -> Foreseen {
        if self.is_leaving() || self.is_protected || self.expires_at.is_none_or(|at| at > now) {
            return Foreseen::Same;
        }
        self.phase = Phase::Decommissioning;
        quietly()
    }

    fn lost(&mut self, is_lost: bool, now: i64) -> Foreseen {
        match &mut self.phase {
            Phase::Provisioned { waits: waits @ None, .. } if is_lost => {
                *waits = Some(Waits { retry_at: Some(now) });
                quietly()
            }
            _ => Foreseen::Same,
        }
    }

    fn decommission(&mut self, reason: &str) -> Foreseen {
        if self.is_leaving() {
            return Foreseen::Same;
        }
        if self.is_protected {
            return LIFECYCLE;
        }
        if !text::is_reason(reason) {
            return CONTENT;
        }
        self.phase = Phase::Decommissioning;
        quietly()
    }

    fn gone(&mut self) -> Foreseen {
        match self.phase {
            Phase::Decommissioning => {
                self.phase = Phase::Decommissioned;
                Foreseen::Changes(vec!["RuntimeEnvironmentDecommissioned"])
            }
            Phase::Decommissioned => Foreseen::Same,
            _ => LIFECYCLE,
        }
    }
}
