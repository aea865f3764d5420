use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_ports::store::{Lease, LeaseRequest, LeaseTopic};
use tokio::task::JoinSet;

use super::{Hosts, Outcome, Prepared, Report, StoreCapabilities, StoreFactory, World, request, tried};
use crate::conformance::{Failure, equal, sentence};
use crate::sample::{self, Draft};

const WORK: LeaseTopic = LeaseTopic::Work;
const OUTBOX: LeaseTopic = LeaseTopic::Outbox;

/// What is asked for, always all of them.
const KINDS: [AggregateKind; 3] =
    [AggregateKind::RuntimeDeployment, AggregateKind::RuntimeService, AggregateKind::ScalingPolicy];

/// Tries what the store's suite tries of fairness beside a tenant that has so many aggregates due, and so many tenants whose work is for later:
/// the suite itself has few of both, so that it stays quick. A hundred thousand take a minute or more to write.
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

/// Gives a tenant so many aggregates of a kind that are due from its own time on, for work and for relaying.
async fn fill(world: &World, tenant: u64, kind: AggregateKind, count: u64) -> Outcome {
    let handle = world.tenant(tenant);
    let mut first = 1;
    while first <= count {
        let last = count.min(first + 499);
        let due = |number| {
            let key = sample::key(kind, tenant * 10_000_000 + number);
            Draft::create(tenant, key).waking_at(tenant).publishing()
        };
        handle.commit(sample::commit((first..=last).map(due))).await?;
        first = last + 1;
    }
    Ok(())
}

/// Gives so many tenants an aggregate each that is due much later.
async fn fill_for_later(world: &World, tenants: u64) -> Outcome {
    const WRITERS: u64 = 64;
    let mut writers: JoinSet<Outcome> = JoinSet::new();
    for writer in 0..WRITERS {
        let world = world.clone();
        writers.spawn(async move {
            for tenant in (writer..tenants).step_by(WRITERS as usize).map(|number| 1_000 + number) {
                let later = Draft::create(tenant, sample::key(KINDS[0], tenant)).waking_at(1_000_000);
                world.tenant(tenant).commit(later.commit()).await?;
            }
            Ok(())
        });
    }
    writers.join_all().await.into_iter().collect()
}

/// How many of the leases each tenant has.
fn shares(leases: &[Lease]) -> BTreeMap<TenantId, usize> {
    leases.iter().fold(BTreeMap::new(), |mut shares, lease| {
        *shares.entry(lease.tenant).or_default() += 1;
        shares
    })
}

async fn take(world: &World, topic: LeaseTopic, limit: u32, now: u64) -> Result<Vec<Lease>, Failure> {
    let until = sample::at(now + 1_000);
    let wanted = LeaseRequest { kinds: KINDS.into(), limit, until, ..request(topic, 1, now) };
    let leases = world.operator().take_leases(&wanted).await?;
    let distinct: BTreeSet<_> = leases.iter().map(|lease| (lease.tenant, lease.key)).collect();
    equal("how many different aggregates were leased", distinct.len(), leases.len())?;
    Ok(leases)
}

/// One tenant has thirty due of every kind, three others one each, later ones: eight leases reach them all.
async fn shared_fairly(world: World, topic: LeaseTopic) -> Outcome {
    for kind in KINDS {
        fill(&world, 1, kind, 30).await?;
    }
    for (tenant, kind) in (2..=4).zip(KINDS) {
        fill(&world, tenant, kind, 1).await?;
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

/// One tenant has much due, many have work for later, and others come after them with one each, which they keep: each is served by the next call,
/// as if it were alone, though that gives two leases only.
async fn served_beside(world: World, topic: LeaseTopic, backlog: u64) -> Outcome {
    fill(&world, 1, KINDS[0], backlog).await?;
    fill_for_later(&world, backlog).await?;
    let operator = world.operator();
    for quiet in 100..120 {
        // The loud one's turn comes and goes: what it has is given back, so that its backlog stays.
        for lease in take(&world, topic, 10, quiet).await? {
            operator.release_lease(&lease).await?;
        }
        fill(&world, quiet, KINDS[0], 1).await?;
        let shares = shares(&take(&world, topic, 2, quiet).await?);
        let wanted = [(sample::tenant(1), 1), (sample::tenant(quiet), 1)].into();
        equal(&format!("who has the two leases when tenant {quiet} has something due"), shares, wanted)?;
    }
    Ok(())
}

pub(super) async fn a_quiet_tenants_work_is_taken_at_the_next_call(world: World) -> Outcome {
    served_beside(world, WORK, 300).await
}

pub(super) async fn a_quiet_tenants_events_are_relayed_at_the_next_call(world: World) -> Outcome {
    served_beside(world, OUTBOX, 300).await
}

/// Twenty tenants have more due than can be given, one much, since long and of every kind: in as many leases as there are tenants, given a few at a
/// time, each has one.
async fn given_in_turn(world: World, topic: LeaseTopic) -> Outcome {
    const TENANTS: u64 = 20;
    for kind in KINDS {
        fill(&world, 1, kind, 100).await?;
    }
    for (tenant, kind) in (2..=TENANTS).zip(KINDS.into_iter().cycle()) {
        fill(&world, tenant, kind, 10).await?;
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
