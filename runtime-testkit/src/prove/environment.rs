//! Environments: the driver and the checker.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::environment::{
    ComputeTarget, EnvironmentChange, EnvironmentCommand, EnvironmentEvent, EnvironmentStage,
    EnvironmentState, IsolationModel, NetworkBoundary, ProvisionRuntimeEnvironment, ProvisionedResources,
    ProvisioningStatus, QuotaCommand, RuntimeEnvironment,
};
use runtime_domain::id::{Id, IdKind};
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::Actor;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::QuotaUnit;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};
use uuid::Uuid;

use crate::model::{EnvironmentModel, Facts};
use crate::plan::environment::{Blueprint, Change, EnvironmentPlan, Fit};
use crate::plan::{DESTINATIONS, Step};
use crate::prove::tenancy::evidence::{self, Who, quota};
use crate::prove::tenancy::isolation;
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::environment::environment_stories;

mod calendar;

/// Drives environments.
#[derive(Debug, Clone)]
pub struct EnvironmentDriver;

impl Driver<RuntimeEnvironment> for EnvironmentDriver {
    type Plan = EnvironmentPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(
        &self,
        state: Option<&RuntimeEnvironment>,
        plan: &EnvironmentPlan,
        now: Timestamp,
    ) -> Answer<EnvironmentEvent> {
        match (state, plan) {
            (state, EnvironmentPlan::Provision(blueprint)) => match provision(blueprint) {
                Some(command) => match state {
                    None => Answer::of(RuntimeEnvironment::provision(&command, now)),
                    Some(environment) => Answer::of(environment.provision_again(&command)),
                },
                None => Answer::Nothing,
            },
            (None, _) => Answer::Nothing,
            (Some(environment), plan) => match command(environment, plan, now) {
                Some(command) => Answer::of(environment.decide(&command, now)),
                None => ask_evidence(environment, plan, now).unwrap_or(Answer::Nothing),
            },
        }
    }
}

/// The identifier with this number.
pub(super) fn numbered<K: IdKind>(number: u128) -> Id<K> {
    Id::from_uuid(Uuid::from_u128(number))
}

fn provision(blueprint: &Blueprint) -> Option<ProvisionRuntimeEnvironment> {
    Some(ProvisionRuntimeEnvironment {
        environment_id: numbered(1),
        tenant_id: numbered(1),
        project_id: numbered(1),
        name: name(blueprint.name)?,
        stage: stage(blueprint.stage),
        region: region(blueprint.region)?,
        isolation_model: isolation(blueprint.isolation),
        surfaces: surfaces(blueprint.surfaces),
        egress_allow_list: egress(blueprint.egress),
        capacity: quota(blueprint.capacity)?,
    })
}

fn name(number: u8) -> Option<Name> {
    Name::new(&format!("name-{number}")).ok()
}

fn region(number: u8) -> Option<Name> {
    Name::new(&format!("region-{number}")).ok()
}

const fn stage(number: u8) -> EnvironmentStage {
    match number {
        0 => EnvironmentStage::Dev,
        1 => EnvironmentStage::Test,
        2 => EnvironmentStage::Staging,
        _ => EnvironmentStage::Prod,
    }
}

const SURFACES: [SurfaceKind; 5] = [
    SurfaceKind::Process,
    SurfaceKind::Kubernetes,
    SurfaceKind::ContainerApps,
    SurfaceKind::Functions,
    SurfaceKind::AppService,
];

fn surfaces(bits: u8) -> BTreeSet<SurfaceKind> {
    SURFACES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, surface)| *surface).collect()
}

fn egress(bits: u16) -> BTreeSet<String> {
    let chosen = DESTINATIONS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    chosen.map(|(_, (text, _))| (*text).to_owned()).collect()
}

fn command(
    environment: &RuntimeEnvironment,
    plan: &EnvironmentPlan,
    now: Timestamp,
) -> Option<EnvironmentCommand> {
    let retry_at = |seconds: u16| Span::from_secs(u64::from(seconds)).after(now);
    let operator = || Actor::new("operator").ok();
    Some(match plan {
        EnvironmentPlan::Calendar(wanted) => {
            EnvironmentCommand::ChangeCalendar { calendar: calendar::of(wanted)? }
        }
        EnvironmentPlan::StopLine { reason } => {
            EnvironmentCommand::StopTheLine { by: operator()?, reason: reason.clone() }
        }
        EnvironmentPlan::ResumeLine { reason } => {
            EnvironmentCommand::ResumeTheLine { by: operator()?, reason: reason.clone() }
        }
        EnvironmentPlan::Provision(_)
        | EnvironmentPlan::Reserve { .. }
        | EnvironmentPlan::Commit { .. }
        | EnvironmentPlan::Return { .. }
        | EnvironmentPlan::Clear { .. }
        | EnvironmentPlan::Tick => return None,
        EnvironmentPlan::Start => EnvironmentCommand::RecordProvisioningStarted,
        EnvironmentPlan::Made { fit, making } => {
            EnvironmentCommand::RecordProvisioned { resources: resources(environment, *fit, *making) }
        }
        EnvironmentPlan::Failed { reason, retry } => EnvironmentCommand::RecordProvisioningFailed {
            reason: reason.clone(),
            retry_at: retry.map(retry_at),
        },
        EnvironmentPlan::Retry => EnvironmentCommand::RetryProvisioning,
        EnvironmentPlan::Change(wanted) => EnvironmentCommand::ChangeEnvironment(change(wanted)),
        EnvironmentPlan::Protect => EnvironmentCommand::ProtectFromDeletion,
        EnvironmentPlan::Unprotect => EnvironmentCommand::Unprotect,
        EnvironmentPlan::Decommission { reason } => {
            EnvironmentCommand::DecommissionRuntimeEnvironment { reason: reason.clone() }
        }
        EnvironmentPlan::Expiry(seconds) => {
            EnvironmentCommand::ChangeExpiry { expires_at: seconds.map(retry_at) }
        }
        EnvironmentPlan::Expire => EnvironmentCommand::Expire,
        EnvironmentPlan::Lost { is_lost } => EnvironmentCommand::RecordResourcesLost {
            resources: is_lost.then(|| "state".to_owned()).into_iter().collect(),
        },
        EnvironmentPlan::Gone => EnvironmentCommand::RecordDecommissioned,
        EnvironmentPlan::NotGone { reason, retry } => EnvironmentCommand::RecordDecommissioningFailed {
            reason: reason.clone(),
            retry_at: retry_at(*retry),
        },
    })
}

fn change(wanted: &Change) -> EnvironmentChange {
    EnvironmentChange {
        name: wanted.name.and_then(name),
        stage: wanted.stage.map(stage),
        region: wanted.region.and_then(region),
        surfaces: wanted.surfaces.map(surfaces),
        egress_allow_list: wanted.egress.map(egress),
        capacity: wanted.capacity.and_then(quota),
    }
}

/// What an engine made: of the present blueprint, or a little beside it.
fn resources(environment: &RuntimeEnvironment, fit: Fit, making: u8) -> ProvisionedResources {
    let target = |surface: &SurfaceKind| ComputeTarget { surface: *surface, resource_ids: Vec::new() };
    let mut compute_targets: Vec<ComputeTarget> = environment.surfaces().iter().map(target).collect();
    let mut egress_allow_list = environment.egress_allow_list().clone();
    let mut stack_ref = "acme/shop/dev".to_owned();
    match fit {
        Fit::Exact => {}
        Fit::SurfaceMissing => drop(compute_targets.pop()),
        Fit::SurfaceStray => {
            match SURFACES.iter().find(|surface| !environment.surfaces().contains(surface)) {
                Some(stray) => compute_targets.push(target(stray)),
                None => stack_ref.clear(),
            }
        }
        Fit::SurfaceTwice => compute_targets.extend(environment.surfaces().first().map(target)),
        Fit::BoundaryWider => drop(egress_allow_list.insert("somewhere-else".to_owned())),
        Fit::ReferenceBlank => stack_ref = " ".to_owned(),
    }
    ProvisionedResources {
        stack_ref,
        compute_targets,
        network_boundary: NetworkBoundary { egress_allow_list, resource_ids: Vec::new() },
        outputs: BTreeMap::from([("making".to_owned(), making.to_string())]),
    }
}

/// Asks the ledger, or for a clearance, where the plan does.
fn ask_evidence(
    environment: &RuntimeEnvironment,
    plan: &EnvironmentPlan,
    now: Timestamp,
) -> Option<Answer<EnvironmentEvent>> {
    let who = |binding: u8, tenant: u8, is_elsewhere: bool| Who {
        environment: if is_elsewhere { 2 } else { 1 },
        owner: 1,
        tenant: 10 + u128::from(tenant),
        binding: 50 + u128::from(binding),
        isolation: IsolationModel::Pool,
    };
    let command = match plan {
        EnvironmentPlan::Reserve { binding, tenant, quota: amount, seconds } => {
            let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
            let until = millis.checked_add_signed(i64::from(*seconds) * 1_000)?;
            QuotaCommand::ReserveQuota {
                binding: numbered(50 + u128::from(*binding)),
                tenant: numbered(10 + u128::from(*tenant)),
                quota: quota(*amount)?,
                expires_at: Span::from_millis(until).after(Timestamp::UNIX_EPOCH),
            }
        }
        EnvironmentPlan::Commit { binding, tenant, quota, is_elsewhere } => QuotaCommand::CommitQuota {
            claimed: evidence::claimed(who(*binding, *tenant, *is_elsewhere), *quota, now)?,
        },
        EnvironmentPlan::Return { binding, tenant, is_elsewhere } => QuotaCommand::ReleaseQuota {
            released: evidence::released(who(*binding, *tenant, *is_elsewhere), now)?,
        },
        EnvironmentPlan::Tick => QuotaCommand::Tick,
        EnvironmentPlan::Clear { activity, glass } => {
            return Some(calendar::clear(environment, *activity, glass.as_ref(), now));
        }
        _ => return None,
    };
    Some(Answer::of(environment.decide_quota(&command, now)))
}

impl Provable for RuntimeEnvironment {
    type Plan = EnvironmentPlan;
    type Driver = EnvironmentDriver;
    type Model = EnvironmentModel;

    const FINAL: &'static [&'static str] = &["Decommissioned"];
    const KEPT: &'static [&'static str] = &[];

    fn stories() -> BoxedStrategy<Vec<Step<EnvironmentPlan>>> {
        environment_stories()
    }

    fn is_idempotent(plan: &EnvironmentPlan) -> bool {
        // A second failure while a change or a removal waits is another failure.
        !matches!(plan, EnvironmentPlan::Failed { .. } | EnvironmentPlan::NotGone { .. })
    }

    /// A ledger gives back what was reserved, even of an environment that is gone.
    fn is_at_rest(&self) -> bool {
        self.provisioning_status().is_final() && self.ledger().expires_at().is_none()
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        if let Some(before) = before {
            never_moves(before, after)?;
        }
        holds_no_more_than_there_is(after)?;
        let is_provisioned = after.provisioning_status() == ProvisioningStatus::Provisioned;
        let admitted = after.admit(Revision::FIRST, None);
        let refused_by = admitted.as_ref().err().map(|refusal| refusal.rule().number());
        let is_prod = after.stage() == EnvironmentStage::Prod;
        let wanted = match (is_provisioned, is_prod) {
            (false, _) => Some("ENV-1"),
            (true, true) => Some("ENV-3"),
            (true, false) => None,
        };
        Fault::unless(refused_by == wanted, wanted.unwrap_or("ENV-1"), || {
            format!(
                "it is {} in {}, and a deployment is refused by {refused_by:?}",
                after.provisioning_status(),
                after.stage()
            )
        })?;
        has_what_it_shows(after)
    }

    fn facts(&self, facts: Facts) -> Facts {
        let last = |name: &Name| name.as_str().chars().last().unwrap_or_default();
        let bits: u8 = SURFACES
            .iter()
            .enumerate()
            .filter(|(_, surface)| self.surfaces().contains(surface))
            .map(|(bit, _)| 1 << bit)
            .sum();
        let stage = match self.stage() {
            EnvironmentStage::Dev => 0,
            EnvironmentStage::Test => 1,
            EnvironmentStage::Staging => 2,
            EnvironmentStage::Prod => 3,
        };
        let admits = match self.admit(Revision::FIRST, None) {
            Ok(_) => "yes",
            Err(refusal) => refusal.rule().number(),
        };
        facts
            .with("stage", stage)
            .with("region", last(self.region()))
            .with("surfaces", bits)
            .with("protected", self.is_protected())
            .with("ends", self.ends_at().is_some())
            .with("admits", admits)
            .with("capacity", self.ledger().capacity().cpu_millicores())
            .with("stopped", self.stopped_line().is_some())
            .with("held", self.ledger().allocated(QuotaUnit::ALL[0]))
    }
}

/// ENV-2, and the rest that stands once provisioning has begun.
fn never_moves(before: &RuntimeEnvironment, after: &RuntimeEnvironment) -> Result<(), Fault> {
    let is_untouched = matches!(before.state(), EnvironmentState::Requested(state) if state.attempts == 0);
    if !is_untouched {
        let place = |environment: &RuntimeEnvironment| (environment.stage(), environment.region().clone());
        Fault::unless(place(before) == place(after), "ENV-2", || {
            format!("it was {:?} and is {:?}", place(before), place(after))
        })?;
        Fault::unless(before.name() == after.name(), "X-3", || {
            format!("it was called {} and is called {}", before.name(), after.name())
        })?;
        Fault::unless(before.surfaces().is_subset(after.surfaces()), "CAPABILITY", || {
            "a surface that may hold workloads was taken away".to_owned()
        })?;
    }
    Fault::unless(before.isolation_model() == after.isolation_model(), "TEN-1", || {
        "it keeps its tenants apart in another way".to_owned()
    })?;
    Fault::unless(before.created_at() == after.created_at(), "X-10", || "it began anew".to_owned())
}

/// TEN-2, summed anew.
fn holds_no_more_than_there_is(environment: &RuntimeEnvironment) -> Result<(), Fault> {
    let ledger = environment.ledger();
    for unit in QuotaUnit::ALL {
        let held = ledger.entries().values().map(|entry| {
            let reserved = entry.reserved.map_or(0, |reserved| reserved.quota.of(unit));
            u128::from(entry.committed.map_or(0, |quota| quota.of(unit)).max(reserved))
        });
        let held: u128 = held.sum();
        Fault::unless(held <= u128::from(ledger.capacity().of(unit)), "TEN-2", || {
            format!("{held} {unit} are held of {}", ledger.capacity().of(unit))
        })?;
    }
    Ok(())
}

fn has_what_it_shows(environment: &RuntimeEnvironment) -> Result<(), Fault> {
    let status = environment.provisioning_status();
    Fault::unless(!environment.surfaces().is_empty(), "CONTENT", || "it has no surface".to_owned())?;
    let targets: BTreeSet<SurfaceKind> =
        environment.compute_targets().iter().map(|target| target.surface).collect();
    Fault::unless(targets.is_subset(environment.surfaces()), "ENV-1", || {
        format!("it has targets for {targets:?}, and was asked for {:?}", environment.surfaces())
    })?;
    if let EnvironmentState::Provisioned(provisioned) = environment.state() {
        let is_current = provisioned.pending.is_some() || targets == *environment.surfaces();
        Fault::unless(is_current, "ENV-1", || "it is Provisioned, and a surface is missing".to_owned())?;
    }
    let is_gone = status == ProvisioningStatus::Decommissioned;
    Fault::unless(is_gone == environment.decommissioned_at().is_some(), "LIFECYCLE", || {
        format!("it is {status}, and was gone at {:?}", environment.decommissioned_at())
    })?;
    let is_leaving = is_gone || status == ProvisioningStatus::Decommissioning;
    Fault::unless(!(is_leaving && environment.is_protected()), "LIFECYCLE", || {
        format!("it is {status}, and protected from deletion")
    })?;
    Fault::unless(is_gone == environment.claims().is_empty(), "X-3", || {
        format!("it is {status}, and holds {:?}", environment.claims())
    })
}
