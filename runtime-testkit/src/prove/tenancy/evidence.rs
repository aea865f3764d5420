//! What environments and bindings prove to one another, brought about from the beginning each time, so that asking changes nothing.

use std::collections::BTreeSet;

use runtime_domain::aggregate::{Aggregate, Decision};
use runtime_domain::environment::{
    CommittedQuota, EnvironmentStage, IsolationModel, ProvisionRuntimeEnvironment, QuotaCommand,
    QuotaReservation, ReturnedQuota, RuntimeEnvironment,
};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::{
    BindTenant, BoundTenant, ClaimedQuota, PartitionAssignment, PartitionKey, ReleasedTenant, ResourceQuota,
    RuntimeTenantBinding, TenancyCommand, TenantPlace,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};

use crate::prove::environment::numbered;

/// Who is bound where, by numbers.
#[derive(Debug, Clone, Copy)]
pub(in crate::prove) struct Who {
    pub(in crate::prove) environment: u128,
    /// Who owns the environment.
    pub(in crate::prove) owner: u128,
    pub(in crate::prove) tenant: u128,
    pub(in crate::prove) binding: u128,
    pub(in crate::prove) isolation: IsolationModel,
}

pub(in crate::prove) fn quota(less_one: u8) -> Option<ResourceQuota> {
    let units = u64::from(less_one) + 1;
    ResourceQuota::new(units, units, units, units).ok()
}

pub(in crate::prove) fn after<A: Aggregate>(
    state: Option<A>,
    decision: &Decision<A::Event>,
    now: Timestamp,
) -> Option<A> {
    A::evolve_all(state, decision.events.iter().map(|event| (event, now))).ok()?
}

/// The environment, as it was asked for.
pub(in crate::prove) fn environment(who: Who, now: Timestamp) -> Option<RuntimeEnvironment> {
    let asked = ProvisionRuntimeEnvironment {
        environment_id: numbered(who.environment),
        tenant_id: numbered(who.owner),
        project_id: numbered(1),
        name: Name::new("shop").ok()?,
        stage: EnvironmentStage::Dev,
        region: Name::new("local").ok()?,
        isolation_model: who.isolation,
        surfaces: BTreeSet::from([
            SurfaceKind::Process,
            SurfaceKind::Kubernetes,
            SurfaceKind::ContainerApps,
            SurfaceKind::Functions,
            SurfaceKind::AppService,
        ]),
        egress_allow_list: BTreeSet::new(),
        capacity: quota(255)?,
    };
    after(None, &RuntimeEnvironment::provision(&asked, now).ok()?, now)
}

fn reserved(who: Who, amount: u8, now: Timestamp) -> Option<RuntimeEnvironment> {
    let environment = environment(who, now)?;
    let command = QuotaCommand::ReserveQuota {
        binding: numbered(who.binding),
        tenant: numbered(who.tenant),
        quota: quota(amount)?,
        expires_at: Span::from_secs(3_600).after(now),
    };
    let decision = environment.decide_quota(&command, now).ok()?;
    after(Some(environment), &decision, now)
}

/// Proof that an environment keeps so much for a binding, for an hour.
pub(in crate::prove) fn reservation(who: Who, amount: u8, now: Timestamp) -> Option<QuotaReservation> {
    reserved(who, amount, now)?.reservation(numbered(who.binding), Revision::FIRST, now).ok()
}

/// Asks for a place of this quota, with so much reserved for it.
pub(in crate::prove) fn bind(
    who: Who,
    wanted: TenantPlace,
    amount: u8,
    now: Timestamp,
) -> Option<BindTenant> {
    Some(BindTenant {
        tenant_binding_id: numbered(who.binding),
        place: wanted,
        environment: environment(who, now)?.host(Revision::FIRST).ok()?,
        reservation: reservation(who, amount, now)?,
    })
}

pub(in crate::prove) fn place(who: Who, amount: u8, partition: u8) -> Option<TenantPlace> {
    Some(TenantPlace {
        tenant_id: numbered(who.tenant),
        environment_id: numbered(who.environment),
        isolation_model: who.isolation,
        quota: quota(amount)?,
        partitions: PartitionAssignment {
            network: PartitionKey::new(&format!("net-{partition}")).ok()?,
            data: PartitionKey::new(&format!("data-{partition}")).ok()?,
        },
    })
}

fn pending(who: Who, amount: u8, now: Timestamp) -> Option<RuntimeTenantBinding> {
    let command = bind(who, place(who, amount, 9)?, amount, now)?;
    after(None, &RuntimeTenantBinding::bind(&command, now).ok()?, now)
}

/// Proof that a binding claims so much.
pub(in crate::prove) fn claimed(who: Who, amount: u8, now: Timestamp) -> Option<ClaimedQuota> {
    pending(who, amount, now)?.claim(Revision::FIRST).ok()
}

/// Proof that an environment has committed so much to a binding.
pub(in crate::prove) fn committed(who: Who, amount: u8, now: Timestamp) -> Option<CommittedQuota> {
    let environment = reserved(who, amount, now)?;
    let command = QuotaCommand::CommitQuota { claimed: claimed(who, amount, now)? };
    let decision = environment.decide_quota(&command, now).ok()?;
    after(Some(environment), &decision, now)?.commitment(numbered(who.binding), Revision::FIRST).ok()
}

/// Proof that an environment holds nothing for a binding.
pub(in crate::prove) fn returned(who: Who, now: Timestamp) -> Option<ReturnedQuota> {
    environment(who, now)?.returned(numbered(who.binding), Revision::FIRST).ok()
}

/// Proof that a tenant has left.
pub(in crate::prove) fn released(who: Who, now: Timestamp) -> Option<ReleasedTenant> {
    let binding = pending(who, 0, now)?;
    let decision = binding.decide(&TenancyCommand::ReleaseTenant { reason: "left".to_owned() }, now).ok()?;
    after(Some(binding), &decision, now)?.released(Revision::FIRST).ok()
}

/// Proof that a tenant has its place.
pub(in crate::prove) fn bound(who: Who, is_cordoned: bool, now: Timestamp) -> Option<BoundTenant> {
    let confirm = TenancyCommand::ConfirmQuota { committed: committed(who, 0, now)? };
    let cordon = TenancyCommand::CordonTenant { reason: "full".to_owned() };
    let mut binding = pending(who, 0, now)?;
    for command in [confirm, cordon].into_iter().take(if is_cordoned { 2 } else { 1 }) {
        let decision = binding.decide(&command, now).ok()?;
        binding = after(Some(binding), &decision, now)?;
    }
    binding.prove(Revision::FIRST).ok()
}
