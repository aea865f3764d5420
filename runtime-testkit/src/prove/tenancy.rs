//! Tenant bindings: the driver and the checker.

use std::collections::BTreeMap;

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::{Claim, ClaimMode};
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::Id;
use runtime_domain::tenancy::{
    BindingState, MoveOutcome, MoveStep, QuotaExchange, QuotaUnit, ResourceQuota, RuntimeTenantBinding,
    TenancyCommand, TenancyEvent, TenantPlace, WorkloadDemand,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};
use uuid::Uuid;

use crate::model::{Facts, TenancyModel};
use crate::plan::Step;
use crate::plan::tenancy::{Place, Target, TenancyPlan};
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::tenancy::tenancy_stories;

pub(super) mod evidence;

use evidence::Who;

/// Drives tenant bindings: the environments that host them, and that prove what they hold, are brought about for every question.
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
            (None, TenancyPlan::Bind(wanted)) => {
                let who = who(wanted);
                let command =
                    place(wanted).and_then(|place| evidence::bind(who, place, wanted.reserved, now));
                command
                    .map_or(Answer::Nothing, |command| Answer::of(RuntimeTenantBinding::bind(&command, now)))
            }
            (None, _) => Answer::Nothing,
            (Some(binding), TenancyPlan::Bind(wanted)) => {
                place(wanted).map_or(Answer::Nothing, |place| Answer::of(binding.bind_again(&place)))
            }
            (Some(binding), plan) => command(binding, plan, now)
                .map_or(Answer::Nothing, |command| Answer::of(binding.decide(&command, now))),
        }
    }
}

const BINDING: u128 = 5;

fn who(place: &Place) -> Who {
    Who {
        environment: 1,
        owner: 1,
        tenant: if place.is_own { 1 } else { 2 },
        binding: BINDING,
        isolation: isolation(place.offered),
    }
}

fn place(wanted: &Place) -> Option<TenantPlace> {
    let place = evidence::place(who(wanted), wanted.quota, wanted.partition)?;
    Some(TenantPlace { isolation_model: isolation(wanted.wanted), ..place })
}

/// Who a binding is, as far as its environment knows.
fn own(binding: &RuntimeTenantBinding) -> Who {
    Who {
        environment: 1,
        owner: 1,
        tenant: binding.tenant_id().uuid().as_u128(),
        binding: BINDING,
        isolation: binding.isolation_model(),
    }
}

fn command(binding: &RuntimeTenantBinding, plan: &TenancyPlan, now: Timestamp) -> Option<TenancyCommand> {
    let own = own(binding);
    let another = Who { binding: 6, ..own };
    Some(match plan {
        TenancyPlan::Bind(_) => return None,
        TenancyPlan::Confirm { quota, is_foreign } => {
            let who = if *is_foreign { another } else { own };
            TenancyCommand::ConfirmQuota { committed: evidence::committed(who, *quota, now)? }
        }
        TenancyPlan::Adjust { quota, reserved } => TenancyCommand::AdjustQuota {
            quota: evidence::quota(*quota)?,
            reservation: reserved.and_then(|amount| evidence::reservation(own, amount, now)),
        },
        TenancyPlan::Cordon { reason } => TenancyCommand::CordonTenant { reason: reason.clone() },
        TenancyPlan::Uncordon => TenancyCommand::UncordonTenant,
        TenancyPlan::Protect => TenancyCommand::ProtectFromRelease,
        TenancyPlan::Unprotect => TenancyCommand::Unprotect,
        TenancyPlan::Move { target, observe } => {
            let who = target_of(own, *target);
            TenancyCommand::BeginMove {
                target: evidence::bound(who, *target == Target::Cordoned, now)?,
                observe_for: Span::from_secs(u64::from(*observe)),
            }
        }
        TenancyPlan::Step { is_next, is_done } => {
            let next = binding.relocation().map(|relocation| relocation.stage.step());
            let step = match next {
                Some(next) if *is_next => next,
                Some(MoveStep::JudgeTarget) => MoveStep::CordonSource,
                _ => MoveStep::JudgeTarget,
            };
            let outcome = if *is_done { MoveOutcome::Done } else { MoveOutcome::Failed("broken".to_owned()) };
            TenancyCommand::RecordMoveStep { step, outcome }
        }
        TenancyPlan::Stay { reason } => TenancyCommand::AbortMove { reason: reason.clone() },
        TenancyPlan::Release { reason } => TenancyCommand::ReleaseTenant { reason: reason.clone() },
        TenancyPlan::Returned { is_foreign } => {
            let who = if *is_foreign { another } else { own };
            TenancyCommand::RecordQuotaReturned { returned: evidence::returned(who, now)? }
        }
        TenancyPlan::Admit { deployment, module, amount } => TenancyCommand::AdmitWorkloads {
            deployment: Id::from_uuid(Uuid::from_u128(u128::from(*deployment))),
            demands: BTreeMap::from([(Name::new(&format!("module-{module}")).ok()?, demand(*amount))]),
        },
        TenancyPlan::Settle { deployment, is_kept } => TenancyCommand::SettleWorkloads {
            deployment: Id::from_uuid(Uuid::from_u128(u128::from(*deployment))),
            is_kept: *is_kept,
        },
        TenancyPlan::Scale { module, amount } => TenancyCommand::ChargeScaling {
            module: Name::new(&format!("module-{module}")).ok()?,
            demand: demand(*amount),
        },
        TenancyPlan::Retire => TenancyCommand::RetireWorkloads,
        TenancyPlan::Tick => TenancyCommand::Tick,
    })
}

fn demand(amount: u8) -> WorkloadDemand {
    let amount = u64::from(amount);
    WorkloadDemand {
        cpu_millicores: amount,
        memory_bytes: amount,
        storage_bytes: amount,
        requests_per_second: amount,
    }
}

fn target_of(own: Who, target: Target) -> Who {
    let silo = IsolationModel::Silo;
    let own_silo = Who { environment: 2, owner: own.tenant, binding: 20, isolation: silo, ..own };
    match target {
        Target::Silo => own_silo,
        Target::Foreign => Who { owner: 7, tenant: 7, binding: 21, ..own_silo },
        Target::Pool => Who { binding: 22, isolation: IsolationModel::Pool, ..own_silo },
        Target::Cordoned => Who { binding: 23, ..own_silo },
        Target::Here => Who { environment: own.environment, binding: 24, ..own_silo },
    }
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

    fn is_idempotent(plan: &TenancyPlan) -> bool {
        // The step after this one may be done in turn.
        !matches!(plan, TenancyPlan::Step { .. })
    }

    /// A released binding is looked at until its quota is returned.
    fn is_at_rest(&self) -> bool {
        matches!(self.state(), BindingState::Released(released) if released.is_quota_returned)
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        if let Some(before) = before {
            let kept = |binding: &Self| (binding.isolation_model(), binding.partitions().clone());
            Fault::unless(kept(before) == kept(after), "TEN-1", || {
                "its isolation or its partitions changed".to_owned()
            })?;
        }
        let status = Aggregate::status(after);
        let (is_pending, is_released) = (status == "Pending", status == "Released");
        let has_place = !is_pending && !is_released;
        Fault::unless(has_place == after.quota().is_some(), "TEN-2", || {
            format!("it is {status}, and may use {:?}", after.quota())
        })?;
        Fault::unless(claims_cover_use(after), "TEN-2", || {
            format!("it is {status}, uses {:?}, and claims less", after.quota())
        })?;
        Fault::unless(is_released == after.released(Revision::FIRST).is_ok(), "TEN-2", || {
            format!("it is {status}, and says otherwise to its environment")
        })?;
        let charged = after.workloads().charged();
        let is_within = |unit| charged.in_unit(unit) <= after.quota().map_or(0, |quota| quota.of(unit));
        Fault::unless(QuotaUnit::ALL.into_iter().all(is_within), "TEN-2", || {
            format!("its workloads are charged {charged:?} of {:?}", after.quota())
        })?;
        let claims = after.claims();
        let own = Claim::tenant_binding(after.tenant_id(), after.environment_id());
        Fault::unless(claims.contains(&own) != is_released, "TEN-3", || {
            format!("it is {status}, and it holds {claims:?}")
        })?;
        let would_share =
            claims.iter().any(|claim| claim.key.starts_with("occupancy/") && claim.mode == ClaimMode::Shared);
        let is_silo = after.isolation_model() == IsolationModel::Silo;
        Fault::unless(!(is_silo && would_share), "TEN-1", || {
            "it is a silo, and would share its environment".to_owned()
        })?;
        Fault::unless(has_place == after.prove(Revision::FIRST).is_ok(), "ENV-3", || {
            format!("it is {status}, and proves otherwise")
        })?;
        Fault::unless(!(is_released && after.is_protected()), "LIFECYCLE", || {
            "it is Released, and protected from that".to_owned()
        })?;
        Fault::unless(is_released || has_place == after.bound_at().is_some(), "LIFECYCLE", || {
            format!("it is {status}, and was bound at {:?}", after.bound_at())
        })
    }

    fn facts(&self, facts: Facts) -> Facts {
        let isolation = match self.isolation_model() {
            IsolationModel::Silo => 0,
            IsolationModel::Pool => 1,
            IsolationModel::Shared => 2,
        };
        let waits = match self.state().bound().and_then(|bound| bound.exchange) {
            None => "nothing".to_owned(),
            Some(QuotaExchange::Increase { quota, .. }) => format!("{} more", quota.cpu_millicores()),
            Some(QuotaExchange::Surplus { .. }) => "less".to_owned(),
        };
        let stage = self.relocation().map(|relocation| format!("{:?}", relocation.stage));
        facts
            .with("quota", self.quota().map_or(0, ResourceQuota::cpu_millicores))
            .with("isolation", isolation)
            .with("protected", self.is_protected())
            .with("waits for", waits)
            .with("moves", stage.unwrap_or_default())
            .with("charged", self.workloads().charged().cpu_millicores)
    }
}

/// A binding never uses what it does not claim.
fn claims_cover_use(binding: &RuntimeTenantBinding) -> bool {
    match (binding.quota(), binding.claim(Revision::FIRST)) {
        (Some(used), Ok(claimed)) => {
            let (used, claimed) = (used, claimed.quota());
            used.cpu_millicores() <= claimed.cpu_millicores()
                && used.memory_bytes() <= claimed.memory_bytes()
                && used.storage_bytes() <= claimed.storage_bytes()
                && used.requests_per_second() <= claimed.requests_per_second()
        }
        (Some(_), Err(_)) => false,
        (None, _) => true,
    }
}
