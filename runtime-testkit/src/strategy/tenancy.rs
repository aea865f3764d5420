//! Tenancy: quotas, partitions, and the stories of tenant bindings.

use proptest::prelude::*;
use runtime_domain::tenancy::{PartitionAssignment, PartitionKey, ResourceQuota};

use crate::plan::Step;
use crate::plan::tenancy::{Place, TenancyPlan};
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
    (prop::bool::weighted(0.8), 0..3_u8, 0..3_u8, prop::bool::weighted(0.8), 0..3_u8, 0..2_u8).prop_map(
        |(is_own, offered, other, is_offered, quota, partition)| {
            let wanted = if is_offered { offered } else { other };
            Place { is_own, offered, wanted, quota, partition }
        },
    )
}

/// What may be asked of a tenant binding.
pub fn tenancy_plans() -> BoxedStrategy<TenancyPlan> {
    prop_oneof![
        4 => (0..4_u8).prop_map(|quota| TenancyPlan::Adjust { quota }),
        2 => reason().prop_map(|reason| TenancyPlan::Release { reason }),
        3 => place().prop_map(TenancyPlan::Bind),
    ]
    .boxed()
}

/// Stories of a tenant binding.
pub fn tenancy_stories() -> BoxedStrategy<Vec<Step<TenancyPlan>>> {
    story(place().prop_map(TenancyPlan::Bind), tenancy_plans(), 12)
}
