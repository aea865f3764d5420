//! Tenant bindings: the driver and the checker.

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::environment::HostedEnvironment;
use runtime_domain::environment::IsolationModel;
use runtime_domain::tenancy::{
    BindTenant, BindingState, PartitionAssignment, PartitionKey, ResourceQuota, RuntimeTenantBinding,
    TenancyCommand, TenancyEvent,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;

use crate::model::{Facts, TenancyModel};
use crate::plan::Step;
use crate::plan::tenancy::{Place, TenancyPlan};
use crate::prove::environment::{hosted, numbered};
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::tenancy::tenancy_stories;

/// Drives tenant bindings: the environment that hosts them is provisioned for every question.
#[derive(Debug, Clone)]
pub struct TenancyDriver;

impl Driver<RuntimeTenantBinding> for TenancyDriver {
    type Plan = TenancyPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(
        &self,
        state: Option<&RuntimeTenantBinding>,
        plan: &TenancyPlan,
        now: Timestamp,
    ) -> Answer<TenancyEvent> {
        match (state, plan) {
            (None, TenancyPlan::Bind(place)) => match bind(place, now) {
                Some(command) => Answer::of(RuntimeTenantBinding::bind(&command, now)),
                None => Answer::Nothing,
            },
            (None, _) => Answer::Nothing,
            (Some(binding), TenancyPlan::Bind(place)) => match bind(place, now) {
                Some(command) => Answer::of(binding.bind_again(&command)),
                None => Answer::Nothing,
            },
            (Some(binding), TenancyPlan::Adjust { quota }) => match quota_of(*quota) {
                Some(quota) => Answer::of(binding.decide(&TenancyCommand::AdjustQuota { quota }, now)),
                None => Answer::Nothing,
            },
            (Some(binding), TenancyPlan::Release { reason }) => {
                let command = TenancyCommand::ReleaseTenant { reason: reason.clone() };
                Answer::of(binding.decide(&command, now))
            }
        }
    }
}

fn quota_of(quota: u8) -> Option<ResourceQuota> {
    let units = u64::from(quota) + 1;
    ResourceQuota::new(units, units, units, units).ok()
}

fn bind(place: &Place, now: Timestamp) -> Option<BindTenant> {
    let environment: HostedEnvironment = hosted(isolation(place.offered), now)?;
    Some(BindTenant {
        tenant_binding_id: numbered(5),
        tenant_id: numbered(if place.is_own { 1 } else { 2 }),
        environment,
        isolation_model: isolation(place.wanted),
        quota: quota_of(place.quota)?,
        partitions: PartitionAssignment {
            network: PartitionKey::new(&format!("net-{}", place.partition)).ok()?,
            data: PartitionKey::new(&format!("data-{}", place.partition)).ok()?,
        },
    })
}

pub(super) const fn isolation(number: u8) -> IsolationModel {
    match number {
        0 => IsolationModel::Silo,
        1 => IsolationModel::Pool,
        _ => IsolationModel::Shared,
    }
}

impl Provable for RuntimeTenantBinding {
    type Plan = TenancyPlan;
    type Driver = TenancyDriver;
    type Model = TenancyModel;

    const FINAL: &'static [&'static str] = &["Released"];
    const KEPT: &'static [&'static str] = &[];

    fn stories() -> BoxedStrategy<Vec<Step<TenancyPlan>>> {
        tenancy_stories()
    }

    fn is_idempotent(_plan: &TenancyPlan) -> bool {
        true
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        if let Some(before) = before {
            let kept = |binding: &Self| {
                (binding.isolation_model(), binding.partitions().clone(), binding.bound_at())
            };
            Fault::unless(kept(before) == kept(after), "TEN-1", || {
                "its isolation, its partitions or its beginning changed".to_owned()
            })?;
        }
        let claims = after.claims();
        let is_bound = matches!(after.state(), BindingState::Bound(_));
        Fault::unless(is_bound == after.quota().is_some(), "TEN-2", || {
            format!("it is {}, and its quota is {:?}", Aggregate::status(after), after.quota())
        })?;
        let own = Claim::tenant_binding(after.tenant_id(), after.environment_id());
        Fault::unless(claims.contains(&own) == is_bound, "TEN-3", || {
            format!("it is {}, and it holds {claims:?}", Aggregate::status(after))
        })?;
        let shared = claims.iter().any(|claim| {
            claim.key.starts_with("occupancy/") && claim.mode == runtime_domain::claim::ClaimMode::Shared
        });
        let is_silo = after.isolation_model() == IsolationModel::Silo;
        Fault::unless(!(is_bound && is_silo && shared), "TEN-1", || {
            "it is a silo, and would share its environment".to_owned()
        })?;
        Fault::unless(is_bound == after.prove(Revision::FIRST).is_ok(), "ENV-3", || {
            format!("it is {}, and proves otherwise", Aggregate::status(after))
        })
    }

    fn facts(&self, facts: Facts) -> Facts {
        let isolation = match self.isolation_model() {
            IsolationModel::Silo => 0,
            IsolationModel::Pool => 1,
            IsolationModel::Shared => 2,
        };
        facts
            .with("quota", self.quota().map_or(0, ResourceQuota::cpu_millicores))
            .with("isolation", isolation)
    }
}
