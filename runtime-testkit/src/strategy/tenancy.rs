//! Tenancy: quotas, partitions, and the stories of tenant bindings.

use proptest::prelude::*;
use runtime_domain::tenancy::{PartitionAssignment, PartitionKey, ResourceQuota};

use crate::plan::Step;
use crate::plan::tenancy::{Place, Target, TenancyPlan};
use crate::strategy::{reason, story, value};

/// A quota, the ends of its ranges included.
pub fn valid_resource_quota() -> BoxedStrategy<ResourceQuota> {
    let units =
        || prop_oneof![Just(1_u64), 1..100_000_u64, 1..=ResourceQuota::MOST, Just(ResourceQuota::MOST)];
    let bytes = || (units(), 1..=1_024_u64).prop_map(|(units, times)| units * times);
    (units(), bytes(), prop_oneof![Just(0_u64), bytes()], units())
        .prop_filter_map("a quota", |(cpu, memory, storage, requests)| {
            ResourceQuota::new(cpu, memory, storage, requests).ok()
        })
        .boxed()
}

/// A partition's key.
pub fn valid_partition_key() -> BoxedStrategy<PartitionKey> {
    value::valid_name().prop_filter_map("a partition", |name| PartitionKey::new(name.as_str()).ok()).boxed()
}

/// A tenant's two partitions.
pub fn valid_partition_assignment() -> BoxedStrategy<PartitionAssignment> {
    (valid_partition_key(), valid_partition_key())
        .prop_map(|(network, data)| PartitionAssignment { network, data })
        .boxed()
}

fn place() -> impl Strategy<Value = Place> {
    let usual = || prop::bool::weighted(0.85);
    (usual(), 0..3_u8, 0..3_u8, usual(), 0..3_u8, prop_oneof![9 => Just(4_u8), 1 => Just(0_u8)], 0..2_u8)
        .prop_map(|(is_own, offered, other, is_offered, quota, reserved, partition)| {
            let wanted = if is_offered { offered } else { other };
            Place { is_own, offered, wanted, quota, reserved, partition }
        })
}

/// The same place as before, mostly.
fn again() -> impl Strategy<Value = TenancyPlan> {
    place().prop_map(TenancyPlan::Bind)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        8 => Just(Target::Silo),
        1 => Just(Target::Foreign),
        1 => Just(Target::Pool),
        1 => Just(Target::Cordoned),
        1 => Just(Target::Here),
    ]
}

/// What may be asked of a tenant binding, or reported to it.
pub fn tenancy_plans() -> BoxedStrategy<TenancyPlan> {
    let rare = || prop::bool::weighted(0.05);
    let usual = || prop::bool::weighted(0.85);
    prop_oneof![
        8 => (0..6_u8, rare()).prop_map(|(quota, is_foreign)| TenancyPlan::Confirm { quota, is_foreign }),
        4 => (0..6_u8, prop::option::of(3..6_u8)).prop_map(|(quota, reserved)| TenancyPlan::Adjust { quota, reserved }),
        1 => reason().prop_map(|reason| TenancyPlan::Cordon { reason }),
        1 => Just(TenancyPlan::Uncordon),
        1 => Just(TenancyPlan::Protect),
        1 => Just(TenancyPlan::Unprotect),
        3 => (target(), prop_oneof![Just(0_u8), Just(30_u8)])
            .prop_map(|(target, observe)| TenancyPlan::Move { target, observe }),
        8 => (usual(), usual()).prop_map(|(is_next, is_done)| TenancyPlan::Step { is_next, is_done }),
        1 => reason().prop_map(|reason| TenancyPlan::Stay { reason }),
        2 => reason().prop_map(|reason| TenancyPlan::Release { reason }),
        2 => rare().prop_map(|is_foreign| TenancyPlan::Returned { is_foreign }),
        4 => (0..3_u8, 0..2_u8, 0..4_u8)
            .prop_map(|(deployment, module, amount)| TenancyPlan::Admit { deployment, module, amount }),
        3 => (0..3_u8, any::<bool>()).prop_map(|(deployment, is_kept)| TenancyPlan::Settle { deployment, is_kept }),
        3 => (0..2_u8, 0..5_u8).prop_map(|(module, amount)| TenancyPlan::Scale { module, amount }),
        3 => Just(TenancyPlan::Retire),
        2 => Just(TenancyPlan::Tick),
        1 => again(),
    ]
    .boxed()
}

/// Workloads that come, serve, grow and shrink, and whatever else happens meanwhile.
fn workload_plans() -> BoxedStrategy<TenancyPlan> {
    prop_oneof![
        3 => tenancy_plans(),
        3 => (0..4_u8).prop_map(|quota| TenancyPlan::Confirm { quota, is_foreign: false }),
        2 => (0..2_u8, 0..2_u8)
            .prop_map(|(deployment, amount)| TenancyPlan::Admit { deployment, module: 0, amount }),
        2 => (0..2_u8).prop_map(|deployment| TenancyPlan::Settle { deployment, is_kept: true }),
        3 => (0..5_u8).prop_map(|amount| TenancyPlan::Scale { module: 0, amount }),
    ]
    .boxed()
}

/// Stories of a tenant binding.
pub fn tenancy_stories() -> BoxedStrategy<Vec<Step<TenancyPlan>>> {
    let begin = || place().prop_map(TenancyPlan::Bind);
    prop_oneof![
        3 => story(begin(), tenancy_plans(), 16),
        1 => story(begin(), workload_plans(), 16),
    ]
    .boxed()
}
