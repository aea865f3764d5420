use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::id::TenantId;
use runtime_ports::store::{Lease, LeaseRequest, LeaseTopic};

use super::{Hosts, Outcome, Prepared, Report, StoreCapabilities, StoreFactory, World, key, request, tried};
use crate::conformance::{Failure, equal, sentence};
use crate::sample::{self, Draft};

const WORK: LeaseTopic = LeaseTopic::Work;
const OUTBOX: LeaseTopic = LeaseTopic::Outbox;

/// Tries what the store's suite tries of fairness beside a tenant that has so many aggregates due: the suite itself has few, so that it stays
/// quick. A hundred thousand take some seconds to write.
pub async fn fairness<F: StoreFactory>(factory: F, backlog: u64) -> Report {
    let beside = |name, topic| Prepared {
        name,
        hosts: Hosts::One,
        begin: Box::new(move |world| Box::pin(served_beside(world, topic, backlog))),
    };
    let trials = vec![
        beside(sentence(&a_quiet_tenants_work_is_taken_at_the_next_call), WORK),
        beside(sentence(&a_quiet_tenants_events_are_relayed_at_the_next_call), OUTBOX),
    ];
    Report { suite: "fairness", trials: tried(&factory, StoreCapabilities::new(), trials).await }
}

/// Gives a tenant so many aggregates that are due from its own time on, for work and for relaying.
async fn fill(world: &World, tenant: u64, count: u64) -> Outcome {
    let handle = world.tenant(tenant);
    let mut first = 1;
    while first <= count {
        let last = count.min(first + 499);
        let due =
            |number| Draft::create(tenant, key(tenant * 10_000_000 + number)).waking_at(tenant).publishing();
        handle.commit(sample::commit((first..=last).map(due))).await?;
        first = last + 1;
    }
    Ok(())
}

/// How many of the leases each tenant has.
fn shares(leases: &[Lease]) -> BTreeMap<TenantId, usize> {
    leases.iter().fold(BTreeMap::new(), |mut shares, lease| {
        *shares.entry(lease.tenant).or_default() += 1;
        shares
    })
}

async fn take(world: &World, topic: LeaseTopic, limit: u32, now: u64) -> Result<Vec<Lease>, Failure> {
    let wanted = LeaseRequest { limit, until: sample::at(now + 1_000), ..request(topic, 1, now) };
    let leases = world.operator().take_leases(&wanted).await?;
    let distinct: BTreeSet<_> = leases.iter().map(|lease| (lease.tenant, lease.key)).collect();
    equal("how many different aggregates were leased", distinct.len(), leases.len())?;
    Ok(leases)
}

/// One tenant has thirty due, three others one each, later ones: eight leases reach them all.
async fn shared_fairly(world: World, topic: LeaseTopic) -> Outcome {
    fill(&world, 1, 30).await?;
    for tenant in 2..=4 {
        fill(&world, tenant, 1).await?;
    }
    let leases = take(&world, topic, 8, 10).await?;
    equal("how many were asked for", leases.len(), 8)?;
    let shares = shares(&leases);
    equal("how many of four tenants have some of eight leases", shares.len(), 4)
}

pub(super) async fn every_tenant_gets_its_share_of_work(world: World) -> Outcome {
    shared_fairly(world, WORK).await
}

pub(super) async fn every_tenant_gets_its_share_of_relaying(world: World) -> Outcome {
    shared_fairly(world, OUTBOX).await
}

/// One tenant has much due, and others come after it with one each, which they keep: each is served by the next call, as if it were alone, though
/// that gives two leases only.
async fn served_beside(world: World, topic: LeaseTopic, backlog: u64) -> Outcome {
    fill(&world, 1, backlog).await?;
    let operator = world.operator();
    for quiet in 100..120 {
        // The loud one's turn comes and goes: what it has is given back, so that its backlog stays.
        for lease in take(&world, topic, 10, quiet).await? {
            operator.release_lease(&lease).await?;
        }
        fill(&world, quiet, 1).await?;
        let shares = shares(&take(&world, topic, 2, quiet).await?);
        let wanted = [(sample::tenant(1), 1), (sample::tenant(quiet), 1)].into();
        equal(&format!("who has the two leases when tenant {quiet} has something due"), shares, wanted)?;
    }
    Ok(())
}

pub(super) async fn a_quiet_tenants_work_is_taken_at_the_next_call(world: World) -> Outcome {
    served_beside(world, WORK, 100).await
}

pub(super) async fn a_quiet_tenants_events_are_relayed_at_the_next_call(world: World) -> Outcome {
    served_beside(world, OUTBOX, 100).await
}

/// Twenty tenants have more due than can be given, one much and since long: in as many leases as there are tenants, given a few at a time, each has
/// one.
async fn given_in_turn(world: World, topic: LeaseTopic) -> Outcome {
    const TENANTS: u64 = 20;
    fill(&world, 1, 100).await?;
    for tenant in 2..=TENANTS {
        fill(&world, tenant, 10).await?;
    }
    for limit in [1, 4, 5] {
        let mut served = BTreeMap::new();
        for _ in 0..TENANTS / u64::from(limit) {
            for (tenant, share) in shares(&take(&world, topic, limit, 100).await?) {
                *served.entry(tenant).or_default() += share;
            }
        }
        let each = (1..=TENANTS).map(|tenant| (sample::tenant(tenant), 1)).collect();
        equal(&format!("who has how many of {TENANTS} leases, {limit} a call"), served, each)?;
    }
    Ok(())
}

pub(super) async fn every_tenant_has_its_turn_at_work(world: World) -> Outcome {
    given_in_turn(world, WORK).await
}

pub(super) async fn every_tenant_has_its_turn_at_relaying(world: World) -> Outcome {
    given_in_turn(world, OUTBOX).await
}
